//! Forms chosen by measurement: what is known of them, and finding out what is not.

use super::options::{Progress, Stage, quiet};
use super::planned::{Planned, Setup};
use crate::Error;
use crate::gpu::{AdapterFacts, GpuError};
use crate::tune::{self, Finding, Findings, Kept, Problem, Tuning};
use std::path::Path;
use std::sync::Arc;

/// Where it is remembered, and what is known.
pub(super) struct Tuner {
    pub how: Tuning,
    pub found: Arc<Findings>,
}

impl Tuner {
    /// What a file tells; why it cannot, if so.
    pub fn read(how: Tuning, facts: &AdapterFacts) -> (Tuner, Option<String>) {
        let kept = Kept::read(&how.dir, facts);
        let fault = kept.fault().map(|fault| format!("what was measured before is of no use: {fault}"));
        let known = if how.anew { Findings::new() } else { kept.findings() };
        (Tuner { how, found: Arc::new(known) }, fault)
    }
}

impl Planned {
    /// What is worth a word to the user: files that are of no use, and forms that are not right here and are left out.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Problems of which no form was measured yet, and how many seconds [`Planned::tune`] takes at most.
    pub fn untuned(&self) -> (usize, f64) {
        let unknown = self.draft.tuned.as_ref().map_or(0, |tuned| tuned.unknown().len());
        let device = self.setup.gpu.forms.facts.device;
        (unknown, self.setup.tuner.as_ref().map_or(0.0, |tuner| tuner.how.seconds_on(device)))
    }

    /// What is known of the problems that have several forms: the heaviest first.
    pub fn problems(&self) -> Vec<Problem> {
        self.draft.tuned.as_ref().map(|tuned| tuned.problems()).unwrap_or_default()
    }

    /// Measures the forms that may compute what the model asks for, where that was not done before, and plans with the fastest. The device's
    /// memory serves one layer meanwhile. Without [`SegmenterBuilder::tuning`](super::SegmenterBuilder::tuning) nothing happens.
    ///
    /// # Errors
    /// As [`Planned::tune_with`].
    pub fn tune(self) -> Result<Planned, Error> {
        self.tune_with(&mut quiet)
    }

    /// The same, telling `progress` of it.
    ///
    /// # Errors
    /// An interrupt, a device that is lost, and [`Error::SelfCheck`] where no form of a kernel computes what it should and the device was
    /// to prove that it does.
    pub fn tune_with(mut self, progress: Progress) -> Result<Planned, Error> {
        let asked = self.draft.tuned.as_ref().map(|tuned| tuned.unknown()).unwrap_or_default();
        let (Some(tuner), false) = (&mut self.setup.tuner, asked.is_empty()) else { return Ok(self) };
        let gpu = &self.setup.gpu;
        let mut kept = Kept::read(&tuner.how.dir, gpu.facts());
        if let Err(error) = kept.begin(&asked) {
            self.notes.push(format!("forms go by the rule, as what was measured could not be kept: {error}"));
            return Ok(self);
        }
        let seconds = tuner.how.seconds_on(gpu.forms.facts.device);
        let (found, ended) = tune::measure(gpu, &asked, seconds, &mut |share| progress(Stage::Tune, share));
        let new = found.clone();
        if let Err(error) = kept.end(found, matches!(ended, Err(GpuError::Interrupted))) {
            self.notes.push(format!("what was measured is not kept: {error}"));
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
    /// Notes forms that are not right. Where no other is, the device is not to be believed.
    fn look_at(&self, problem: &str, finding: &Finding, notes: &mut Vec<String>) -> Result<(), Error> {
        for (form, wrong) in finding.wrong() {
            let what = format!("{problem}, form {form}: {wrong}");
            if finding.is_hopeless() && !self.known_answers.is_off() {
                let facts = self.gpu.facts();
                return Err(Error::SelfCheck { adapter: facts.name.clone(), driver: facts.driver.clone(), what });
            }
            notes.push(format!("a form that is not within its bound here is left out: {what}"));
        }
        Ok(())
    }
}

/// How many problems were measured on an adapter under its driver, by the file in `dir`.
pub fn measured_on(facts: &AdapterFacts, dir: &Path) -> usize {
    Kept::read(dir, facts).findings().values().filter(|finding| finding.chosen().is_some()).count()
}
