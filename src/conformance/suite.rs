//! The whole suite: which cases there are, and running them on one adapter or several.

use super::journal::Seen;
use super::known::{KNOWN, Known};
use super::model::{self, BLOCKS, Found, WHOLE};
use super::report::{Adapter, Made, Report, Row, Status};
use super::{LANGUAGE, dump};
use crate::check::{Case, Outcome, STORAGES, Tested, Twins, record_case, run_case_with};
use crate::gpu::{AdapterChoice, AdapterFacts, Gpu};
use crate::panics;
use crate::plan::{Forms, Storage};
use crate::shader::Form;
use crate::twins;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What to run.
pub struct Options {
    /// Only cases whose full name this matches.
    pub only: Option<regex::Regex>,
    /// Only these kinds of storage; all where empty.
    pub storages: Vec<Storage>,
    /// Large cases and ten equal runs in every form of the kernels too, and the stress test.
    pub full: bool,
    pub seed: u64,
    /// Where the shaders and their translations go.
    pub dump: Option<PathBuf>,
    /// Asked during waits for a device: does the run end?
    pub interrupted: fn() -> bool,
}

impl Default for Options {
    fn default() -> Options {
        Options { only: None, storages: vec![], full: false, seed: 0, dump: None, interrupted: || false }
    }
}

impl Options {
    fn made(&self) -> Made {
        Made {
            version: env!("CARGO_PKG_VERSION").into(),
            commit: env!("DIFFEWS_COMMIT").into(),
            record: model::record(),
            full: self.full,
            only: self.only.as_ref().map(|only| only.to_string()),
            seed: self.seed,
            interrupted: false,
        }
    }
}

/// One case in one storage and form. `name` says all of it: layer/kernel/shape/storage/form.
pub struct Entry {
    pub name: String,
    kernel: &'static str,
    shape: String,
    storage: Storage,
    form: &'static str,
    work: Work,
}

