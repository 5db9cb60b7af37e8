//! The entries of the suite on one adapter.

use super::dump;
use super::model::{self, BLOCKS, Found, WHOLE};
use super::report::{Row, Status};
use super::suite::{Entry, GPU, Options, RULE, Work, name};
use crate::check::{Case, Outcome, Twins, record_case, run_case_with};
use crate::gpu::{AdapterChoice, AdapterFacts, Gpu};
use crate::plan::{Forms, Policy};
use crate::shader::{Device, Facts, Form};
use std::collections::HashSet;
use std::path::Path;

/// One adapter, its device opened when it is needed, and again after whatever may have broken it.
pub struct On<'a> {
    facts: AdapterFacts,
    choice: AdapterChoice,
    options: &'a Options,
    gpu: Option<Gpu>,
    /// What [`dump::write`] wrote.
    dumped: HashSet<String>,
}

impl<'a> On<'a> {
    pub(super) fn new(facts: AdapterFacts, choice: AdapterChoice, options: &'a Options) -> On<'a> {
        On { facts, choice, options, gpu: None, dumped: HashSet::new() }
    }

    fn open(&self) -> Result<Gpu, String> {
        let adapter = self.facts.index.map(|index| index.to_string());
        let gpu = Gpu::new(&AdapterChoice { adapter, ..self.choice.clone() }).map_err(|e| e.to_string())?;
        Ok(gpu.interrupted_by(self.options.interrupted))
    }

    pub(super) fn row(&self, entry: &Entry) -> Row {
        Row {
            case: entry.name.clone(),
            kernel: entry.kernel.into(),
            variant: entry.form.into(),
            storage: entry.storage.name().into(),
            shape: entry.shape.clone(),
            adapter: self.facts.name.clone(),
            driver: self.facts.driver.clone(),
            status: Status::NotRun,
            ratio: None,
            error: None,
            bound: None,
            place: String::new(),
            reason: None,
            seconds: 0.0,
        }
    }

    pub(super) fn run(&mut self, entry: &Entry, cases: &[(&'static str, Case)], twins: &mut Twins) -> Vec<Row> {
        let gpu = match self.gpu.take().map_or_else(|| self.open(), Ok) {
            Ok(gpu) => gpu,
            Err(reason) => {
                return vec![Row { status: Status::Failed, reason: Some(reason), ..self.row(entry) }];
            }
        };
        if let Work::Case(i, form) = entry.work {
            let row = self.case(&gpu, entry, &cases[i].1, form, twins);
            // A device that has failed may go on failing, which is not the next case's fault.
            self.gpu = (row.status != Status::Failed).then_some(gpu);
            return vec![row];
        }
        let (rule, f32) = (entry.form == RULE, entry.storage == Policy::F32);
        let quick = match entry.work {
            Work::Model => rule || (f32 && entry.form == GPU),
            _ => rule && f32,
        };
        if !self.options.full && !quick {
            self.gpu = Some(gpu);
            // The same rows as where it runs, so that all reports have the same cases.
            let rows: Vec<_> = match entry.work {
                Work::Model => BLOCKS.into_iter().chain(WHOLE).map(|what| self.named(entry, what)).collect(),
                _ => vec![self.row(entry)],
            };
            return rows.into_iter().map(|row| Row { reason: Some("only with --full".into()), ..row }).collect();
        }
        let half = entry.storage != Policy::F32;
        let facts = gpu.forms.facts;
        let forms = match entry.form {
            RULE => gpu.forms.clone(),
            GPU => Forms::by_rule(Facts { device: Device::Discrete, cores: 64, ..facts }),
            _ => Forms::first(facts),
        };
        let found = match entry.work {
            Work::Repeated => {
                model::repeated(gpu, half, forms, if self.options.full { 10 } else { 3 }).map(|f| vec![f])
            }
            Work::Stress(runs) => model::stress(gpu, half, forms, runs).map(|f| f.into_iter().collect()),
            Work::Case(..) | Work::Model => model::against_pytorch(gpu, half, forms),
        };
        match found {
            Ok(found) if found.is_empty() => {
                let reason = "neither the backend nor the system tells how much memory is in use";
                vec![Row { reason: Some(reason.into()), ..self.row(entry) }]
            }
            Ok(found) => found.into_iter().map(|f| self.found(entry, f)).collect(),
            Err(reason) => vec![Row { status: Status::Failed, reason: Some(reason), ..self.row(entry) }],
        }
    }

    /// The row of one of the things that a run of the model is compared in.
    fn named(&self, entry: &Entry, what: &str) -> Row {
        let layer = if BLOCKS.contains(&what) { "blocks" } else { "whole" };
        let case = name(layer, entry.kernel, what, entry.storage, entry.form);
        Row { case, shape: what.into(), ..self.row(entry) }
    }

    fn found(&self, entry: &Entry, found: Found) -> Row {
        let part = BLOCKS.contains(&found.what) || WHOLE.contains(&found.what);
        let mut row = if part { self.named(entry, found.what) } else { self.row(entry) };
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
        let Outcome { variant, ratio, error, bound, place, mut fault, .. } =
            run_case_with(gpu, case, entry.storage, form, self.options.seed, twins);
        if let Err(problem) = dumped {
            fault = Some(fault.map_or(format!("dump: {problem}"), |f| format!("{f}; dump: {problem}")));
        }
        Row {
            status: if fault.is_none() && ratio <= 1.0 { Status::Passed } else { Status::Failed },
            variant: if variant.is_empty() { form.name.into() } else { format!("{}: {variant}", form.name) },
            ratio: finite(ratio),
            error: finite(error),
            bound: finite(bound),
            place,
            reason: fault,
            ..self.row(entry)
        }
    }

    fn dump(&mut self, dir: &Path, gpu: &Gpu, case: &Case, form: &'static Form, entry: &Entry) -> Result<(), String> {
        let schedule = record_case(gpu, case, entry.storage, form)?;
        schedule.dispatches().iter().try_for_each(|d| dump::write(dir, d, entry.storage, &mut self.dumped))
    }
}

/// JSON has no NaN and no infinity; and of an error nobody reads more than six digits.
fn finite(v: f64) -> Option<f64> {
    v.is_finite().then(|| format!("{v:.5e}").parse().unwrap_or(v))
}
