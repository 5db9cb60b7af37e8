//! Runs a case on an adapter: poisoned outputs, guard bands, NaN fails, every padding lane zero.

use super::bound::Approx;
use super::case::{Case, CaseBuilder, Check};
use crate::gpu::{Arena, Gpu, GpuError};
use crate::layout;
use crate::plan::{Schedule, Storage, Tensor, TensorId, Tuning};
use std::collections::HashMap;

/// Elements compared with the twin when a tensor has more: its corners and a sample of the rest.
const SAMPLE: usize = 2048;
/// Bytes before and after every output that must stay as they were.
const GUARD: u64 = 4096;
const POISON: u8 = 0xff; // NaN as f32 and as half

/// Where and how far the worst element is from its twin.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub case: String,
    pub kernel: &'static str,
    pub storage: Storage,
    pub tuning: Tuning,
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
        write!(
            f,
            "{word} {:<12} {:<6} {:<7} {:<52}",
            self.kernel,
            self.storage.name(),
            format!("{:?}", self.tuning),
            self.case
        )?;
        write!(f, " error/bound {:.3}", self.ratio)?;
        if !self.passed() {
            write!(f, " at {}; {}", self.place, self.fault.as_deref().unwrap_or("beyond the bound"))?;
        }
        Ok(())
    }
}

/// Runs one case; every problem becomes part of the outcome.
pub fn run_case(gpu: &Gpu, case: &Case, storage: Storage, tuning: Tuning, seed: u64) -> Outcome {
    let mut outcome = Outcome {
        case: case.name.clone(),
        kernel: case.kernel.name,
        storage,
        tuning,
        ratio: 0.0,
        error: 0.0,
        bound: 0.0,
        place: "nowhere".into(),
        fault: None,
    };
    if let Err(fault) = try_case(gpu, case, storage, tuning, seed, &mut outcome) {
        outcome.fault = Some(fault);
    }
    outcome
}

fn try_case(
    gpu: &Gpu,
    case: &Case,
    storage: Storage,
    tuning: Tuning,
    seed: u64,
    outcome: &mut Outcome,
) -> Result<(), String> {
    let mut builder = CaseBuilder::new(case, storage, tuning, gpu.limits(), seed);
    (case.build)(&mut builder);
    let CaseBuilder { recorder, inputs, checks, .. } = builder;
    let schedule = Schedule::new(recorder.finish().map_err(|e| e.to_string())?);
    let text = |e: GpuError| e.to_string();
    let arena = Arena::new(gpu, &Arena::sizes([&schedule])).map_err(text)?;
    // Outputs lie in the middle of poisoned buffers; bindings are moved there by the guard's width.
    let mut given = HashMap::new();
    for check in &checks {
        let buffer = gpu.buffer(&check.tensor.name, check.tensor.bytes(storage) + GUARD).map_err(text)?;
        gpu.upload(&buffer, 0, &vec![POISON; (check.tensor.bytes(storage) + GUARD) as usize]).map_err(text)?;
        if let TensorId::Value(v) = check.tensor.id {
            given.insert(v, buffer);
        }
    }
    let plan = gpu.bind(&case.name, &schedule, &arena, &[], given).map_err(text)?;
    for input in &inputs {
        // Inputs that pruning left without use have no buffer to fill.
        if let Some(buffer) = plan.buffer(&input.tensor) {
            gpu.upload(buffer, 0, &layout::to_bytes(&input.tensor, storage, &input.values)).map_err(text)?;
        }
    }
    gpu.run(&plan, &mut |_| true).map_err(text)?;
    for check in &checks {
        let buffer = plan.buffer(&check.tensor).ok_or("an output has no buffer")?;
        let size = check.tensor.bytes(storage);
        let bytes = gpu.download(buffer, size + GUARD).map_err(text)?;
        if bytes[size as usize..].iter().any(|&b| b != POISON) {
            return Err(format!("{} was written beyond its end", check.tensor.name));
        }
        if !layout::padding_is_zero(&check.tensor, storage, &bytes[..size as usize]) {
            return Err(format!("a padding lane of {} is not zero", check.tensor.name));
        }
        compare(check, storage, &layout::from_bytes(&check.tensor, storage, &bytes[..size as usize]), outcome)?;
    }
    Ok(())
}

fn compare(check: &Check, storage: Storage, got: &[f32], outcome: &mut Outcome) -> Result<(), String> {
    let channels = check.tensor.channels.logical() as usize;
    if let Some(i) = got.iter().position(|v| !v.is_finite()) {
        outcome.ratio = f64::NAN;
        outcome.place = place(&check.tensor, i, got[i], f64::NAN);
        return Err(format!("{} is not finite", check.tensor.name));
    }
    for i in sample(got.len(), channels) {
        let exact = (check.twin)(i / channels, i % channels);
        let half = storage.is_half(check.tensor.element);
        let Approx { value, bound } = if half { exact.stored_as_half() } else { exact };
        let error = (got[i] as f64 - value).abs();
        let ratio = if error == 0.0 { 0.0 } else { error / bound };
        if !(ratio <= outcome.ratio) {
            (outcome.ratio, outcome.error, outcome.bound) = (ratio, error, bound);
            outcome.place = place(&check.tensor, i, got[i], value);
        }
    }
    Ok(())
}

fn place(tensor: &Tensor, i: usize, got: f32, expected: f64) -> String {
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
