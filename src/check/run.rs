//! Runs a case on an adapter: everything poisoned, guard bands on both sides, NaN fails, every padding lane zero.

use super::bound::Approx;
use super::case::{self, Case, CaseBuilder, Check};
use crate::gpu::{Arena, CHECKED, Gpu, GpuError, Placed};
use crate::plan::{Policy, Recording, Schedule, Tensor, TensorId, layout};
use crate::shader::Form;
use std::collections::{BTreeSet, HashMap, HashSet};

/// Elements compared with the twin when a tensor has more: its corners and a sample of the rest.
const SAMPLE: usize = 2048;
/// Bytes before and after every input and output: NaN there for whoever reads beyond, and after the run they
/// must be as they were. A multiple of every offset alignment.
const GUARD: u64 = 4096;
const POISON: u8 = 0xff; // NaN as f32 and as half
/// Working memory is poisoned up to this many bytes of each buffer.
const MOST_POISON: u64 = 256 << 20;

/// Where and how far the worst element is from its twin.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub case: String,
    pub kernel: &'static str,
    pub storage: Policy,
    pub form: &'static str,
    /// The `#ifdef` symbols of the dispatches recorded, each set once.
    pub variant: String,
    /// Worst error / bound; above 1, or NaN, is a failure.
    pub ratio: f64,
    pub error: f64,
    pub bound: f64,
    /// The worst element, what came and what should have.
    pub place: String,
    /// What else went wrong: a written guard band, a padding lane that is not zero, an error of the device.
    pub fault: Option<String>,
}

impl Outcome {
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

/// What twins have said: the same for every adapter and form of a kernel, and for both kinds of halves.
#[derive(Default)]
pub struct Twins(HashMap<(String, Policy, u64), Vec<Expected>>);

/// Of one output: elements that are compared, by their index (row by row, logical channels).
pub type Expected = Vec<(usize, Approx)>;

/// Runs one case; every problem becomes part of the outcome.
pub fn run_case(gpu: &Gpu, case: &Case, storage: Policy, form: &'static Form, seed: u64) -> Outcome {
    run_case_with(gpu, case, storage, form, seed, &mut Twins::default())
}

/// [`run_case`], asking the twins only for what they have not said before.
pub fn run_case_with(
    gpu: &Gpu,
    case: &Case,
    storage: Policy,
    form: &'static Form,
    seed: u64,
    twins: &mut Twins,
) -> Outcome {
    let mut outcome = Outcome {
        case: case.name.clone(),
        kernel: case.kernel.name,
        storage,
        form: form.name,
        variant: String::new(),
        ratio: 0.0,
        error: 0.0,
        bound: 0.0,
        place: "nowhere".into(),
        fault: None,
    };
    if let Err(fault) = try_case(gpu, case, seed, twins, &mut outcome) {
        outcome.fault = Some(fault);
    }
    outcome
}

/// The dispatches that a case records for `gpu`: what `--dump` translates.
pub fn record_case(gpu: &Gpu, case: &Case, storage: Policy, form: &'static Form) -> Result<Schedule, String> {
    let mut builder = CaseBuilder::new(case, storage, gpu.forms.forcing(case.kernel.name, form.name), gpu.limits(), 0);
    (case.build)(&mut builder);
    Ok(Schedule::new(builder.recorder.finish().map_err(|e| e.to_string())?))
}

fn try_case(gpu: &Gpu, case: &Case, seed: u64, twins: &mut Twins, outcome: &mut Outcome) -> Result<(), String> {
    let storage = outcome.storage;
    let forms = gpu.forms.forcing(case.kernel.name, outcome.form);
    let mut builder = CaseBuilder::new(case, storage, forms, gpu.limits(), seed);
    (case.build)(&mut builder);
    let CaseBuilder { recorder, inputs, weights, checks, .. } = builder;
    let mut recording = recorder.finish().map_err(|e| e.to_string())?;
    let constants = case::constants(&weights, &recording);
    bind_guards(&mut recording, gpu.limits().max_binding);
    let schedule = Schedule::new(recording);
    let variants: BTreeSet<String> = schedule.dispatches().iter().map(|d| d.defines.join(" ")).collect();
    outcome.variant = variants.into_iter().filter(|v| !v.is_empty()).collect::<Vec<_>>().join(", ");
    let text = |e: GpuError| e.to_string();
    let arena = Arena::new(gpu, &Arena::sizes([&schedule])).map_err(text)?;
    for buffer in arena.buffers() {
        gpu.upload(buffer, 0, &vec![POISON; buffer.size().min(MOST_POISON) as usize]).map_err(text)?;
    }
    let mut given = HashMap::new();
    for tensor in checks.iter().map(|c| &c.tensor) {
        let poison = vec![POISON; tensor.bytes() as usize];
        place(gpu, tensor, &poison, &mut given).map_err(text)?;
    }
    for input in &inputs {
        let bytes = layout::to_bytes(&input.tensor, &input.values);
        place(gpu, &input.tensor, &bytes, &mut given).map_err(text)?;
    }
    for (tensor, bytes) in &constants {
        place(gpu, tensor, bytes, &mut given).map_err(text)?;
    }
    let plan = gpu.bind(&case.name, &schedule, &arena, &HashMap::new(), given).map_err(text)?;
    gpu.run(&plan, &mut |_| true).map_err(text)?;
    let rounding = if storage == Policy::F16 { Policy::PACKED } else { storage };
    // Some cases size themselves by how many workgroups a device takes.
    let key = (format!("{} {}, {}", case.kernel.name, case.name, gpu.limits().max_workgroups), rounding, seed);
    let expected = twins.0.entry(key).or_insert_with(|| checks.iter().map(Check::exact).collect());
    let growth = schedule.dispatches().iter().map(|d| d.form.growth).fold(1.0, f64::max);
    for (check, expected) in checks.iter().zip(expected.iter()) {
        let port = gpu.port(&plan, &check.tensor).map_err(text)?;
        let size = check.tensor.bytes() as usize;
        let bytes = gpu.download(port.buffer(), size as u64 + 2 * GUARD).map_err(text)?;
        let (before, rest) = bytes.split_at(GUARD as usize);
        let (bytes, after) = rest.split_at(size);
        for (guard, side) in [(before, "before its beginning"), (after, "beyond its end")] {
            if let Some(i) = guard.iter().position(|&b| b != POISON) {
                return Err(format!("{} was written {side} (byte {i} of the guard band)", check.tensor.name));
            }
        }
        if !layout::padding_is_zero(&check.tensor, bytes) {
            return Err(format!("a padding lane of {} is not zero", check.tensor.name));
        }
        let expected = check.bounded(expected, growth);
        compare(&check.tensor, &expected, &layout::from_bytes(&check.tensor, bytes), outcome)?;
    }
    Ok(())
}

/// Extends windows that end with their tensor over the guard band behind it: beyond a binding a driver's robustness may
/// read zeros and drop writes, and hide a wrong index. Not where the translator's own checks are what is tested.
fn bind_guards(recording: &mut Recording, max_binding: u64) {
    let placed: HashSet<TensorId> = recording.inputs.iter().chain(&recording.outputs).map(|t| t.id).collect();
    for dispatch in recording.dispatches.iter_mut().filter(|d| !d.defines.contains(&CHECKED)) {
        for window in dispatch.inputs.iter_mut().chain(&mut dispatch.outputs) {
            let last = window.offset + window.size == window.tensor.bytes();
            let guarded = placed.contains(&window.tensor.id) || matches!(window.tensor.id, TensorId::Constant(..));
            if last && guarded && window.size + GUARD <= max_binding {
                window.size += GUARD;
            }
        }
    }
}

/// Puts `bytes` in the middle of a poisoned buffer.
fn place(gpu: &Gpu, tensor: &Tensor, bytes: &[u8], given: &mut HashMap<TensorId, Placed>) -> Result<(), GpuError> {
    let buffer = gpu.buffer(&tensor.name, bytes.len() as u64 + 2 * GUARD)?;
    let guard = [POISON; GUARD as usize];
    gpu.upload(&buffer, 0, &guard)?;
    gpu.upload(&buffer, GUARD, bytes)?;
    gpu.upload(&buffer, GUARD + bytes.len() as u64, &guard)?;
    given.insert(tensor.id, Placed { buffer, offset: GUARD });
    Ok(())
}

impl Check {
    /// The exact values and the bound of the kernel, before the rounding of storage.
    pub fn exact(&self) -> Expected {
        let channels = self.tensor.channels.logical() as usize;
        let one = |i: usize| (i, (self.twin)(i / channels, i % channels));
        sample(self.tensor.positions() as usize * channels, channels).into_iter().map(one).collect()
    }

