//! Runs a case on an adapter: everything is poisoned, with guard bands on both sides; NaN fails, and every padding lane must be zero.

use super::bound::{Allowed, Approx, Bound};
use super::case::{self, Case, CaseBuilder, Check, Joint};
use super::guards::Memory;
use super::sample;
use crate::gpu::{Arena, Gpu, GpuError, Wait, block_on};
use crate::plan::{Policy, Schedule, Tensor, layout};
use crate::shader::{Form, Sums};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;

/// The worst element's position and its error against the twin.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub case: String,
    pub kernel: &'static str,
    pub storage: Policy,
    pub form: &'static str,
    /// The `#ifdef` symbols of the recorded dispatches, each set once.
    pub variant: String,
    /// Worst error / bound; above 1, or NaN, is a failure.
    pub ratio: f64,
    /// Worst error / strict bound (rounding to nearest), possibly at another element.
    pub strict: f64,
    pub error: f64,
    pub bound: f64,
    /// The worst element, with actual and expected value.
    pub place: String,
    /// Any other fault: a written guard band, a padding lane that is not zero, an error of the device.
    pub fault: Option<String>,
}

impl Outcome {
    /// The outcome of a case that has not been run.
    pub fn new(case: &str, kernel: &'static str, storage: Policy, form: &'static str) -> Outcome {
        Outcome {
            case: case.into(),
            kernel,
            storage,
            form,
            variant: String::new(),
            ratio: 0.0,
            strict: 0.0,
            error: 0.0,
            bound: 0.0,
            place: "nowhere".into(),
            fault: None,
        }
    }

    pub fn passed(&self) -> bool {
        self.fault.is_none() && self.ratio <= 1.0
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = if self.passed() { "ok  " } else { "FAIL" };
        let (storage, form) = (self.storage.name(), self.form);
        write!(f, "{word} {:<12} {storage:<6} {form:<13} {:<52}", self.kernel, self.case)?;
        write!(f, " error/bound {:.3}", self.ratio)?;
        if !self.passed() {
            write!(f, " at {}; {}", self.place, self.fault.as_deref().unwrap_or("beyond the bound"))?;
        }
        Ok(())
    }
}

/// Cached results of twins. They are the same for every adapter, for all forms of a kernel with the same kind of sums, and for both kinds
/// of f16.
#[derive(Default)]
pub struct Twins(HashMap<(String, Policy, Sums, u64), Vec<Expected>>);

/// The compared elements of one output, by index (row by row, logical channels).
pub type Expected = Vec<(usize, Approx)>;

/// Runs one case; every problem becomes part of the outcome.
pub fn run_case(gpu: &Gpu, case: &Case, storage: Policy, form: &'static Form, seed: u64) -> Outcome {
    run_case_with(gpu, case, storage, form, seed, &mut Twins::default())
}

/// Like [`run_case`], but reuses earlier results of the twins.
pub fn run_case_with(
    gpu: &Gpu,
    case: &Case,
    storage: Policy,
    form: &'static Form,
    seed: u64,
    twins: &mut Twins,
) -> Outcome {
    let run = run_case_by(Wait::Here, gpu, case, storage, form, seed, twins);
    block_on(async { Ok(run.await) }).unwrap_or_else(|blocks: GpuError| Outcome {
        fault: Some(blocks.to_string()),
        ..Outcome::new(&case.name, case.kernel.name, storage, form.name)
    })
}

/// Like the above, waiting as `wait` says.
pub(crate) async fn run_case_by(
    wait: Wait,
    gpu: &Gpu,
    case: &Case,
    storage: Policy,
    form: &'static Form,
    seed: u64,
    twins: &mut Twins,
) -> Outcome {
    let mut outcome = Outcome::new(&case.name, case.kernel.name, storage, form.name);
    let result = match prepare(gpu, case, storage, form, seed, twins) {
        Ok(prepared) => {
            outcome.variant = prepared.variant();
            run_prepared_by(wait, gpu, &case.name, prepared, &mut outcome, &mut |_, _| {}).await
        }
        Err(reason) => Err(reason),
    };
    outcome.fault = result.err();
    outcome
}

/// The dispatches that a case records for `gpu`: `--dump` translates them.
pub fn record_case(gpu: &Gpu, case: &Case, storage: Policy, form: &'static Form) -> Result<Schedule, String> {
    let mut builder = CaseBuilder::new(case, storage, gpu.forms.forcing(case.kernel.name, form.name), gpu.limits(), 0);
    (case.build)(&mut builder);
    Ok(Schedule::new(builder.recorder.finish().map_err(|e| e.to_string())?))
}