enum Work {
    Case(usize, &'static Form),
    /// Blocks and result come from one run; a row for each.
    Model,
    Repeated(usize),
    Stress(usize),
}

/// How the forms of a whole model are chosen: as for the adapter, and those that need nothing of it.
const RULE: &str = "rule";
const CHOICES: [&str; 2] = [RULE, "first"];

/// Every case of the kernels given, in order.
fn cases() -> Vec<(&'static str, Case)> {
    let of = |layer: &'static str, tested: &'static [Tested]| {
        tested.iter().flat_map(move |t| (t.cases)().into_iter().map(move |case| (layer, case)))
    };
    of("language", &LANGUAGE).chain(of("kernels", &twins::ALL)).collect()
}

fn name(layer: &str, kernel: &str, shape: &str, storage: Storage, form: &str) -> String {
    format!("{layer}/{kernel}/{shape}/{}/{form}", storage.name())
}

/// What `options` select, in the order in which it is run.
pub fn entries(options: &Options) -> Vec<Entry> {
    select(&cases(), options)
}

fn select(cases: &[(&'static str, Case)], options: &Options) -> Vec<Entry> {
    let mut all = Vec::new();
    for (i, (layer, case)) in cases.iter().enumerate() {
        let forms: Vec<&'static Form> = case.kernel.forms.iter().filter(|form| case.takes(form)).collect();
        for &storage in case.storages {
            for form in &forms {
                all.push(Entry {
                    name: name(layer, case.kernel.name, &case.name, storage, form.name),
                    kernel: case.kernel.name,
                    shape: case.name.clone(),
                    storage,
                    form: form.name,
                    work: Work::Case(i, form),
                });
            }
        }
    }
    let mut model = |layer: &'static str, kernel: &'static str, shape: &str, work: fn() -> Work| {
        for storage in [Storage::F32, Storage::Packed] {
            for form in CHOICES {
                let name = name(layer, kernel, shape, storage, form);
                all.push(Entry { name, kernel, shape: shape.into(), storage, form, work: work() });
            }
        }
    };
    model("blocks", "model", "every block and the result", || Work::Model);
    model("determinism", "model", "ten runs", || Work::Repeated(10));
    if options.full {
        model("stress", "model", "a hundred runs", || Work::Stress(100));
    }
    let storages = if options.storages.is_empty() { STORAGES } else { &options.storages };
    all.retain(|e| storages.contains(&e.storage) && options.only.as_ref().is_none_or(|only| only.is_match(&e.name)));
    all
}

/// Runs what `options` select on the adapters given. `seen` is told of every adapter and row, and stops the run by returning
/// false: what was done until then is in the report.
pub fn run(
    adapters: &[AdapterFacts],
    choice: &AdapterChoice,
    options: &Options,
    seen: &mut dyn FnMut(Seen) -> bool,
) -> Report {
    run_with(adapters, choice, options, KNOWN, seen)
}

fn run_with(
    adapters: &[AdapterFacts],
    choice: &AdapterChoice,
    options: &Options,
    known: &[Known],
    seen: &mut dyn FnMut(Seen) -> bool,
) -> Report {
    let mut report = Report::default();
    let cases = cases();
    let entries = select(&cases, options);
    let mut twins = Twins::default();
    for facts in &told_apart(adapters) {
        let adapter = Adapter::new(facts, options.made());
        let goes_on = seen(Seen::Adapter(&adapter));
        report.adapters.push(adapter);
        if !goes_on {
            return report.interrupted();
        }
        let mut on = On { facts, choice, options, gpu: None, dumped: HashSet::new() };
        for entry in &entries {
            let started = Instant::now();
            let mut rows = panics::caught(|| on.run(entry, &cases, &mut twins)).unwrap_or_else(|panic| {
                // The device was closed on the way, and the next case opens another.
                let reason = format!("it broke down: {panic}");
                vec![Row { status: Status::Failed, reason: Some(reason), ..on.row(entry) }]
            });
            // What an interrupt cut short has not failed.
            if (options.interrupted)() && rows.iter().any(|row| row.status == Status::Failed) {
                return report.interrupted();
            }
            let seconds = started.elapsed().as_secs_f64() / rows.len().max(1) as f64;
            rows.iter_mut().for_each(|row| row.seconds = (seconds * 1e3).round() / 1e3);
            for row in rows {
                if !seen(Seen::Row(report.add(row, known))) {
                    return report.interrupted();
                }
            }
        }
    }
    report
}

/// Two alike in one machine get numbers: rows name their adapter.
fn told_apart(adapters: &[AdapterFacts]) -> Vec<AdapterFacts> {
    let mut all = adapters.to_vec();
    for i in 1..all.len() {
        let alike = |a: &&AdapterFacts| a.name == adapters[i].name && a.driver == adapters[i].driver;
        let before = adapters[..i].iter().filter(alike).count();
        if before > 0 {
            all[i].name += &format!(" #{}", before + 1);
        }
    }
    all
}

/// One adapter, its device opened when it is needed, and again after whatever may have broken it.
struct On<'a> {
    facts: &'a AdapterFacts,
    choice: &'a AdapterChoice,
    options: &'a Options,
    gpu: Option<Gpu>,
    /// What [`dump::write`] wrote.
    dumped: HashSet<String>,
}

impl On<'_> {
    fn open(&self) -> Result<Gpu, String> {
        let adapter = self.facts.index.map(|index| index.to_string());
        let gpu = Gpu::new(&AdapterChoice { adapter, ..self.choice.clone() }).map_err(|e| e.to_string())?;
        Ok(gpu.interrupted_by(self.options.interrupted))
    }

    fn row(&self, entry: &Entry) -> Row {
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

    fn run(&mut self, entry: &Entry, cases: &[(&'static str, Case)], twins: &mut Twins) -> Vec<Row> {
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
        let (rule, f32) = (entry.form == RULE, entry.storage == Storage::F32);
        let quick = match entry.work {
            Work::Model => rule || f32,
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
        let half = entry.storage != Storage::F32;
        let forms = if entry.form == RULE { gpu.forms.clone() } else { Forms::first(gpu.forms.facts) };
        let found = match entry.work {
            Work::Repeated(runs) => model::repeated(gpu, half, forms, runs).map(|f| vec![f]),
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
        if !self.options.full && case.is_long(gpu, form) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_selectable() {
        let all = entries(&Options { full: true, ..Default::default() });
        let names: HashSet<&str> = all.iter().map(|e| e.name.as_str()).collect();
        assert_eq!(names.len(), all.len());
        let some = Options { only: regex::Regex::new("^kernels/conv2d/.*packed").ok(), ..Default::default() };
        let some = entries(&some);
        assert!(!some.is_empty() && some.len() < all.len() / 2);
        assert!(some.iter().all(|e| e.kernel == "conv2d" && e.storage == Storage::Packed));
        let f32 = Options { storages: vec![Storage::F32], ..Default::default() };
        assert!(entries(&f32).iter().all(|e| e.storage == Storage::F32));
    }
}
