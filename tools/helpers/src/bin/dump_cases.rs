//! Writes the small conformance cases as plain data, for implementations of WebGPU outside Rust (`tools/tint/run.mjs`): `cargo run
//! --release -p diffews-helpers --bin dump_cases -- DIR` writes `DIR/cases.json` and, for all bytes in it, `DIR/cases.bin`.

use diffews_wgpu::check::bound::Allowed;
use diffews_wgpu::check::{Case, Check, Expected, Recorded, STORAGES};
use diffews_wgpu::conformance::LANGUAGE;
use diffews_wgpu::kernels::ALL;
use diffews_wgpu::plan::{Forms, Limits, Policy, TensorId, layout};
use diffews_wgpu::shader::{Facts, Form, Kernel, Ranges, Sums};
use diffews_wgpu::twins;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

type Failure = Box<dyn std::error::Error>;

/// Cases with more bytes in all their tensors are skipped.
const MOST_BYTES: u64 = 2 << 20;
/// Cases with longer loops are skipped, too: they take minutes there, and drivers run them.
const MOST_TURNS: u64 = 10_000;
const SEED: u64 = 20241;
/// Data that cases refer to: forms of a kernel share most of it.
#[derive(Default)]
struct Shared {
    data: Vec<u8>,
    /// Positions of bytes, by hash.
    places: HashMap<u64, Vec<(usize, usize)>>,
    texts: Vec<String>,
    numbers: HashMap<String, usize>,
}

impl Shared {
    /// The position of these bytes, which are appended if they are new.
    fn put(&mut self, bytes: &[u8]) -> Value {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        let places = self.places.entry(hasher.finish()).or_default();
        let there = places.iter().find(|&&(at, length)| &self.data[at..at + length] == bytes);
        let (at, length) = *there.unwrap_or(&(self.data.len(), bytes.len()));
        if at == self.data.len() {
            places.push((at, length));
            self.data.extend_from_slice(bytes);
            // Float64Array requires an aligned start.
            self.data.resize(self.data.len().next_multiple_of(8), 0);
        }
        json!([at, length])
    }

    /// The number of a shader.
    fn text(&mut self, wgsl: String) -> usize {
        let next = self.texts.len();
        let number = *self.numbers.entry(wgsl.clone()).or_insert(next);
        if number == next {
            self.texts.push(wgsl);
        }
        number
    }
}

/// Three f64 for each compared element: its offset in the tensor's bytes, and the middle and the half width of the permitted range. If the
/// middle is infinite, the result must not be finite.
fn expected(check: &Check, exact: &Expected, growth: f64) -> Vec<u8> {
    let places = check.tensor.channels.places();
    let bytes = check.tensor.vec4_bytes() / 4;
    let row = check.tensor.channels.vec4s() as u64 * 4;
    let triple = |(i, allowed): (usize, Allowed)| {
        let wgsl = allowed.wgsl;
        let (position, place) = ((i / places.len()) as u64, u64::from(places[i % places.len()]));
        // The range of the largest f16 extends to infinity, which has no middle; an infinite result fails anyway.
        let most = f64::from(f32::MAX);
        let (low, high) = (wgsl.low.max(-most), wgsl.high.min(most));
        let middle = if allowed.is_overflow() { f64::INFINITY } else { (low + high) / 2.0 };
        [((position * row + place) * bytes) as f64, middle, (high - low) / 2.0]
    };
    let triples: Vec<f64> = check.bounded(exact, growth).into_iter().flat_map(triple).collect();
    bytemuck::cast_slice(&triples).to_vec()
}

/// A kernel in a form, with its symbols and its storage.
fn variant(kernel: &str, form: &str, defines: &[&str], storage: Policy) -> String {
    let defines: BTreeSet<_> = defines.iter().collect();
    let defines: String = defines.iter().map(|define| format!(" {define}")).collect();
    format!("{kernel} {form}{defines} {}", storage.name())
}

/// Excludes forms for a single driver on devices that wgpu makes, and WGSL that other implementations lack.
fn is_portable(form: &Form) -> bool {
    form.needs.ranges != Ranges::Unchecked && form.needs.matrices == 0 && !form.needs.int64
}

