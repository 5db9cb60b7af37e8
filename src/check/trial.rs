//! Times a case in one form after another, over the same memory, and checks every result.

use super::case::{Case, CaseBuilder, HostWeight};
use super::run::{Expected, Outcome};
use super::sample;
use crate::gpu::{Arena, BoundPlan, Gpu, GpuError, Placed};
use crate::plan::{Policy, Schedule, TensorId, layout};
use crate::shader::{Form, Sums};
use std::collections::HashMap;
use web_time::Instant;

/// Shorter runs are repeated within one submission, to make its cost negligible.
const SHORT_SECONDS: f64 = 0.004;
const MOST_COPIES: usize = 32;

/// Why a form is out.
#[derive(Debug)]
pub enum Fault {
    /// Its result is wrong.
    Wrong(String),
    Failed(GpuError),
    /// It cannot be recorded, at least within these limits.
    Refused(String),
}

impl From<GpuError> for Fault {
    fn from(error: GpuError) -> Fault {
        Fault::Failed(error)
    }
}

/// A form of the case.
struct Way {
    form: &'static Form,
    recorded: Result<Schedule, String>,
    plan: Option<BoundPlan>,
    /// Applications per run.
    copies: usize,
}

pub struct Trial<'a> {
    gpu: &'a Gpu,
    case: Case,
    storage: Policy,
    seed: u64,
    ways: Vec<Way>,
    /// Places of inputs, then of outputs, in order.
    ends: Vec<Placed>,
    weights: Vec<HostWeight>,
    constants: HashMap<TensorId, Placed>,
    arena: Arena,
    /// Expected results of each output, by the kind of sums of a form.
    expected: HashMap<Sums, Vec<Expected>>,
}

