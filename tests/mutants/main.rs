//! Faults planted in the shaders, one at a time, to see whether the conformance suite detects each. Slow, so ignored by default: `make
//! mutants`. It needs no recompilation: a mutant is a [`Kernel`] with another name and text, which replaces the original in each case's
//! recording.

#[path = "../common/mod.rs"]
mod common;
mod table;

use diffews_wgpu::check::{Case, Tested, run_case};
use diffews_wgpu::conformance::LANGUAGE;
use diffews_wgpu::gpu::Gpu;
use diffews_wgpu::plan::Policy;
use diffews_wgpu::shader::{Form, Kernel, LIBRARY, preprocess};
use diffews_wgpu::twins;
use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::time::Instant;
use table::Mutant;

const SEED: u64 = 20241;
/// Native f16 differs from packed f16 in only four lines of lib/storage.
const STORAGES: [Policy; 3] = [Policy::F32, Policy::PACKED, Policy::Q8];
/// Known survivors are tried on smaller cases only; in operations.
const QUICK: u64 = 100_000_000;

/// A kernel's text with its imports inserted, so that a replacement can reach the library's part, too.
fn inlined(source: &str) -> String {
    let mut text = String::new();
    for line in source.lines() {
        match line.trim().strip_prefix("#import ") {
            Some(name) => {
                let name = name.trim().trim_matches('"');
                let (_, part) = LIBRARY.iter().find(|l| l.0 == name).expect("an import that exists");
                text.push_str(&inlined(part));
            }
            None => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

/// The engine's kernels, and those of the language layer, where a fault resembles a driver's.
fn all() -> impl Iterator<Item = &'static Tested> {
    twins::ALL.iter().chain(&LANGUAGE)
}

/// The text of the file that a mutant names.
fn text_of(file: &str) -> &'static str {
    if let Some((_, text)) = LIBRARY.iter().find(|l| l.0 == file) {
        return text;
    }
    // A kernel's only file, or one of several: `conv2d/tiled` for the forms `tiled-64` and so on.
    let (kernel, file) = file.split_once('/').unwrap_or((file, "plain"));
    let tested = all().find(|t| t.kernel.name == kernel).expect("a mutant's kernel exists");
    tested.kernel.forms.iter().find(|form| form.name.starts_with(file)).expect("a mutant's file exists").source
}

/// Each affected kernel, with the fault.
fn plant(number: usize, mutant: &Mutant) -> Vec<Planted> {
    let part = inlined(text_of(mutant.file));
    assert!(part.contains(mutant.from), "{}: {:?} is not there", mutant.file, mutant.from);
    let changed = part.replace(mutant.from, mutant.to);
    assert_ne!(part, changed, "{}: no change", mutant.file);
    let mut planted = Vec::new();
    for tested in all() {
        let (mut forms, mut reached) = (Vec::new(), Vec::new());
        for form in tested.kernel.forms {
            let whole = inlined(form.source);
            let source = whole.replace(&part, &changed);
            if source != whole && is_other_text(tested.kernel, form, &whole, &source) {
                reached.push(form.name);
            }
            forms.push(Form { source: source.leak(), ..*form });
        }
        if !reached.is_empty() {
            let name = format!("{} with fault {number}", tested.kernel.name).leak();
            let kernel = &*Box::leak(Box::new(Kernel { name, forms: forms.leak(), ..*tested.kernel }));
            planted.push(Planted { tested, kernel, reached });
        }
    }
    assert!(!planted.is_empty(), "{}: no kernel holds it", mutant.file);
    planted
}

/// Whether the fault lies in a branch that some text of the form takes.
fn is_other_text(kernel: &Kernel, form: &Form, sound: &str, faulty: &str) -> bool {
    let variants = form.variants.unwrap_or(kernel.variants);
    variants.iter().flat_map(|variant| STORAGES.map(|storage| (variant, storage))).any(|(variant, storage)| {
        let defines: Vec<_> = variant.iter().copied().chain(storage.defines()).collect();
        preprocess(sound, form.consts, &defines) != preprocess(faulty, form.consts, &defines)
    })
}

/// A kernel with a fault in some of its forms.
struct Planted {
    tested: &'static Tested,
    kernel: &'static Kernel,
    reached: Vec<&'static str>,
}

struct Caught {
    form: &'static str,
    storage: Policy,
    case: String,
    how: String,
}

struct Suite {
    gpu: Gpu,
    /// By kernel: operations, number of a case and its form, the smallest first.
    runs: HashMap<&'static str, Vec<(u64, usize, Policy, &'static Form)>>,
    /// Runs that have passed without a fault.
    sound: HashSet<(String, Policy, &'static str)>,
}

impl Suite {
    fn new() -> Suite {
        let gpu = common::gpu();
        let mut runs = HashMap::new();
        for Tested { kernel, cases } in all() {
            let mut all = Vec::new();
            for (i, case) in cases().iter().enumerate().filter(|(_, case)| !case.long) {
                let recorded =
                    case.record(Policy::F32, gpu.forms.clone(), gpu.limits(), SEED).expect("the case records");
                let flops = recorded.recording.dispatches.iter().map(|d| d.flops).sum::<u64>();
                let able = |form: &&Form| form.needs.lacks(&gpu.forms.facts).is_none() && case.takes(form);
                for form in kernel.forms.iter().filter(able) {
                    let storages = case.storages_in(form).filter(|storage| STORAGES.contains(storage));
                    all.extend(storages.map(|storage| (flops, i, storage, form)));
                }
            }
            all.sort_by_key(|run| run.0);
            runs.insert(kernel.name, all);
        }
        Suite { gpu, runs, sound: HashSet::new() }
    }

    /// The first case that detects `mutant`, and passes without it.
    fn hunt(&mut self, number: usize, mutant: &Mutant) -> Option<Caught> {
        for Planted { tested: Tested { kernel, cases }, kernel: planted, reached } in plant(number, mutant) {
            let truth = cases();
            let cases: Vec<Case> = cases().into_iter().map(|case| case.with_kernel(kernel.name, planted)).collect();
            // The first form of each text, then the others, which mostly miss the same faults.
            let leads = |name: &str| {
                let text = |name: &str| kernel.form(name).map(|form| form.source);
                reached.iter().find(|other| text(other) == text(name)) == Some(&name)
            };
            let runs = self.runs[kernel.name].iter().filter(|run| reached.contains(&run.3.name));
            let (leading, others): (Vec<_>, Vec<_>) = runs.partition(|run| leads(run.3.name));
            for &(flops, i, storage, form) in leading.into_iter().chain(others) {
                if mutant.survives.is_some() && flops > QUICK {
                    continue;
                }
                let outcome = run_case(&self.gpu, &cases[i], storage, form, SEED);
                if outcome.passed() {
                    continue;
                }
                let case = cases[i].name.clone();
                if self.sound.insert((format!("{} {case}", kernel.name), storage, form.name)) {
                    let undisturbed = run_case(&self.gpu, &truth[i], storage, form, SEED);
                    assert!(undisturbed.passed(), "without a fault: {undisturbed}");
                }
                let how = outcome.fault.clone().unwrap_or(format!("error / bound {:.3e}", outcome.ratio));
                let how = how.lines().next().unwrap_or_default().to_string();
                assert!(!how.contains("failed on"), "fault {number} does not even run: {outcome}");
                return Some(Caught { form: form.name, storage, case, how });
            }
        }
        None
    }
}

#[test]
#[ignore = "minutes: make mutants"]
fn every_planted_fault_is_seen() {
    let mut suite = Suite::new();
    let first = std::env::var("MUTANTS_FROM").ok().and_then(|n| n.parse::<usize>().ok()).unwrap_or(0);
    // A part of the files' names, to run a selection.
    let only = std::env::var("MUTANTS_ONLY").unwrap_or_default();
    let mut table = String::new();
    let (mut caught, mut survived) = (0, Vec::new());
    for (number, mutant) in table::all().enumerate().skip(first).filter(|(_, m)| m.file.contains(&only)) {
        let started = Instant::now();
        let row = match suite.hunt(number, mutant) {
            Some(Caught { form, storage, case, how }) => {
                caught += 1;
                format!("{form}, {}: {case} | {how}", storage.name())
            }
            None => match mutant.survives {
                Some(reason) => format!("**survives** | {reason}"),
                None => {
                    survived.push(number);
                    "**survives** | not explained".into()
                }
            },
        };
        println!("{number}: {}: {}: {row} ({:.1} s)", mutant.file, mutant.why, started.elapsed().as_secs_f64());
        writeln!(table, "| {number} | {} | {} | {} |", mutant.file, mutant.why, row.replace('\n', " ")).unwrap();
    }
    println!("{caught} caught");
    if let Ok(path) = std::env::var("MUTANTS_REPORT") {
        let facts = suite.gpu.facts();
        let text = format!(
            "# Faults planted in the shaders\n\nWritten by `make mutants` on {} ({}), seed {SEED}. Each fault is planted alone; \
             the case is the smallest that sees it.\n\n{caught} of {} seen.\n\n\
             | # | shader | fault | seen by | how |\n|---|---|---|---|---|\n{table}",
            facts.name,
            facts.driver,
            table::all().count()
        );
        std::fs::write(path, text).expect("the report can be written");
    }
    assert!(survived.is_empty(), "not seen, and not explained: {survived:?}");
}

/// The table matches the shaders; this runs nothing.
#[test]
fn every_fault_can_be_planted() {
    assert!(table::all().count() >= 25);
    for (number, mutant) in table::all().enumerate() {
        for Planted { kernel, reached, .. } in plant(number, mutant) {
            // The first form of each text.
            let mut seen = HashSet::new();
            for (form, variant) in kernel.texts().filter(|(form, _)| reached.contains(&form.name)) {
                if !seen.insert((form.source, variant)) {
                    continue;
                }
                for storage in Policy::ALL {
                    let defines: Vec<_> = variant.iter().copied().chain(storage.defines()).collect();
                    let wgsl = form.text(&defines).expect("it preprocesses");
                    naga::front::wgsl::parse_str(&wgsl)
                        .unwrap_or_else(|e| panic!("fault {number}: {}", e.emit_to_string(&wgsl)));
                }
            }
        }
    }
}