/// `None` for a case that is too large. Adds its shaders to `variants`, whatever its size.
fn dump(
    case: &Case,
    storage: Policy,
    form: &Form,
    exact: &mut HashMap<Sums, Vec<Expected>>,
    shared: &mut Shared,
    variants: &mut BTreeSet<String>,
) -> Result<Option<Value>, Failure> {
    // Every form is written; the reader knows its adapter's features.
    let forms = Forms::first(Facts { least_lanes: u32::MAX, f16: true, range_checks: false, ..Facts::LEAST });
    let recorded = case.record(storage, forms.forcing(case.kernel.name, form.name), Limits::WEBGPU, SEED)?;
    let constants = recorded.constants();
    let Recorded { recording, inputs, checks, .. } = recorded;
    // A number for everything with a buffer: first the values, then the constants.
    let number = |id: TensorId| match id {
        TensorId::Value(v) => v as usize,
        TensorId::Constant(..) => {
            let place = constants.iter().position(|(tensor, _)| tensor.id == id);
            recording.values.len() + place.unwrap_or(constants.len())
        }
    };
    variants.extend(recording.dispatches.iter().map(|d| variant(d.kernel.name, d.form.name, &d.defines, storage)));
    // Every value has a buffer of its own here, by its number.
    let mut buffers = BTreeMap::new();
    let mut dispatches = Vec::new();
    for dispatch in &recording.dispatches {
        let mut bindings = Vec::new();
        for window in dispatch.inputs.iter().chain(&dispatch.outputs) {
            let v = number(window.tensor.id);
            buffers.insert(v, json!({ "bytes": window.tensor.bytes().max(16) }));
            bindings.push(json!([v, window.offset, window.size]));
        }
        let defines: Vec<_> = dispatch.defines.iter().copied().chain(storage.defines()).collect();
        let wgsl = dispatch.form.text(&defines)?;
        dispatches.push(json!({
            "variant": variant(dispatch.kernel.name, dispatch.form.name, &dispatch.defines, storage), "wgsl": shared.text(wgsl), "bindings": bindings, "inputs": dispatch.inputs.len(), "params": dispatch.params,
            "workgroups": dispatch.workgroups,
        }));
    }
    let all: u64 = buffers.values().filter_map(|b| b["bytes"].as_u64()).sum();
    if all > MOST_BYTES || recording.dispatches.iter().any(|dispatch| dispatch.turns > MOST_TURNS) {
        return Ok(None);
    }
    let filled = inputs.iter().map(|i| (&i.tensor, layout::to_bytes(&i.tensor, &i.values)));
    for (tensor, bytes) in filled.chain(constants.iter().map(|(tensor, bytes)| (tensor, bytes.clone()))) {
        if let Some(buffer) = buffers.get_mut(&number(tensor.id)) {
            buffer["data"] = shared.put(&bytes);
        }
    }
    // The same for all forms of the kernel with the same kind of sums.
    let exact = exact.entry(form.sums).or_insert_with(|| checks.iter().map(|check| check.exact(SEED)).collect());
    let mut wanted = Vec::new();
    for (check, exact) in checks.iter().zip(exact.iter()) {
        let v = number(check.tensor.id);
        wanted.push(json!({
            "buffer": v, "bytes": check.tensor.bytes(), "half": check.tensor.element.is_half(),
            // For the padding lanes, which must hold zero.
            "row": check.tensor.channels.vec4s() * 4, "places": check.tensor.channels.places(),
            "expected": shared.put(&expected(check, exact, form.growth)),
        }));
    }
    Ok(Some(json!({
        "kernel": case.kernel.name, "case": case.name, "storage": storage.name(), "form": form.name, "lanes": form.needs.lanes,
        "buffers": buffers, "dispatches": dispatches, "checks": wanted,
    })))
}

fn main() -> Result<(), Failure> {
    let dir = std::path::PathBuf::from(std::env::args().nth(1).ok_or("usage: dump_cases DIR")?);
    std::fs::create_dir_all(&dir)?;
    let (mut cases, mut shared, mut too_large) = (Vec::new(), Shared::default(), 0);
    // Shaders that must run: all that the engine can record, and all that the cases use.
    let declared = |kernel: &&'static Kernel| {
        let of = |(form, defines): (&Form, &[&str])| {
            STORAGES.iter().map(|storage| variant(kernel.name, form.name, defines, *storage)).collect::<Vec<_>>()
        };
        kernel.texts().filter(|(form, _)| is_portable(form)).flat_map(of).collect::<Vec<_>>()
    };
    let mut variants: BTreeSet<String> = ALL.iter().flat_map(declared).collect();
    for tested in LANGUAGE.iter().chain(&twins::ALL) {
        for case in (tested.cases)().into_iter().filter(|case| !case.long) {
            for &storage in case.storages {
                let mut exact = HashMap::new();
                for form in tested.kernel.forms.iter().filter(|form| is_portable(form) && case.takes(form)) {
                    match dump(&case, storage, form, &mut exact, &mut shared, &mut variants)? {
                        Some(value) => cases.push(value),
                        None => too_large += 1,
                    }
                }
            }
        }
    }
    println!("{} cases in {}, {too_large} too large for it", cases.len(), dir.display());
    let Shared { data, texts, .. } = shared;
    let all = json!({ "cases": cases, "texts": texts, "too_large": too_large, "most_bytes": MOST_BYTES, "variants": variants });
    std::fs::write(dir.join("cases.json"), serde_json::to_vec(&all)?)?;
    Ok(std::fs::write(dir.join("cases.bin"), data)?)
}
