//! The entries of the suite on one adapter.

use super::dump;
use super::model::{self, BLOCKS, Found, WHOLE};
use super::options::Options;
use super::report::Row;
use super::status::Status;
use super::suite::{Entry, GPU, RULE, Work};
use crate::check::{Case, Outcome, Twins, record_case, run_case_with};
use crate::gpu::{AdapterChoice, AdapterFacts, Gpu};
use crate::plan::{Forms, Policy};
use crate::shader::{Device, Facts, Form, Ranges};
use std::collections::HashSet;
use std::path::Path;

type Parts = Vec<(&'static str, Result<Found, String>)>;

/// One adapter, its device opened when it is needed, and again after whatever may have broken it.
pub struct On<'a> {
    facts: AdapterFacts,
    choice: AdapterChoice,
    options: &'a Options,
    gpu: Option<Gpu>,
    /// A run of the model, and what of it nobody has asked for yet.
    run: Option<(Policy, &'static str)>,
    parts: Parts,
    /// What [`dump::write`] wrote.
    dumped: HashSet<String>,
}

impl<'a> On<'a> {
    pub(super) fn new(facts: AdapterFacts, choice: AdapterChoice, options: &'a Options) -> On<'a> {
        On { facts, choice, options, gpu: None, run: None, parts: Vec::new(), dumped: HashSet::new() }
    }

    pub(super) fn row(&self, entry: &Entry) -> Row {
        entry.row(&self.facts)
    }

    pub(super) fn run(&mut self, entry: &Entry, cases: &[(&'static str, Case)], twins: &mut Twins) -> Row {
        let result = match entry.work {
            Work::Case(i, form) => self.gpu_for(&cases[i].1).map(|gpu| {
                let row = self.case(&gpu, entry, &cases[i].1, form, twins);
                // A device that has failed may go on failing, which is not the next case's fault.
                let good = row.status != Status::Failed && !asks_for_checks(&cases[i].1);
                self.gpu = good.then_some(gpu);
                row
            }),
            _ if !self.options.full && !is_quick(entry) => {
                Ok(Row { reason: Some("only with --full".into()), ..self.row(entry) })
            }
            Work::Part(what) => self.part(entry, what).map(|found| self.found(entry, found)),
            _ => self.runs(entry).map(|found| match found {
                Some(found) => self.found(entry, found),
                None => {
                    let reason = "neither the backend nor the system tells how much memory is in use";
                    Row { reason: Some(reason.into()), ..self.row(entry) }
                }
            }),
        };
        result.unwrap_or_else(|reason| Row { status: Status::Failed, reason: Some(reason), ..self.row(entry) })
    }

    /// The device at hand, or another.
    fn gpu(&mut self) -> Result<Gpu, String> {
        self.gpu.take().map_or_else(|| open(&self.facts, &self.choice, self.options), Ok)
    }

    /// The same, but for a case that reaches beyond its bindings one that checks ranges, and is for no other case.
    fn gpu_for(&mut self, case: &Case) -> Result<Gpu, String> {
        let gpu = self.gpu()?;
        match asks_for_checks(case) && !gpu.facts().range_checks {
            true => open(&self.facts, &AdapterChoice { checked: true, ..self.choice.clone() }, self.options),
            false => Ok(gpu),
        }
    }

    /// What one run of the model is compared in comes of one run, until the same is asked for again.
    fn part(&mut self, entry: &Entry, what: &'static str) -> Result<Found, String> {
        let run = (entry.storage, entry.form);
        let at = |parts: &Parts| parts.iter().position(|(part, _)| *part == what);
        if self.run != Some(run) || at(&self.parts).is_none() {
            (self.run, self.parts) = (Some(run), Vec::new());
            let found = self.gpu().and_then(|gpu| {
                let forms = forms(entry, &gpu);
                model::against_pytorch(gpu, is_half(entry), forms)
            });
            self.parts = match found {
                Ok(found) => found.into_iter().map(|found| (found.what, Ok(found))).collect(),
                Err(reason) => BLOCKS.into_iter().chain(WHOLE).map(|part| (part, Err(reason.clone()))).collect(),
            };
        }
        let at = at(&self.parts).ok_or("the run of the model does not tell of it")?;
        self.parts.swap_remove(at).1
    }

    /// Several runs of the model; none where they tell nothing.
    fn runs(&mut self, entry: &Entry) -> Result<Option<Found>, String> {
        let gpu = self.gpu()?;
        let (half, forms) = (is_half(entry), forms(entry, &gpu));
        match entry.work {
            Work::Stress(runs) => model::stress(gpu, half, forms, runs),
            _ => model::repeated(gpu, half, forms, if self.options.full { 10 } else { 3 }).map(Some),
        }
    }

    fn found(&self, entry: &Entry, found: Found) -> Row {
        let mut row = self.row(entry);
        let passed = found.fault.is_none() && found.ratio <= 1.0;
        row.status = if passed { Status::Passed } else { Status::Failed };
        (row.ratio, row.error, row.bound) = (finite(found.ratio), finite(found.error), finite(found.bound));
        (row.place, row.reason) = (found.place, found.fault);
        row.variant = format!("{}: {}", entry.form, Vec::from_iter(found.forms).join(", "));
        row
    }

    fn case(&mut self, gpu: &Gpu, entry: &Entry, case: &Case, form: &'static Form, twins: &mut Twins) -> Row {
        if let Some(reason) = case.lacks(gpu, entry.storage, form) {
            return Row { reason: Some(reason), ..self.row(entry) };
        }
        if !self.options.full && case.is_spare(gpu, entry.storage, form) {
            return Row { reason: Some("only with --full".into()), ..self.row(entry) };
        }
        // Before it runs: a driver that ends the process is what one wants the shader of.
        let dumped = self.options.dump.as_ref().map_or(Ok(()), |dir| self.dump(dir, gpu, case, form, entry));
        let mut outcome = run_case_with(gpu, case, entry.storage, form, self.options.seed, twins);
        if let Err(problem) = dumped {
            outcome.fault = Some(outcome.fault.map_or(format!("dump: {problem}"), |f| format!("{f}; dump: {problem}")));
        }
        let variant = match outcome.variant.as_str() {
            "" => form.name.into(),
            variant => format!("{}: {variant}", form.name),
        };
        Row { variant, ..finish(self.row(entry), self.options.strict, outcome) }
    }

    fn dump(&mut self, dir: &Path, gpu: &Gpu, case: &Case, form: &'static Form, entry: &Entry) -> Result<(), String> {
        let schedule = record_case(gpu, case, entry.storage, form)?;
        schedule.dispatches().iter().try_for_each(|d| dump::write(dir, d, entry.storage, &mut self.dumped))
    }
}

fn asks_for_checks(case: &Case) -> bool {
    case.needs.ranges == Ranges::Checked
}

/// A device of that adapter.
pub(super) fn open(facts: &AdapterFacts, choice: &AdapterChoice, options: &Options) -> Result<Gpu, String> {
    let adapter = facts.index.map(|index| index.to_string());
    let gpu = Gpu::new(&AdapterChoice { adapter, ..choice.clone() }).map_err(|e| e.to_string())?;
    Ok(gpu.interrupted_by(options.interrupted))
}

/// A case's row with what came of it.
pub(super) fn finish(row: Row, strictly: bool, outcome: Outcome) -> Row {
    let Outcome { ratio, strict, error, bound, place, fault, .. } = outcome;
    let judged = if strictly { strict } else { ratio };
    Row {
        status: if fault.is_none() && judged <= 1.0 { Status::Passed } else { Status::Failed },
        ratio: finite(ratio),
        strict: finite(strict),
        error: finite(error),
        bound: finite(bound),
        place,
        reason: fault,
        ..row
    }
}

/// Are these runs of the model those that are made where time is short?
fn is_quick(entry: &Entry) -> bool {
    let (rule, f32) = (entry.form == RULE, !is_half(entry));
    match entry.work {
        Work::Part(_) => rule || (f32 && entry.form == GPU),
        _ => rule && f32,
    }
}

fn is_half(entry: &Entry) -> bool {
    entry.storage != Policy::F32
}

/// The forms of a whole model.
fn forms(entry: &Entry, gpu: &Gpu) -> Forms {
    let facts = gpu.forms.facts;
    match entry.form {
        RULE => gpu.forms.clone(),
        GPU => Forms::by_rule(Facts { device: Device::Discrete, cores: 64, ..facts }),
        _ => Forms::first(facts),
    }
}

/// JSON has no NaN and no infinity; and of an error nobody reads more than six digits.
fn finite(v: f64) -> Option<f64> {
    v.is_finite().then(|| format!("{v:.5e}").parse().unwrap_or(v))
}