    /// [`Check::exact`] with the bound of forms that grow it by `growth`, as it is stored.
    pub fn bounded(&self, exact: &Expected, growth: f64) -> Expected {
        let half = self.tensor.element.is_half();
        let grown = exact.iter().map(|(i, exact)| (*i, Approx::new(exact.value, growth * exact.bound)));
        grown.map(|(i, exact)| (i, if half { exact.stored_as_half() } else { exact })).collect()
    }
}

fn compare(tensor: &Tensor, expected: &Expected, got: &[f32], outcome: &mut Outcome) -> Result<(), String> {
    if let Some(i) = got.iter().position(|v| !v.is_finite()) {
        outcome.ratio = f64::NAN;
        outcome.place = describe(tensor, i, got[i], f64::NAN);
        return Err(format!("{} is not finite", tensor.name));
    }
    for &(i, Approx { value, bound }) in expected {
        let error = (got[i] as f64 - value).abs();
        let ratio = if error == 0.0 { 0.0 } else { error / bound };
        if !(ratio <= outcome.ratio) && !outcome.ratio.is_nan() {
            (outcome.ratio, outcome.error, outcome.bound) = (ratio, error, bound);
            outcome.place = describe(tensor, i, got[i], value);
        }
    }
    Ok(())
}

fn describe(tensor: &Tensor, i: usize, got: f32, expected: f64) -> String {
    let channels = tensor.channels.logical() as usize;
    format!("{}[{}, {}]: got {got:e}, expected {expected:e}", tensor.name, i / channels, i % channels)
}

/// All indices of a small tensor; of a large one the first and last rows and a spread over the rest.
fn sample(n: usize, channels: usize) -> Vec<usize> {
    if n <= SAMPLE {
        return (0..n).collect();
    }
    let mut rng = fastrand::Rng::with_seed(n as u64);
    let edge = channels.min(SAMPLE / 4);
    let mut all: Vec<usize> = (0..edge).chain(n - edge..n).collect();
    all.extend((0..SAMPLE / 2).map(|_| rng.usize(..n)));
    all
}