impl<'a> Trial<'a> {
    /// Makes the data of `case` and allocates its memory. From then on, forms are given by their index in `forms`.
    ///
    /// # Errors
    /// No form records it, or the device reports an error.
    pub fn new(
        gpu: &'a Gpu,
        case: Case,
        storage: Policy,
        forms: &[&'static Form],
        seed: u64,
    ) -> Result<Trial<'a>, Fault> {
        let record = |form: &&'static Form| {
            let forms = gpu.forms.forcing(case.kernel.name, form.name);
            let recorded = case.outline(storage, forms, gpu.limits()).map(Schedule::new).map_err(|e| e.to_string());
            Way { form, recorded, plan: None, copies: 1 }
        };
        let ways: Vec<Way> = forms.iter().map(record).collect();
        let schedules: Vec<&Schedule> = ways.iter().filter_map(|way| way.recorded.as_ref().ok()).collect();
        let Some(way) = ways.iter().find(|way| way.recorded.is_ok()) else {
            return Err(Fault::Refused("no form records it".into()));
        };
        let arena = Arena::new(gpu, &Arena::sizes(schedules))?;
        let (builder, first) = (built(gpu, &case, storage, way.form, seed), way.form);
        let mut ends = Vec::new();
        for input in &builder.inputs {
            let buffer = gpu.buffer(&input.tensor.name, input.tensor.bytes())?;
            gpu.upload(&buffer, 0, &layout::to_bytes(&input.tensor, &input.values))?;
            ends.push(Placed { buffer, offset: 0 });
        }
        for check in &builder.checks {
            let buffer = gpu.buffer(&check.tensor.name, check.tensor.bytes())?;
            ends.push(Placed { buffer, offset: 0 });
        }
        let (weights, expected) = (builder.weights.clone(), HashMap::from([(first.sums, sampled(&builder, seed))]));
        Ok(Trial { gpu, case, storage, seed, ways, ends, weights, constants: HashMap::new(), arena, expected })
    }

    /// Makes the pipelines of these forms in parallel, one per core. Errors are ignored here, because binding the form reports them again.
    pub fn prepare(&self, forms: &[usize]) {
        let schedules: Vec<&Schedule> =
            forms.iter().filter_map(|&form| self.ways[form].recorded.as_ref().ok()).collect();
        let _ = self.gpu.prepare(&schedules, &|| false);
    }

    /// Prepares the form and computes the case once; returns the seconds, which may include compilation.
    ///
    /// # Errors
    /// The reason why the form is out.
    pub fn warm_up(&mut self, form: usize) -> Result<f64, Fault> {
        self.bind(form, 1)?;
        self.compute(form)
    }

    /// Runs a form that has been warmed up, and checks the result. Returns the seconds per application.
    ///
    /// # Errors
    /// As for [`Trial::warm_up`].
    pub fn run(&mut self, form: usize) -> Result<f64, Fault> {
        let seconds = self.compute(form)?;
        let copies = (SHORT_SECONDS / seconds).ceil().clamp(1.0, MOST_COPIES as f64) as usize;
        // Repeat from the next run on.
        if self.ways[form].copies == 1 && copies > 1 {
            self.bind(form, copies)?;
        }
        Ok(seconds)
    }

    fn compute(&mut self, form: usize) -> Result<f64, Fault> {
        let (gpu, way) = (self.gpu, &self.ways[form]);
        let (Some(plan), Ok(schedule)) = (&way.plan, &way.recorded) else {
            return Err(Fault::Refused("the form was not warmed up".into()));
        };
        let started = Instant::now();
        gpu.run(plan, &mut |_| true)?;
        let seconds = started.elapsed().as_secs_f64() / way.copies as f64;
        let mut outcome = Outcome::new(&self.case.name, self.case.kernel.name, self.storage, way.form.name);
        let growth = schedule.dispatches().iter().map(|d| d.form.growth).fold(1.0, f64::max);
        let expected = self.expected.entry(way.form.sums).or_insert_with(|| {
            let builder = built(gpu, &self.case, self.storage, way.form, self.seed);
            sampled(&builder, self.seed)
        });
        for (tensor, expected) in schedule.recording.outputs.iter().zip(expected) {
            let [got] = gpu.read([&gpu.port(plan, tensor)?])?;
            if got.iter().any(|v| !v.is_finite()) {
                return Err(Fault::Wrong(format!("{} is not finite", tensor.name)));
            }
            outcome.see_all(tensor, expected, growth, &got);
        }
        match outcome.passed() {
            true => Ok(seconds),
            false => Err(Fault::Wrong(format!("error / bound {:.3e} at {}", outcome.ratio, outcome.place))),
        }
    }

    /// Binds `copies` applications of the form, one after the other.
    fn bind(&mut self, form: usize, copies: usize) -> Result<(), Fault> {
        let way = &mut self.ways[form];
        let schedule = way.recorded.as_ref().map_err(|reason| Fault::Refused(reason.clone()))?;
        for (id, tensor) in schedule.constants() {
            let TensorId::Constant(index, Some(packing)) = id else { continue };
            let (Some(HostWeight { param, values }), false) =
                (self.weights.get(index as usize), self.constants.contains_key(&id))
            else {
                continue;
            };
            let buffer = self.gpu.buffer(&tensor.name, tensor.bytes())?;
            self.gpu.upload(&buffer, 0, &layout::to_bytes(&tensor, &packing.pack(param, values)))?;
            self.constants.insert(id, Placed { buffer, offset: 0 });
        }
        let recording = &schedule.recording;
        let ends = recording.inputs.iter().chain(&recording.outputs).map(|tensor| tensor.id);
        let given = ends.zip(self.ends.iter().cloned()).collect();
        let mut schedule = schedule.clone();
        // Each application reads and writes the same places.
        let once = std::mem::take(&mut schedule.recording.dispatches);
        schedule.recording.dispatches = std::iter::repeat_n(once, copies).flatten().collect();
        let plan = self.gpu.bind(&self.case.name, &schedule, &self.arena, &self.constants, given)?;
        way.plan = Some(plan.without_observation());
        way.copies = copies;
        Ok(())
    }
}

/// The case with its data, which is the same for all forms.
fn built(gpu: &Gpu, case: &Case, storage: Policy, form: &'static Form, seed: u64) -> CaseBuilder {
    let forms = gpu.forms.forcing(case.kernel.name, form.name);
    let mut builder = CaseBuilder::new(case, storage, forms, gpu.limits(), seed);
    (case.build)(&mut builder);
    builder
}

fn sampled(builder: &CaseBuilder, seed: u64) -> Vec<Expected> {
    builder.checks.iter().map(|check| check.exact_at(sample::few(&check.tensor, seed))).collect()
}
