//! The whole suite: its cases, and running them on one or more adapters.

use super::LANGUAGE;
use super::journal::Seen;
use super::known::{self, KNOWN};
use super::model::{BLOCKS, WHOLE};
use super::on::On;
use super::options::{Fraction, Options};
use super::report::{Adapter, Report, Row};
use super::status::Status;
use crate::check::{Case, Tested, Twins, slug};
use crate::gpu::{AdapterChoice, AdapterFacts, GpuError, Wait, block_on};
use crate::panics;
use crate::plan::Policy;
use crate::shader::Form;
use crate::twins;
use web_time::Instant;

/// One case in one storage and form.
pub struct Entry {
    /// layer.kernel.form.storage.shape, in `[A-Za-z0-9_.-]`. Stable when cases are added or titles reworded.
    pub id: String,
    /// layer/kernel/shape/storage/form, for people.
    pub title: String,
    pub(super) kernel: &'static str,
    pub(super) shape: String,
    pub(super) storage: Policy,
    pub(super) form: &'static str,
    pub(super) work: Work,
}

#[derive(Clone, Copy)]
pub(super) enum Work {
    Case(usize, &'static Form),
    /// One of the comparisons of a model run.
    Model(&'static str),
    /// Ten times, or three times in the quick suite.
    Repeated,
    Stress(usize),
}

impl Entry {
    /// `slug` is the shape's part of the id.
    fn new(
        layer: &str,
        kernel: &'static str,
        shape: &str,
        slug: &str,
        (storage, form): (Policy, &'static str),
    ) -> Entry {
        Entry {
            id: format!("{layer}.{kernel}.{form}.{}.{slug}", storage.name()),
            title: format!("{layer}/{kernel}/{shape}/{}/{form}", storage.name()),
            kernel,
            shape: shape.into(),
            storage,
            form,
            work: Work::Repeated,
        }
    }

    /// The row of an entry that was not run.
    pub fn row(&self, on: &AdapterFacts) -> Row {
        Row {
            id: self.id.clone(),
            case: self.title.clone(),
            kernel: self.kernel.into(),
            variant: self.form.into(),
            storage: self.storage.name().into(),
            shape: self.shape.clone(),
            adapter: on.name.clone(),
            driver: on.driver.clone(),
            status: Status::NotRun,
            ratio: None,
            strict: None,
            error: None,
            bound: None,
            place: String::new(),
            reason: None,
            seconds: 0.0,
        }
    }

    /// Whether a single run gives both results.
    fn shares_run(&self, other: &Entry) -> bool {
        let parts = matches!((self.work, other.work), (Work::Model(_), Work::Model(_)));
        parts && (self.storage, self.form) == (other.storage, other.form)
    }
}

/// How to choose the forms of a whole model: as for the adapter, as for a GPU with the same features, or those without requirements.
pub(super) const RULE: &str = "rule";
pub(super) const GPU: &str = "gpu";
const CHOICES: [&str; 3] = [RULE, GPU, "first"];

/// Every case of the given kernels, in order.
pub(super) fn cases() -> Vec<(&'static str, Case)> {
    let of = |layer: &'static str, tested: &'static [Tested]| {
        tested.iter().flat_map(move |t| (t.cases)().into_iter().map(move |case| (layer, case)))
    };
    of("language", &LANGUAGE).chain(of("kernels", &twins::ALL)).collect()
}

/// The entries that `options` select, in the order of execution.
pub fn entries(options: &Options) -> Vec<Entry> {
    select(&cases(), options)
}

fn select(cases: &[(&'static str, Case)], options: &Options) -> Vec<Entry> {
    let mut all = Vec::new();
    for (i, (layer, case)) in cases.iter().enumerate() {
        let forms: Vec<&'static Form> = case.kernel.forms.iter().filter(|form| case.takes(form)).collect();
        for &storage in case.storages {
            for form in forms.iter().filter(|form| storage.suits(form)) {
                let entry = Entry::new(layer, case.kernel.name, &case.name, &case.id, (storage, form.name));
                all.push(Entry { work: Work::Case(i, form), ..entry });
            }
        }
    }
    let mut model = |layer: &str, what: &str, storage: Policy, form: &'static str, work: Work| {
        all.push(Entry { work, ..Entry::new(layer, "model", what, &slug(what), (storage, form)) });
    };
    let choices = || [Policy::F32, Policy::PACKED].into_iter().flat_map(|s| CHOICES.map(|form| (s, form)));
    for (storage, form) in choices() {
        BLOCKS.iter().for_each(|what| model("blocks", what, storage, form, Work::Model(what)));
        WHOLE.iter().for_each(|what| model("whole", what, storage, form, Work::Model(what)));
    }
    choices().for_each(|(storage, form)| model("determinism", "equal runs", storage, form, Work::Repeated));
    if options.full {
        choices().for_each(|(storage, form)| model("stress", "a hundred runs", storage, form, Work::Stress(100)));
    }
    let storages = if options.storages.is_empty() { &Policy::ALL[..] } else { &options.storages };
    all.retain(|e| {
        let named = options.only.as_ref().is_none_or(|only| only.is_match(&e.id) || only.is_match(&e.title));
        named && storages.contains(&e.storage) && options.cases.as_ref().is_none_or(|ids| ids.contains(&e.id))
    });
    part(all, options.fraction)
}

/// Entries that share a run stay together.
fn part(mut all: Vec<Entry>, fraction: Fraction) -> Vec<Entry> {
    let runs = all.chunk_by(Entry::shares_run).enumerate();
    let kept: Vec<bool> = runs.flat_map(|(i, run)| vec![fraction.has(i); run.len()]).collect();
    let mut kept = kept.into_iter();
    all.retain(|_| kept.next().unwrap_or(false));
    all
}

/// The selected entries, to be run one by one.
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

    /// In the order of execution.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// An adapter that `choice` selects; no device is open yet.
    pub fn on(&self, facts: AdapterFacts, choice: &AdapterChoice) -> On<'a> {
        On::new(facts, choice.clone(), self.options)
    }

    /// Runs the entry of that number.
    pub fn run(&mut self, on: &mut On, entry: usize) -> Row {
        let blocked = self.entries[entry].row(on.facts());
        let run = self.run_by(Wait::Here, on, entry);
        block_on(async { Ok(run.await) }).unwrap_or_else(|blocks| failed(blocks, blocked))
    }

    async fn run_by(&mut self, wait: Wait, on: &mut On<'_>, entry: usize) -> Row {
        let started = Instant::now();
        let (entry, cases, twins) = (&self.entries[entry], &self.cases, &mut self.twins);
        let run = panics::caught_async(on.run(wait, entry, cases, twins)).await;
        let mut row = run.unwrap_or_else(|panic| {
            // The panic dropped the device, and the next case opens another.
            Row { status: Status::Failed, reason: Some(format!("it panicked: {panic}")), ..on.row(entry) }
        });
        row.seconds = (started.elapsed().as_secs_f64() * 1e3).round() / 1e3;
        row
    }
}

/// Runs the entries that `options` select on the given adapters, in this process. `seen` receives every adapter and row, and stops the run
/// by returning false; the report then has the results so far.
pub fn run(
    adapters: &[AdapterFacts],
    choice: &AdapterChoice,
    options: &Options,
    seen: &mut dyn FnMut(Seen) -> bool,
) -> Report {
    block_on(async { Ok(run_waiting(Wait::Here, adapters, choice, options, seen).await) }).unwrap_or_else(blocked)
}

/// [`run`] without blocking.
pub async fn run_async(
    adapters: &[AdapterFacts],
    choice: &AdapterChoice,
    options: &Options,
    seen: &mut dyn FnMut(Seen) -> bool,
) -> Report {
    run_waiting(Wait::Aside, adapters, choice, options, seen).await
}

async fn run_waiting(
    wait: Wait,
    adapters: &[AdapterFacts],
    choice: &AdapterChoice,
    options: &Options,
    seen: &mut dyn FnMut(Seen) -> bool,
) -> Report {
    let entries = entries(options);
    let mut suite = Suite::new(options);
    let mut on: Option<(String, On)> = None;
    let one = async |facts: &AdapterFacts, entry: usize| {
        let at = format!("{:?} {}", facts.index, facts.name);
        if on.as_ref().is_none_or(|(other, _)| *other != at) {
            on = Some((at, suite.on(facts.clone(), choice)));
        }
        match &mut on {
            Some((_, on)) => suite.run_by(wait, on, entry).await,
            None => suite.entries()[entry].row(facts),
        }
    };
    all(adapters, options, &entries, one, seen).await
}

/// No entry ran, because a browser's thread cannot block.
fn blocked(_: GpuError) -> Report {
    Report::default().interrupted()
}

fn failed(why: GpuError, row: Row) -> Row {
    Row { status: Status::Failed, reason: Some(why.to_string()), ..row }
}

/// Like [`run`], but `one` runs an entry, given its number, on an adapter: for example, in another process.
pub fn run_by(
    adapters: &[AdapterFacts],
    options: &Options,
    entries: &[Entry],
    one: &mut dyn FnMut(&AdapterFacts, usize) -> Row,
    seen: &mut dyn FnMut(Seen) -> bool,
) -> Report {
    let ran = all(adapters, options, entries, async |facts: &AdapterFacts, entry| one(facts, entry), seen);
    block_on(async { Ok(ran.await) }).unwrap_or_else(blocked)
}

async fn all(
    adapters: &[AdapterFacts],
    options: &Options,
    entries: &[Entry],
    mut one: impl AsyncFnMut(&AdapterFacts, usize) -> Row,
    seen: &mut dyn FnMut(Seen) -> bool,
) -> Report {
    let mut report = Report::default();
    for facts in unique_names(adapters) {
        let adapter = Adapter::new(&facts, options.made());
        let goes_on = seen(Seen::Adapter(&adapter));
        report.adapters.push(adapter);
        if !goes_on {
            return report.interrupted();
        }
        for (i, entry) in entries.iter().enumerate() {
            let row = match options.expected.skips(&entry.id) {
                true => Row { reason: Some("listed as skipped".into()), ..entry.row(&facts) },
                false => judged(options, &facts.backend, async || one(&facts, i).await).await,
            };
            // A case that an interrupt cut short has not failed.
            if (options.interrupted)() && row.status.is_failure() {
                return report.interrupted();
            }
            if !seen(Seen::Row(report.push(row))) {
                return report.interrupted();
            }
        }
    }
    report
}

/// Adjusts a row to known deviations and expectations, and retries an unexpected failure.
async fn judged(options: &Options, backend: &str, mut run: impl AsyncFnMut() -> Row) -> Row {
    let judge = |row: Row| options.expected.judge(known::judge(row, backend, KNOWN));
    let first = judge(run().await);
    for _ in 0..options.retries {
        if !matches!(first.status, Status::Failed | Status::Crash | Status::Timeout) || (options.interrupted)() {
            break;
        }
        let mut again = judge(run().await);
        if again.status == Status::Passed {
            again.because(&format!("failed before it passed ({})", first.reason.as_deref().unwrap_or(&first.place)));
            return Row { status: Status::Flake, ..again };
        }
    }
    first
}

/// Numbers identical adapters in one machine, because rows name their adapter.
pub fn unique_names(adapters: &[AdapterFacts]) -> Vec<AdapterFacts> {
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
    use crate::check::is_id;
    use std::collections::HashSet;

    fn ids(options: &Options) -> Vec<String> {
        entries(options).into_iter().map(|e| e.id).collect()
    }

    #[test]
    fn ids_and_titles_are_unique_and_selectable() {
        let all = entries(&Options { full: true, ..Default::default() });
        let unique = |text: fn(&Entry) -> &str| all.iter().map(text).collect::<HashSet<_>>().len();
        assert_eq!((unique(|e| &e.id), unique(|e| &e.title)), (all.len(), all.len()));
        assert!(all.iter().all(|e| is_id(&e.id)));
        let only = |pattern: &str| Options { only: regex::Regex::new(pattern).ok(), ..Default::default() };
        let some = entries(&only("^kernels/conv2d/.*packed"));
        assert!(!some.is_empty() && some.len() < all.len() / 2);
        assert!(some.iter().all(|e| e.kernel == "conv2d" && e.storage == Policy::PACKED));
        assert_eq!(ids(&only(r"^kernels\.conv2d\..*packed")), Vec::from_iter(some.into_iter().map(|e| e.id)));
        let f32 = Options { storages: vec![Policy::F32], ..Default::default() };
        assert!(entries(&f32).iter().all(|e| e.storage == Policy::F32));
        let cases = Some(["kernels.conv2d.tiled-64.f32.1x1x1-1-linear".to_string()].into());
        assert_eq!(ids(&Options { cases, ..Default::default() }).len(), 1);
    }

    #[test]
    fn fractions_are_of_one_size_and_all_together() {
        let all = ids(&Options::default());
        for of in [1, 2, 3, 4, 7, 4000] {
            let part = |number| entries(&Options { fraction: Fraction { number, of }, ..Default::default() });
            let parts: Vec<_> = (1..=of.min(8)).map(part).collect();
            let lengths = parts.iter().map(Vec::len);
            // The parts of a model run stay together.
            let (least, most) = (lengths.clone().min().unwrap(), lengths.max().unwrap());
            assert!(most - least <= 8 * 6, "{of}: {least} to {most}");
            if of <= 8 {
                let together: HashSet<&String> = parts.iter().flatten().map(|e| &e.id).collect();
                assert_eq!((together.len(), parts.iter().map(Vec::len).sum()), (all.len(), all.len()));
                assert!(parts.iter().all(|part| Policy::ALL.iter().all(|s| part.iter().any(|e| e.storage == *s))));
            }
        }
    }

    /// Ids in users' lists of expected failures must keep their meaning.
    #[test]
    fn ids_stay() {
        let listed: Vec<&str> = include_str!("ids.txt").lines().collect();
        let all = ids(&Options { full: true, ..Default::default() });
        // Tables define forms and storages; ids.txt has only the rest of each id.
        let of = |id: &String| {
            let mut parts = id.splitn(5, '.');
            let [layer, kernel, shape] = [0, 0, 2].map(|skipped| parts.nth(skipped).unwrap());
            format!("{layer}.{kernel}.{shape}")
        };
        let now: HashSet<String> = all.iter().map(of).collect();
        let gone: Vec<_> = listed.iter().filter(|id| !now.contains(**id)).collect();
        assert!(
            gone.is_empty(),
            "{gone:?}: a case keeps its id (`Case::called`); one that is taken out leaves ids.txt, too"
        );
        let mut new: Vec<_> = now.iter().filter(|id| !listed.contains(&id.as_str())).collect();
        new.sort();
        assert!(
            new.is_empty(),
            "write these into src/conformance/ids.txt, where they are kept from changing:\n{new:#?}"
        );
    }
}
