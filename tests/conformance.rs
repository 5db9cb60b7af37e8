//! The conformance suite on every adapter present, as `diffews-wgpu conformance --all-adapters` runs it, and the
//! suite itself put to the test. No adapter is a failure.

use diffews_wgpu::conformance::{Options, Report, Row, Status, html, junit, run};
use diffews_wgpu::gpu::{AdapterChoice, list};
use std::collections::BTreeMap;

const SEED: u64 = 20241;

/// A dot product's bound is of use if the worst error that correct drivers make comes near it, but not over it.
fn tight(worst: f64) -> bool {
    (0.02..=1.0).contains(&worst)
}

/// Worst error / bound of each kernel in f32, where no rounding to storage covers the arithmetic's.
fn worst(rows: &[Row]) -> BTreeMap<&str, f64> {
    let mut worst: BTreeMap<&str, f64> = BTreeMap::new();
    for row in rows.iter().filter(|r| r.storage == "f32" && r.status == Status::Passed) {
        let entry = worst.entry(&row.kernel).or_default();
        *entry = entry.max(row.ratio.unwrap_or(f64::NAN));
    }
    worst
}

fn told(report: &Report) -> Vec<String> {
    let line = |r: &Row| format!("{} on {}: {:?} {}", r.case, r.adapter, r.reason, r.place);
    report.results.iter().filter(|r| r.status == Status::Failed).map(line).collect()
}

#[test]
fn every_case_on_every_adapter() {
    let choice = AdapterChoice::default();
    let adapters = list(&choice);
    assert!(!adapters.is_empty(), "no adapter is present: nothing was tested");
    let options = Options { seed: SEED, ..Default::default() };
    let report = run(&adapters, &choice, &options, &mut |row| {
        let ratio = row.ratio.map_or("-".into(), |r| format!("{r:.3}"));
        println!("{:?} {ratio} {:.2} s {} ({})", row.status, row.seconds, row.case, row.adapter);
        true
    });
    assert!(report.summary.failed == 0, "{:#?}", told(&report));
    assert!(report.summary.passed > 100 * adapters.len(), "{:?}", report.summary);
    for facts in &adapters {
        let rows: Vec<Row> = report.results.iter().filter(|r| r.adapter == facts.name).cloned().collect();
        let worst = worst(&rows);
        println!("{}: {worst:?}", facts.name);
        for kernel in ["conv2d", "attention"] {
            let worst = worst[kernel];
            assert!(tight(worst), "{kernel}: worst error / bound is {worst:.4}");
            assert!(!tight(worst / 100.0), "{kernel}: a bound a hundred times too wide would not be noticed");
        }
    }
    let page = html(&report, None).unwrap();
    assert!(page.contains("kernels/conv2d/") && !page.contains("REPORTS"));
    let xml = junit(&report);
    assert_eq!(xml.matches("<testcase ").count(), report.summary.cases);
}

#[test]
fn what_an_adapter_lacks_is_not_run_and_says_so() {
    let choice = AdapterChoice::default();
    let mut adapters = list(&choice);
    adapters.truncate(1);
    let only = regex::Regex::new("^language/numbers/all 65,536 halves read").ok();
    let report = run(&adapters, &choice, &Options { only, seed: SEED, ..Default::default() }, &mut |_| true);
    let native = &report.results[2];
    assert_eq!((report.summary.cases, native.storage.as_str()), (3, "f16"));
    let lacks = native.reason.as_ref().is_some_and(|r| r.contains("shader-f16"));
    assert_eq!((native.status == Status::NotRun, lacks), (!adapters[0].shader_f16, !adapters[0].shader_f16));
}
