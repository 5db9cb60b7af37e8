//! Runs candidates on a device.

use super::contest::{self, Contest, Out, Track};
use super::findings::{Findings, Verdict};
use super::tuned::Asked;
use crate::check::{Fault, Trial};
use crate::gpu::{Gpu, GpuError};
use crate::twins;
use std::ops::ControlFlow;
use web_time::Instant;

/// Seed of all cases' data.
const SEED: u64 = 20_241;

/// Makes `gpu` compute the problems of `asked` in all their forms, for at most that many seconds; a running form is not interrupted.
/// Returns the findings, and the reason if it stopped early. `progress` receives the share of the time that is spent.
pub fn measure(
    gpu: &Gpu,
    asked: &[Asked],
    seconds: f64,
    progress: &mut dyn FnMut(f64) -> ControlFlow<()>,
) -> (Findings, Result<(), GpuError>) {
    let contest = |asked: &Asked| Contest {
        kernel: asked.kernel,
        forms: asked.forms.iter().map(|form| form.name).collect(),
        cost: asked.weight(),
    };
    let contests: Vec<Contest> = asked.iter().map(contest).collect();
    let mut device = Device { gpu, asked, trial: None, started: Instant::now(), seconds, progress };
    let (findings, stop) = contest::measure(&contests, seconds, &mut device);
    let findings = asked.iter().map(Asked::name).zip(findings).collect();
    (findings, stop.map_or(Ok(()), Err))
}

struct Device<'a> {
    gpu: &'a Gpu,
    asked: &'a [Asked],
    /// The current problem.
    trial: Option<Trial<'a>>,
    started: Instant,
    seconds: f64,
    progress: &'a mut dyn FnMut(f64) -> ControlFlow<()>,
}

impl<'a> Device<'a> {
    fn go_on(&mut self) -> Result<(), Out<GpuError>> {
        let share = (self.now() / self.seconds.max(1e-9)).min(1.0);
        match (self.progress)(share) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Out::All(GpuError::Interrupted)),
        }
    }

    /// Classifies a fault: of a form, or of the device, which then cannot be used any longer.
    fn out(&self, fault: Fault) -> Out<GpuError> {
        match fault {
            Fault::Wrong(what) => Out::Form(Verdict::Wrong(what)),
            Fault::Refused(what) => Out::Form(Verdict::Failed(what)),
            Fault::Failed(error @ (GpuError::Interrupted | GpuError::Lost { .. } | GpuError::Idle { .. })) => {
                Out::All(error)
            }
            Fault::Failed(error) => match self.gpu.stands("measuring forms") {
                Ok(()) => Out::Form(Verdict::Failed(error.to_string())),
                Err(error) => Out::All(error),
            },
        }
    }

    fn on_trial<T>(&mut self, work: impl FnOnce(&mut Trial<'a>) -> Result<T, Fault>) -> Result<T, Out<GpuError>> {
        self.go_on()?;
        let before = self.now();
        let closed = || Fault::Refused("there is no such problem".into());
        let done = self.trial.as_mut().ok_or_else(closed).and_then(work);
        log::trace!("a form: {:.1} ms", 1e3 * (self.now() - before));
        done.map_err(|fault| self.out(fault))
    }
}

impl Track for Device<'_> {
    type Stop = GpuError;

    fn now(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    fn open(&mut self, problem: usize, living: &[usize]) -> Result<(), Out<GpuError>> {
        self.go_on()?;
        let before = self.now();
        // Free the previous problem's device memory first.
        self.trial = None;
        let Asked { key, forms, .. } = &self.asked[problem];
        let case = twins::case_of(key).ok_or_else(|| Out::Form(Verdict::Failed("it has no twin".into())))?;
        let trial = Trial::new(self.gpu, case, key.storage, forms, SEED).map_err(|fault| {
            let out = self.out(fault);
            if let Out::Form(Verdict::Failed(what)) = &out {
                log::info!("{} is not measured: {what}", self.asked[problem].name());
            }
            out
        })?;
        log::trace!("{}: {:.1} ms", self.asked[problem].name(), 1e3 * (self.now() - before));
        trial.prepare(living);
        self.trial = Some(trial);
        Ok(())
    }

    fn warm_up(&mut self, form: usize) -> Result<f64, Out<GpuError>> {
        self.on_trial(|trial| trial.warm_up(form))
    }

    fn run(&mut self, form: usize) -> Result<f64, Out<GpuError>> {
        self.on_trial(|trial| trial.run(form))
    }
}
