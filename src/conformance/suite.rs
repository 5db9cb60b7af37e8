//! The whole suite: which cases there are, and running them on one adapter or several.

use super::LANGUAGE;
use super::journal::Seen;
use super::known::KNOWN;
use super::model;
use super::on::On;
use super::report::{Adapter, Made, Report, Row, Status};
use crate::check::{Case, STORAGES, Tested, Twins};
use crate::gpu::{AdapterChoice, AdapterFacts};
use crate::panics;
use crate::plan::Policy;
use crate::shader::Form;
use crate::twins;
use std::path::PathBuf;
use std::time::Instant;

/// What to run.
pub struct Options {
    /// Only cases whose full name this matches.
    pub only: Option<regex::Regex>,
    /// Only these kinds of storage; all where empty.
    pub storages: Vec<Policy>,
    /// Every case in every form and storage, the whole model and ten equal runs of it by each choice of forms, and the stress test.
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
    pub fn made(&self) -> Made {
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
    pub(super) kernel: &'static str,
    pub(super) shape: String,
    pub(super) storage: Policy,
    pub(super) form: &'static str,
    pub(super) work: Work,
}

pub(super) enum Work {
    Case(usize, &'static Form),
    /// Blocks and result come from one run; a row for each.
    Model,
    /// Ten times; three times where time is short.
    Repeated,
    Stress(usize),
}

/// How the forms of a whole model are chosen: as for the adapter, as for a GPU that has no more than it, and those that need nothing.
pub(super) const RULE: &str = "rule";
pub(super) const GPU: &str = "gpu";
const CHOICES: [&str; 3] = [RULE, GPU, "first"];

/// Every case of the kernels given, in order.
fn cases() -> Vec<(&'static str, Case)> {
    let of = |layer: &'static str, tested: &'static [Tested]| {
        tested.iter().flat_map(move |t| (t.cases)().into_iter().map(move |case| (layer, case)))
    };
    of("language", &LANGUAGE).chain(of("kernels", &twins::ALL)).collect()
}

pub(super) fn name(layer: &str, kernel: &str, shape: &str, storage: Policy, form: &str) -> String {
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
        for storage in [Policy::F32, Policy::PACKED] {
            for form in CHOICES {
                let name = name(layer, kernel, shape, storage, form);
                all.push(Entry { name, kernel, shape: shape.into(), storage, form, work: work() });
            }
        }
    };
    model("blocks", "model", "every block and the result", || Work::Model);
    model("determinism", "model", "equal runs", || Work::Repeated);
    if options.full {
        model("stress", "model", "a hundred runs", || Work::Stress(100));
    }
    let storages = if options.storages.is_empty() { STORAGES } else { &options.storages };
    all.retain(|e| storages.contains(&e.storage) && options.only.as_ref().is_none_or(|only| only.is_match(&e.name)));
    all
}

/// What `options` select, to be run entry by entry.
pub struct Suite<'a> {
    options: &'a Options,
    cases: Vec<(&'static str, Case)>,
    entries: Vec<Entry>,
    twins: Twins,
}

impl<'a> Suite<'a> {
    pub fn new(options: &'a Options) -> Self {
        let cases = cases();
        let entries = select(&cases, options);
        Suite { options, cases, entries, twins: Twins::default() }
    }

    /// In the order in which they are run.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// An adapter that `choice` finds, on which nothing is opened yet.
    pub fn on(&self, facts: AdapterFacts, choice: &AdapterChoice) -> On<'a> {
        On::new(facts, choice.clone(), self.options)
    }

    /// The rows of the entry of that number: one, or one for each part of a model that is compared.
    pub fn run(&mut self, on: &mut On, entry: usize) -> Vec<Row> {
        let started = Instant::now();
        let (entry, cases, twins) = (&self.entries[entry], &self.cases, &mut self.twins);
        let mut rows = panics::caught(|| on.run(entry, cases, twins)).unwrap_or_else(|panic| {
            // The device was closed on the way, and the next case opens another.
            let reason = format!("it broke down: {panic}");
            vec![Row { status: Status::Failed, reason: Some(reason), ..on.row(entry) }]
        });
        let seconds = started.elapsed().as_secs_f64() / rows.len().max(1) as f64;
        rows.iter_mut().for_each(|row| row.seconds = (seconds * 1e3).round() / 1e3);
        rows
    }
}

/// Runs what `options` select on the adapters given. `seen` is told of every adapter and row, and stops the run by returning
/// false: what was done until then is in the report.
pub fn run(
    adapters: &[AdapterFacts],
    choice: &AdapterChoice,
    options: &Options,
    seen: &mut dyn FnMut(Seen) -> bool,
) -> Report {
    let mut report = Report::default();
    let mut suite = Suite::new(options);
    for facts in told_apart(adapters) {
        let adapter = Adapter::new(&facts, options.made());
        let goes_on = seen(Seen::Adapter(&adapter));
        report.adapters.push(adapter);
        if !goes_on {
            return report.interrupted();
        }
        let mut on = suite.on(facts, choice);
        for entry in 0..suite.entries().len() {
            let rows = suite.run(&mut on, entry);
            // What an interrupt cut short has not failed.
            if (options.interrupted)() && rows.iter().any(|row| row.status == Status::Failed) {
                return report.interrupted();
            }
            for row in rows {
                if !seen(Seen::Row(report.add(row, KNOWN))) {
                    return report.interrupted();
                }
            }
        }
    }
    report
}

/// Two alike in one machine get numbers: rows name their adapter.
pub fn told_apart(adapters: &[AdapterFacts]) -> Vec<AdapterFacts> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_selectable() {
        let all = entries(&Options { full: true, ..Default::default() });
        let names: HashSet<&str> = all.iter().map(|e| e.name.as_str()).collect();
        assert_eq!(names.len(), all.len());
        let some = Options { only: regex::Regex::new("^kernels/conv2d/.*packed").ok(), ..Default::default() };
        let some = entries(&some);
        assert!(!some.is_empty() && some.len() < all.len() / 2);
        assert!(some.iter().all(|e| e.kernel == "conv2d" && e.storage == Policy::PACKED));
        let f32 = Options { storages: vec![Policy::F32], ..Default::default() };
        assert!(entries(&f32).iter().all(|e| e.storage == Policy::F32));
    }
}
