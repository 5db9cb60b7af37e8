//! Forms chosen by measurement: kept measurements, and making new ones.

use super::options::{Progress, Stage, quiet};
use super::planned::{Planned, Setup};
use crate::Error;
use crate::gpu::{AdapterFacts, GpuError};
use crate::tune::{self, Finding, Findings, Kept, Problem, Tuning};
use std::path::Path;
use std::sync::Arc;

/// The measurements and their file.
pub(super) struct Tuner {
    pub how: Tuning,
    pub found: Arc<Findings>,
}

impl Tuner {
    /// Reads the file; also returns the reason if it cannot be used.
    pub fn read(how: Tuning, facts: &AdapterFacts) -> (Tuner, Option<String>) {
        let kept = Kept::read(&how.dir, facts);
        let fault = kept.fault().map(|fault| format!("earlier measurements cannot be used: {fault}"));
        let known = if how.anew { Findings::new() } else { kept.findings() };
        (Tuner { how, found: Arc::new(known) }, fault)
    }
}

impl Planned {
    /// Notes for the user: files that cannot be used, and forms that compute wrong results here and are skipped.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Number of problems without measurements, and the most seconds that [`Planned::tune`] takes.
    pub fn untuned(&self) -> (usize, f64) {
        let unknown = self.draft.tuned.as_ref().map_or(0, |tuned| tuned.unknown().len());
        let device = self.setup.gpu.forms.facts.device;
        (unknown, self.setup.tuner.as_ref().map_or(0.0, |tuner| tuner.how.seconds_on(device)))
    }

    /// Measurements of the problems with several forms, the heaviest first.
    pub fn problems(&self) -> Vec<Problem> {
        self.draft.tuned.as_ref().map(|tuned| tuned.problems()).unwrap_or_default()
    }

    /// Measures the forms for the model's problems that were not measured before, and plans with the fastest. Meanwhile only one layer is
    /// on the device. Does nothing without [`SegmenterBuilder::tuning`](super::SegmenterBuilder::tuning).
    ///
    /// # Errors
    /// As [`Planned::tune_with`].
    pub fn tune(self) -> Result<Planned, Error> {
        self.tune_with(&mut quiet)
    }

    /// The same, with reports to `progress`.
    ///
    /// # Errors
    /// An interrupt, a lost device, and [`Error::SelfCheck`] if no form of a kernel computes right results and the self-check is
    /// on.
    pub fn tune_with(mut self, progress: Progress) -> Result<Planned, Error> {
        let asked = self.draft.tuned.as_ref().map(|tuned| tuned.unknown()).unwrap_or_default();
        let (Some(tuner), false) = (&mut self.setup.tuner, asked.is_empty()) else { return Ok(self) };
        let gpu = &self.setup.gpu;
        let mut kept = Kept::read(&tuner.how.dir, gpu.facts());
        if let Err(error) = kept.begin(&asked) {
            self.notes.push(format!("forms are chosen by rule, because measurements cannot be kept: {error}"));
            return Ok(self);
        }
        let seconds = tuner.how.seconds_on(gpu.forms.facts.device);
        let (found, ended) = tune::measure(gpu, &asked, seconds, &mut |share| progress(Stage::Tune, share));
        let new = found.clone();
        if let Err(error) = kept.end(found, matches!(ended, Err(GpuError::Interrupted))) {
            self.notes.push(format!("measurements cannot be kept: {error}"));
        }
        ended?;
        Arc::make_mut(&mut tuner.found).extend(new.clone());
        for (problem, finding) in &new {
            self.setup.look_at(problem, finding, &mut self.notes)?;
        }
        self.draft = self.setup.draft(self.draft.storage, &mut |_, _| {})?;
        Ok(self)
    }
}

impl Setup {
    /// Notes forms with wrong results. If all forms are wrong, the device fails.
    fn look_at(&self, problem: &str, finding: &Finding, notes: &mut Vec<String>) -> Result<(), Error> {
        for (form, wrong) in finding.wrong() {
            let what = format!("{problem}, form {form}: {wrong}");
            if finding.is_hopeless() && !self.known_answers.is_off() {
                let facts = self.gpu.facts();
                return Err(Error::SelfCheck { adapter: facts.name.clone(), driver: facts.driver.clone(), what });
            }
            notes.push(format!("a form with errors beyond its bound is skipped here: {what}"));
        }
        Ok(())
    }
}

/// Number of problems measured on an adapter with its driver, from the file in `dir`.
pub fn measured_on(facts: &AdapterFacts, dir: &Path) -> usize {
    Kept::read(dir, facts).findings().values().filter(|finding| finding.chosen().is_some()).count()
}