/// A case as data: its dispatches, their bytes, and the expected results.
#[derive(Clone)]
pub struct Prepared {
    pub schedule: Schedule,
    /// Inputs and constants.
    pub data: Vec<(Tensor, Vec<u8>)>,
    /// Outputs, with their compared elements.
    pub expected: Vec<(Tensor, Vec<(usize, Allowed)>)>,
    /// The joint constraint of each output's channels, if any, and the growth of its bound in this form.
    pub joint: Vec<Option<Rc<Joint>>>,
    pub growth: f64,
}

impl Prepared {
    /// The `#ifdef` symbols of the dispatches, each set once.
    pub fn variant(&self) -> String {
        let variants: BTreeSet<String> = self.schedule.dispatches().iter().map(|d| d.defines.join(" ")).collect();
        variants.into_iter().filter(|v| !v.is_empty()).collect::<Vec<_>>().join(", ")
    }
}

/// Records a case for `gpu`, fills its inputs and computes its twin; runs nothing.
pub fn prepare(
    gpu: &Gpu,
    case: &Case,
    storage: Policy,
    form: &'static Form,
    seed: u64,
    twins: &mut Twins,
) -> Result<Prepared, String> {
    let forms = gpu.forms.forcing(case.kernel.name, form.name);
    let mut builder = CaseBuilder::new(case, storage, forms, gpu.limits(), seed);
    (case.build)(&mut builder);
    let CaseBuilder { recorder, inputs, weights, checks, .. } = builder;
    let recording = recorder.finish().map_err(|e| e.to_string())?;
    let constants = case::constants(&weights, &recording);
    let schedule = Schedule::new(recording);
    let inputs = inputs.iter().map(|i| (i.tensor.clone(), layout::to_bytes(&i.tensor, &i.values)));
    let data = inputs.chain(constants).collect();
    let rounding = if storage == Policy::F16 { Policy::PACKED } else { storage };
    // Some cases depend on the number of workgroups that a device allows.
    let key =
        (format!("{} {}, {}", case.kernel.name, case.name, gpu.limits().max_workgroups), rounding, form.sums, seed);
    let ask = || checks.iter().map(|check| check.exact(seed)).collect::<Vec<_>>();
    // Cheap twins are not cached.
    let known = if checks.iter().any(|check| check.all) { &ask() } else { twins.0.entry(key).or_insert_with(ask) };
    let growth = schedule.dispatches().iter().map(|d| d.form.growth).fold(1.0, f64::max);
    let expected = checks.iter().zip(known).map(|(check, known)| {
        let mut all = check.bounded(known, growth);
        all.extend(check.bounded(&check.at_seams(&schedule), growth));
        (check.tensor.clone(), all)
    });
    let expected = expected.collect();
    let joint = checks.into_iter().map(|check| check.joint.map(Rc::new)).collect();
    Ok(Prepared { schedule, data, expected, joint, growth })
}

/// Runs it, passes every output's bytes to `seen`, and finds the worst element. An error is any other fault.
pub fn run_prepared(
    gpu: &Gpu,
    name: &str,
    prepared: Prepared,
    outcome: &mut Outcome,
    seen: &mut dyn FnMut(&Tensor, &[u8]),
) -> Result<(), String> {
    let run = run_prepared_by(Wait::Here, gpu, name, prepared, outcome, seen);
    block_on(async { Ok(run.await) }).unwrap_or_else(|blocks: GpuError| Err(blocks.to_string()))
}

async fn run_prepared_by(
    wait: Wait,
    gpu: &Gpu,
    name: &str,
    prepared: Prepared,
    outcome: &mut Outcome,
    seen: &mut dyn FnMut(&Tensor, &[u8]),
) -> Result<(), String> {
    let Prepared { mut schedule, data, expected, joint, growth } = prepared;
    let text = |e: GpuError| e.to_string();
    let memory = Memory::new(gpu, &schedule, data).map_err(text)?;
    memory.bind_guards(&mut schedule);
    let arena = Arena::new(gpu, &[]).map_err(text)?;
    let plan = gpu.bind(name, &schedule, &arena, &HashMap::new(), memory.given()).map_err(text)?;
    gpu.run_by(wait, &plan, |_| true).await.map_err(text)?;
    for (output, (tensor, expected)) in expected.iter().enumerate() {
        let bytes = memory.read(wait, tensor).await?;
        seen(tensor, &bytes);
        if !layout::padding_is_zero(tensor, &bytes) {
            return Err(format!("a padding lane of {} is not zero", tensor.name));
        }
        let got = layout::from_bytes(tensor, &bytes);
        if let Some(i) = not_finite(&got, expected) {
            (outcome.ratio, outcome.strict) = (f64::NAN, f64::NAN);
            outcome.place = describe(tensor, i, got[i].into(), f64::NAN);
            return Err(format!("{} is not finite", tensor.name));
        }
        for &(i, allowed) in expected {
            outcome.see(tensor, i, got[i].into(), allowed);
        }
        if let Some(Some(joint)) = joint.get(output) {
            joint.compare(tensor, expected, growth, &got, outcome);
        }
    }
    memory.untouched(wait).await
}

