//! Runs conformance cases without a driver.

use super::machine::{Bound, Order, dispatch};
use super::memory::{Fault, Words};
use super::shader::Shader;
use super::subgroup::SUBGROUP;
use diffews_wgpu::check::{Case, Check, Recorded, Tested, not_finite};
use diffews_wgpu::conformance::LANGUAGE;
use diffews_wgpu::plan::{Forms, Limits, Policy, Tensor, TensorId, layout};
use diffews_wgpu::shader::{Facts, Form, Kernel};
use diffews_wgpu::twins;
use std::collections::{BTreeSet, HashMap};

const SEED: u64 = 20241;
/// Native f16 in buffers is not supported.
pub const STORAGES: [Policy; 3] = [Policy::F32, Policy::PACKED, Policy::Q8];

/// The result of a case.
pub struct Ran {
    pub faults: Vec<Fault>,
    /// Bytes of each output.
    pub outputs: Vec<Vec<u8>>,
    checks: Vec<Check>,
    growth: f64,
}

fn forms(kernel: &Kernel, form: &str) -> Forms {
    Forms::first(Facts { least_lanes: SUBGROUP, most_lanes: SUBGROUP, ..Facts::MOST }).forcing(kernel.name, form)
}

/// `change` may plant a fault in a kernel's text.
pub fn run(
    case: &Case,
    storage: Policy,
    form: &Form,
    order: Order,
    change: &dyn Fn(&'static Kernel, String) -> String,
) -> Ran {
    let recorded = case.record(storage, forms(case.kernel, form.name), Limits::WEBGPU, SEED).expect("it records");
    let constants = recorded.constants();
    let Recorded { recording, inputs, checks, .. } = recorded;
    let inputs = inputs.iter().map(|i| (i.tensor.clone(), layout::to_bytes(&i.tensor, &i.values)));
    let mut content: HashMap<TensorId, Vec<u8>> = inputs.chain(constants).map(|(t, bytes)| (t.id, bytes)).collect();
    let (mut places, mut buffers) = (HashMap::new(), Vec::new());
    let mut place = |tensor: &Tensor| {
        *places.entry(tensor.id).or_insert_with(|| {
            // NaN where there is no content.
            let bytes = content.remove(&tensor.id).unwrap_or_else(|| vec![0xff; tensor.bytes() as usize]);
            buffers.push(Words::new(bytemuck::pod_collect_to_vec(&bytes)));
            buffers.len() - 1
        })
    };
    let mut steps = Vec::new();
    for d in &recording.dispatches {
        let windows = d.inputs.iter().chain(&d.outputs).map(|window| {
            let start = window.offset as usize / 4;
            (place(&window.tensor), start..start + window.size as usize / 4)
        });
        steps.push(Bound { windows: windows.collect(), params: bytemuck::pod_collect_to_vec(&d.params) });
    }
    let outputs: Vec<usize> = checks.iter().map(|check| place(&check.tensor)).collect();
    let mut shaders: HashMap<String, Shader> = HashMap::new();
    let mut faults = Vec::new();
    for (number, (d, bound)) in (1..).zip(recording.dispatches.iter().zip(&steps)) {
        let defines: Vec<_> = d.defines.iter().copied().chain(storage.defines()).collect();
        let text = change(d.kernel, d.form.text(&defines).expect("it preprocesses"));
        let shader = shaders.entry(text.clone()).or_insert_with(|| Shader::parse(&text));
        faults.extend(dispatch(shader, bound, &mut buffers, d.workgroups, number, order));
    }
    let outputs = outputs.iter().map(|&i| bytemuck::cast_slice(&buffers[i].words).to_vec()).collect();
    let growth = recording.dispatches.iter().map(|d| d.form.growth).fold(1.0, f64::max);
    Ran { faults, outputs, checks, growth }
}

impl Ran {
    /// The worst error / bound.
    pub fn ratio(&self) -> f64 {
        let mut worst = 0.0;
        for (check, bytes) in self.checks.iter().zip(&self.outputs) {
            assert!(layout::padding_is_zero(&check.tensor, bytes), "padding of {}", check.tensor.name);
            let got = layout::from_bytes(&check.tensor, bytes);
            let expected = check.bounded(&check.exact(SEED), self.growth);
            assert_eq!(not_finite(&got, &expected), None, "{} is not finite", check.tensor.name);
            for (i, allowed) in expected {
                let ratio = allowed.wgsl.ratio(allowed.value, f64::from(got[i]));
                // NaN stays.
                worst = if ratio <= worst { worst } else { ratio };
            }
        }
        worst
    }
}

/// Not supported: large buffers, read and written out of range on purpose.
const LEFT_OUT: [&str; 1] = ["memory"];

/// Everything that can run.
pub fn tested() -> impl Iterator<Item = (&'static Tested, &'static Form)> {
    let able = |form: &&Form| form.needs.lanes <= SUBGROUP;
    let all = twins::ALL.iter().chain(&LANGUAGE).filter(|t| !LEFT_OUT.contains(&t.kernel.name));
    all.flat_map(move |t| t.kernel.forms.iter().filter(able).map(move |form| (t, form)))
}

/// A case's operations, including padding, and the symbols of its kernel's dispatches.
fn outline(case: &Case, form: &Form) -> (u64, BTreeSet<Vec<&'static str>>) {
    let storage = case.storages_in(form).next().expect("a kind of storage that the form takes");
    let recording = case.outline(storage, forms(case.kernel, form.name), Limits::WEBGPU).expect("it records");
    let of = |d: &diffews_wgpu::plan::Dispatch| d.flops + d.padding;
    let own = recording.dispatches.iter().filter(|d| d.kernel.name == case.kernel.name);
    (recording.dispatches.iter().map(of).sum(), own.map(|d| d.defines.clone()).collect())
}

/// The smallest case for each combination of a kernel's symbols, and the next larger one without symbols, except for the language layer's
/// kernels, where that is many times the same.
pub fn smallest(tested: &Tested, form: &Form) -> Vec<Case> {
    let stored = |case: &Case| case.storages_in(form).any(|storage| STORAGES.contains(&storage));
    let takes = |case: &Case| case.takes(form) && case.fits(&Limits::WEBGPU) && stored(case);
    let mut all: Vec<_> = (tested.cases)().into_iter().filter(takes).map(|case| (outline(&case, form), case)).collect();
    all.sort_by_key(|((work, _), _)| *work);
    let of_language = LANGUAGE.iter().any(|other| other.kernel.name == tested.kernel.name);
    let wanted = |symbols: &Vec<&str>| if symbols.is_empty() && !of_language { 2 } else { 1 };
    let mut seen: HashMap<Vec<&'static str>, usize> = HashMap::new();
    let mut chosen = Vec::new();
    for ((_, symbols), case) in all {
        if symbols.iter().any(|symbols| seen.get(symbols).copied().unwrap_or(0) < wanted(symbols)) {
            symbols.into_iter().for_each(|symbols| *seen.entry(symbols).or_default() += 1);
            chosen.push(case);
        }
    }
    chosen
}
