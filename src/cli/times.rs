//! Device times of dispatches, added up by kernel and form.

use super::columns;
use diffews_wgpu::bench::Roof;
use diffews_wgpu::gpu::Ran;
use serde::Serialize;
use std::collections::BTreeMap;

/// All dispatches of one kernel in one form.
#[derive(Serialize)]
pub struct Row {
    kernel: &'static str,
    form: &'static str,
    dispatches: u64,
    seconds: f64,
    /// Share of the time of all dispatches.
    share: f64,
    /// 10^9 multiplications and additions in a second, without padding of blocks.
    gflops: f64,
    /// 10^9 bytes of its bindings in a second, each binding counted once per dispatch.
    gbytes: f64,
    /// Percent of the roof, dispatch by dispatch; `None` if the roof was not measured.
    percent_of_roof: Option<f64>,
}

/// Sums of one row.
#[derive(Default)]
struct Sum {
    dispatches: u64,
    seconds: f64,
    flops: u64,
    bytes: u64,
    /// Shortest time that the roof allows.
    least_seconds: f64,
}

/// The rows of the dispatches, longest time first.
pub fn rows(ran: &[Ran], roof: Option<&Roof>) -> Vec<Row> {
    let mut sums: BTreeMap<(&str, &str), Sum> = BTreeMap::new();
    for Ran { label, seconds, .. } in ran {
        let sum = sums.entry((label.kernel, label.form)).or_default();
        sum.dispatches += 1;
        sum.seconds += seconds;
        sum.flops += label.flops;
        sum.bytes += label.bytes;
        sum.least_seconds += roof.map_or(0.0, |roof| roof.percent(label.flops, label.bytes, 100.0).0);
    }
    let all: f64 = ran.iter().map(|ran| ran.seconds).sum();
    let row = |((kernel, form), sum): (_, Sum)| {
        // Timestamps may be too coarse for short dispatches.
        let part = |n: f64, of: f64| if of > 0.0 { n / of } else { 0.0 };
        let seconds = sum.seconds;
        Row {
            kernel,
            form,
            dispatches: sum.dispatches,
            seconds,
            share: part(seconds, all),
            gflops: part(sum.flops as f64 / 1e9, seconds),
            gbytes: part(sum.bytes as f64 / 1e9, seconds),
            percent_of_roof: roof.map(|_| 100.0 * part(sum.least_seconds, seconds)),
        }
    };
    let mut rows: Vec<Row> = sums.into_iter().map(row).collect();
    rows.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    rows
}

/// The rows as a table for people.
pub fn table(rows: &[Row]) -> String {
    let heads = ["kernel", "form", "dispatches", "ms", "share", "GFLOP/s", "GB/s", "of roof"];
    let mut cells = vec![heads.map(String::from).to_vec()];
    cells.extend(rows.iter().map(|row| {
        vec![
            row.kernel.into(),
            row.form.into(),
            row.dispatches.to_string(),
            format!("{:.3}", 1e3 * row.seconds),
            format!("{:.1} %", 100.0 * row.share),
            format!("{:.2}", row.gflops),
            format!("{:.2}", row.gbytes),
            row.percent_of_roof.map_or(String::new(), |percent| format!("{percent:.1} %")),
        ]
    }));
    columns(&cells)
}
