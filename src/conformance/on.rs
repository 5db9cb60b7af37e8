//! Runs the suite's entries on one adapter.

use super::dump;
use super::model::{self, BLOCKS, Finding, WHOLE};
use super::options::Options;
use super::report::Row;
use super::status::Status;
use super::suite::{Entry, GPU, RULE, Work};
use crate::check::{Case, Outcome, Twins, record_case, run_case_by};
use crate::gpu::{AdapterChoice, AdapterFacts, Gpu, GpuError, Wait, block_on};
use crate::plan::{Forms, Policy};
use crate::shader::{Device, Facts, Form, Ranges};
use crate::weights::ModelFiles;
use std::collections::HashSet;
use std::path::Path;

type Parts = Vec<(&'static str, Result<Finding, String>)>;

/// One adapter. Its device is opened on first use, and again after anything that may have broken it.
pub struct On<'a> {
    facts: AdapterFacts,
    choice: AdapterChoice,
    options: &'a Options,
    gpu: Option<Gpu>,
    /// A run of the model, and its comparisons that no entry has taken yet.
    run: Option<(Policy, &'static str)>,
    parts: Parts,
    /// Files that [`dump::write`] wrote.
    dumped: HashSet<String>,
}

impl<'a> On<'a> {
    pub(super) fn new(facts: AdapterFacts, choice: AdapterChoice, options: &'a Options) -> On<'a> {
        On { facts, choice, options, gpu: None, run: None, parts: Vec::new(), dumped: HashSet::new() }
    }

    pub(super) fn facts(&self) -> &AdapterFacts {
        &self.facts
    }

    pub(super) fn row(&self, entry: &Entry) -> Row {
        entry.row(&self.facts)
    }

    pub(super) async fn run(
        &mut self,
        wait: Wait,
        entry: &Entry,
        cases: &[(&'static str, Case)],
        twins: &mut Twins,
    ) -> Row {
        let result = match entry.work {
            Work::Case(i, form) => self.checked_case((wait, entry), &cases[i].1, form, twins).await,
            _ if !self.options.full && !is_quick(entry) => {
                Ok(Row { reason: Some("only with --full".into()), ..self.row(entry) })
            }
            Work::Model(what) => self.part(wait, entry, what).await.map(|found| self.found(entry, found)),
            _ => self.runs(wait, entry).await.map(|found| match found {
                Some(found) => self.found(entry, found),
                None => {
                    let reason = "neither the backend nor the system reports the memory in use";
                    Row { reason: Some(reason.into()), ..self.row(entry) }
                }
            }),
        };
        result.unwrap_or_else(|reason| Row { status: Status::Failed, reason: Some(reason), ..self.row(entry) })
    }

    async fn checked_case(
        &mut self,
        (wait, entry): (Wait, &Entry),
        case: &Case,
        form: &'static Form,
        twins: &mut Twins,
    ) -> Result<Row, String> {
        let gpu = self.gpu_for(case).await?;
        let row = self.case((wait, &gpu), entry, case, form, twins).await;
        // A failed device may go on failing, which is not the next case's fault.
        let good = row.status != Status::Failed && !asks_for_checks(case);
        self.gpu = good.then_some(gpu);
        Ok(row)
    }

    /// The open device, or a new one.
    async fn gpu(&mut self) -> Result<Gpu, String> {
        match self.gpu.take() {
            Some(gpu) => Ok(gpu),
            None => request(&self.facts, &self.choice, self.options).await,
        }
    }

    /// Like the above, but a case that reaches beyond its bindings gets a device with range checks, for this case only.
    async fn gpu_for(&mut self, case: &Case) -> Result<Gpu, String> {
        let gpu = self.gpu().await?;
        let checked = || AdapterChoice { checked: true, ..self.choice.clone() };
        match asks_for_checks(case) && !gpu.facts().range_checks {
            true => request(&self.facts, &checked(), self.options).await,
            false => Ok(gpu),
        }
    }

    /// All comparisons of a model run come from one run, until an entry asks for the same one again.
    async fn part(&mut self, wait: Wait, entry: &Entry, what: &'static str) -> Result<Finding, String> {
        let run = (entry.storage, entry.form);
        let at = |parts: &Parts| parts.iter().position(|(part, _)| *part == what);
        if self.run != Some(run) || at(&self.parts).is_none() {
            (self.run, self.parts) = (Some(run), Vec::new());
            let found = self.compared(wait, entry).await;
            self.parts = match found {
                Ok(found) => found.into_iter().map(|found| (found.what, Ok(found))).collect(),
                Err(reason) => BLOCKS.into_iter().chain(WHOLE).map(|part| (part, Err(reason.clone()))).collect(),
            };
        }
        let at = at(&self.parts).ok_or("the model run does not include this comparison")?;
        self.parts.swap_remove(at).1
    }

    async fn compared(&mut self, wait: Wait, entry: &Entry) -> Result<Vec<Finding>, String> {
        let gpu = self.gpu().await?;
        let forms = forms(entry, &gpu);
        model::against_pytorch((wait, gpu), self.files()?, is_half(entry), forms).await
    }

    /// The model that the record was made with.
    fn files(&self) -> Result<ModelFiles, String> {
        self.options.model.clone().map_or_else(unnamed, Ok)
    }

    /// Runs the model several times; `None` if the runs can show nothing.
    async fn runs(&mut self, wait: Wait, entry: &Entry) -> Result<Option<Finding>, String> {
        let (gpu, files) = (self.gpu().await?, self.files()?);
        let (half, forms) = (is_half(entry), forms(entry, &gpu));
        match entry.work {
            Work::Stress(runs) => model::stress((wait, gpu), files, half, forms, runs).await,
            _ => {
                let runs = if self.options.full { 10 } else { 3 };
                model::repeated((wait, gpu), files, half, forms, runs).await.map(Some)
            }
        }
    }

    fn found(&self, entry: &Entry, found: Finding) -> Row {
        let mut row = self.row(entry);
        let passed = found.fault.is_none() && found.ratio <= 1.0;
        row.status = if passed { Status::Passed } else { Status::Failed };
        (row.ratio, row.error, row.bound) = (finite(found.ratio), finite(found.error), finite(found.bound));
        (row.place, row.reason) = (found.place, found.fault);
        row.variant = format!("{}: {}", entry.form, Vec::from_iter(found.forms).join(", "));
        row
    }

    async fn case(
        &mut self,
        (wait, gpu): (Wait, &Gpu),
        entry: &Entry,
        case: &Case,
        form: &'static Form,
        twins: &mut Twins,
    ) -> Row {
        if let Some(reason) = case.lacks(gpu, entry.storage, form) {
            return Row { reason: Some(reason), ..self.row(entry) };
        }
        if !self.options.full && case.is_spare(gpu, entry.storage, form) {
            return Row { reason: Some("only with --full".into()), ..self.row(entry) };
        }
        // Before the run: if the driver ends the process, its shader is what one needs.
        let dumped = self.options.dump.as_ref().map_or(Ok(()), |dir| self.dump(dir, gpu, case, form, entry));
        let mut outcome = run_case_by(wait, gpu, case, entry.storage, form, self.options.seed, twins).await;
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
        // A compile-time condition, so that translators are not linked there.
        if cfg!(target_arch = "wasm32") {
            return Err("a browser has no file system".into());
        }
        let schedule = record_case(gpu, case, entry.storage, form)?;
        schedule.dispatches().iter().try_for_each(|d| dump::write(dir, d, entry.storage, &mut self.dumped))
    }
}

fn asks_for_checks(case: &Case) -> bool {
    case.needs.ranges == Ranges::Checked
}

/// Opens a device of that adapter.
pub(super) fn open(facts: &AdapterFacts, choice: &AdapterChoice, options: &Options) -> Result<Gpu, String> {
    let opened = async { Ok(request(facts, choice, options).await) };
    block_on(opened).unwrap_or_else(|blocks: GpuError| Err(blocks.to_string()))
}

async fn request(facts: &AdapterFacts, choice: &AdapterChoice, options: &Options) -> Result<Gpu, String> {
    let adapter = facts.index.map(|index| index.to_string());
    let gpu = Gpu::request(&AdapterChoice { adapter, ..choice.clone() }).await.map_err(|e| e.to_string())?;
    Ok(gpu.interrupted_by(options.interrupted))
}

/// The model when no model is given.
#[cfg(feature = "embedded")]
fn unnamed() -> Result<ModelFiles, String> {
    ModelFiles::embedded().map_err(|e| e.to_string())
}

#[cfg(not(feature = "embedded"))]
fn unnamed() -> Result<ModelFiles, String> {
    Err("this build embeds no demonstration model, and none was given".into())
}

/// A case's row with its outcome.
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

/// Whether the quick suite includes these runs of the model.
fn is_quick(entry: &Entry) -> bool {
    let (rule, f32) = (entry.form == RULE, !is_half(entry));
    match entry.work {
        Work::Model(_) => rule || (f32 && entry.form == GPU),
        _ => rule && f32,
    }
}

fn is_half(entry: &Entry) -> bool {
    entry.storage != Policy::F32
}

/// The choice of forms for a whole model.
fn forms(entry: &Entry, gpu: &Gpu) -> Forms {
    let facts = gpu.forms.facts;
    match entry.form {
        RULE => gpu.forms.clone(),
        GPU => Forms::by_rule(Facts { device: Device::Discrete, cores: 64, ..facts }),
        _ => Forms::first(facts),
    }
}

/// JSON has no NaN and no infinity, and six digits of an error are enough.
fn finite(v: f64) -> Option<f64> {
    v.is_finite().then(|| format!("{v:.5e}").parse().unwrap_or(v))
}
