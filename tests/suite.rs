//! The conformance suite, one test per case, on every adapter present, as `diffews-wgpu conformance --all-adapters` runs it. Having no
//! adapter is a failure.

mod common;

use common::choice;
use diffews_wgpu::conformance::{Adapter, KNOWN, On, Options, Report, Row, Status, Suite, html, junit, unique_names};
use diffews_wgpu::gpu::list;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

/// Shared by all tests: twins are computed once, and cases share a device.
struct Bench {
    suite: Suite<'static>,
    adapters: Vec<On<'static>>,
    report: Report,
    /// The number of tests, without those that only the first adapter runs.
    all: usize,
    /// The number of these that ran.
    ran: usize,
}

impl Bench {
    fn run(&mut self, adapter: usize, entry: usize) -> Result<Completion, Failed> {
        self.ran += 1;
        let row = self.suite.run(&mut self.adapters[adapter], entry);
        let row = self.report.add(row, KNOWN);
        match row.status {
            Status::NotRun => Ok(row.reason.clone().map_or(Completion::ignored(), Completion::ignored_with)),
            status if status.is_failure() => Err(format!("{}: {:?} {}", row.case, row.reason, row.place).into()),
            _ => Ok(Completion::Completed),
        }
    }

    /// Checks over all cases that ran.
    fn report(&self) -> Result<(), Failed> {
        // If only some of the tests were selected, the totals are smaller.
        let whole = self.ran == self.all;
        let summary = &self.report.summary;
        if whole && summary.passed < 300 * self.adapters.len() {
            return Err(format!("too few tests ran: {summary:?}").into());
        }
        let loose: Vec<String> = self.report.results.iter().filter(|row| !tight(row)).map(shown).collect();
        if !loose.is_empty() {
            return Err(format!("bounds that are too loose or too tight: {loose:#?}").into());
        }
        let page = html(&self.report, None, None).map_err(|e| e.to_string())?;
        let cases = junit(&self.report).matches("<testcase ").count();
        let shown = !whole || page.contains("kernels/conv2d/");
        match page.contains("REPORTS") || !shown || cases != self.report.summary.cases {
            true => Err(format!(
                "of {} cases {cases} are in the JUnit report, or the page lacks some",
                self.report.summary.cases
            )
            .into()),
            false => Ok(()),
        }
    }
}

/// Cases whose bounds say little about rounding, by the beginning of their shapes. Some test that nothing is dropped and nothing is NaN at
/// extreme values: there, bounds follow the size of scores or values, but rounding errors hardly do. Others test that the parts of the
/// guided filter fit together: each part has cases of its own with tight bounds, but theirs multiply.
const LOOSE: [(&str, &str); 6] = [
    ("attention", "scores of "),
    ("attention", "the last key alone is near"),
    ("attention", "values of alternating signs"),
    ("attention", "values that are one number"),
    ("attention", "values that are the largest half"),
    ("guided_filter", "whole "),
];

/// A bound is useful if the worst error of correct drivers comes near it, but not over it. This is checked for every case of a kernel, with
/// the strict bounds, because these drivers round to nearest. A single pixel is not enough for either.
fn tight(row: &Row) -> bool {
    let nearest = ["llvmpipe", "SwiftShader"].iter().any(|name| row.adapter.contains(name));
    let one_pixel = row.shape.starts_with("1x1x") || row.shape.contains(" 1x1 ");
    let asked = row.case.starts_with("kernels")
        && ["f32", "packed"].contains(&row.storage.as_str())
        && row.status == Status::Passed
        && !one_pixel
        && !LOOSE.iter().any(|(kernel, shape)| row.kernel == *kernel && row.shape.starts_with(shape));
    let exact = row.ratio == Some(0.0) && row.strict == Some(0.0);
    let worst = row.strict.unwrap_or(f64::NAN);
    !asked || exact || (worst >= 0.02 && (worst <= 1.0 || !nearest))
}

fn shown(row: &Row) -> String {
    format!("{} on {}: worst error / strict bound {:?}", row.case, row.adapter, row.strict)
}

/// All texts run on every adapter, but all forms of a text only on the first one: they differ only in the elements per tile. Repeated runs
/// of the whole model take minutes.
fn is_spare(id: &str) -> bool {
    let form = id.split('.').nth(2).unwrap_or_default();
    match id.split('.').next() {
        Some("kernels") => {
            let text = form.strip_prefix("winograd-").unwrap_or(form);
            !["plain", "tiled-64", "broadcast-64", "rows-64", "pairs", "straight-8", "reg-128", "coop8"].contains(&text)
        }
        layer => layer == Some("determinism"),
    }
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // There is one device, and one case at a time uses it.
    arguments.test_threads = Some(1);
    let choice = choice();
    let adapters = unique_names(&list(&choice));
    if adapters.is_empty() {
        eprintln!("no adapter is present, so nothing was tested");
        return ExitCode::FAILURE;
    }
    let options: &'static Options = Box::leak(Box::new(Options { seed: 20241, ..Default::default() }));
    let suite = Suite::new(options);
    let names: Vec<String> = suite.entries().iter().map(|entry| entry.id.clone()).collect();
    let mut report = Report::default();
    report.adapters.extend(adapters.iter().map(|facts| Adapter::new(facts, options.made())));
    let on = adapters.iter().map(|facts| suite.on(facts.clone(), &choice)).collect();
    let spare = names.iter().filter(|name| is_spare(name)).count();
    let all = adapters.len() * names.len() - (adapters.len() - 1) * spare;
    let bench = Arc::new(Mutex::new(Bench { suite, adapters: on, report, all, ran: 0 }));
    let mut tests = Vec::new();
    for (adapter, facts) in adapters.iter().enumerate() {
        tests.extend(names.iter().enumerate().map(|(entry, name)| {
            let bench = bench.clone();
            let spared = adapter > 0 && is_spare(name);
            let run = move || {
                if spared {
                    return Ok(Completion::ignored_with("the first adapter runs it"));
                }
                bench.lock().map_err(|e| e.to_string())?.run(adapter, entry)
            };
            Trial::ignorable_test(format!("{name} on {}, {}", facts.name, facts.backend), run)
        }));
    }
    let whole = bench.clone();
    tests.push(Trial::test("the report of all", move || whole.lock().map_err(|e| e.to_string())?.report()));
    libtest_mimic::run(&arguments, tests).exit_code()
}