/// The first unexpected infinity or NaN.
pub fn not_finite(got: &[f32], expected: &[(usize, Allowed)]) -> Option<usize> {
    let overflow: HashSet<usize> = expected.iter().filter(|(_, a)| a.is_overflow()).map(|(i, _)| *i).collect();
    (0..got.len()).find(|i| !got[*i].is_finite() && !overflow.contains(i))
}

impl Check {
    /// The kernel's exact values and bounds, before the rounding of storage, for all elements or a sample by `seed`.
    pub fn exact(&self, seed: u64) -> Expected {
        self.exact_at(sample::of(self, seed))
    }

    pub(super) fn exact_at(&self, places: impl IntoIterator<Item = usize>) -> Expected {
        let channels = self.tensor.channels.logical() as usize;
        places.into_iter().map(|i| (i, (self.twin)(i / channels, i % channels))).collect()
    }

    /// Like [`Check::exact`], for elements at the seams between dispatches, which depend on the form.
    fn at_seams(&self, schedule: &Schedule) -> Expected {
        self.exact_at(sample::seams(self, schedule.dispatches()))
    }

    /// [`Check::exact`] after storage, with the bound of forms that grow it by `growth`.
    pub fn bounded(&self, exact: &Expected, growth: f64) -> Vec<(usize, Allowed)> {
        bounded(&self.tensor, exact, growth)
    }
}

fn bounded(tensor: &Tensor, exact: &Expected, growth: f64) -> Vec<(usize, Allowed)> {
    let half = tensor.element.is_half();
    let grown = exact.iter().map(|(i, exact)| (*i, Approx::new(exact.value, exact.bound * Bound::from(growth))));
    grown.map(|(i, exact)| (i, exact.stored(half))).collect()
}

impl Joint {
    fn compare(&self, tensor: &Tensor, elements: &[(usize, Allowed)], growth: f64, got: &[f32], outcome: &mut Outcome) {
        let channels = tensor.channels.logical() as usize;
        for &(i, _) in elements {
            let (position, channel) = (i / channels, i % channels);
            let Approx { value, bound } = (self.twin)(position, channel);
            let allowed = Approx::new(value, bound * Bound::from(growth)).stored(false);
            let row = &got[position * channels..(position + 1) * channels];
            outcome.see(tensor, i, (self.measure)(position, channel, row), allowed);
        }
    }
}

impl Outcome {
    /// Compares an output of a form that grows the bound by `growth` with the expected elements.
    pub(super) fn see_all(&mut self, tensor: &Tensor, expected: &Expected, growth: f64, got: &[f32]) {
        for (i, allowed) in bounded(tensor, expected, growth) {
            self.see(tensor, i, got[i].into(), allowed);
        }
    }

    fn see(&mut self, tensor: &Tensor, i: usize, got: f64, Allowed { value, wgsl, strict }: Allowed) {
        // NaN stays.
        let worse = |ratio: f64, than: f64| !(ratio <= than) && !than.is_nan();
        let ratio = wgsl.ratio(value, got);
        if worse(ratio, self.ratio) {
            (self.ratio, self.error, self.bound) = (ratio, (got - value).abs(), wgsl.scale);
            self.place = describe(tensor, i, got, value);
        }
        let strict = strict.ratio(value, got);
        if worse(strict, self.strict) {
            self.strict = strict;
        }
    }
}

fn describe(tensor: &Tensor, i: usize, got: f64, expected: f64) -> String {
    let channels = tensor.channels.logical() as usize;
    let got = got as f32;
    format!(
        "{} {} at [{}, {}]: got {got:e}, expected {expected:e}",
        tensor.name,
        tensor.shape_string(),
        i / channels,
        i % channels
    )
}
