//! Scores of a run of `eval`: tables in its directory, and printed lines.

use super::errors::CliError;
use super::{json_line, print, print_raw};
use diffews_wgpu::eval::{Benchmark, Control, EvalError, Header, Record, Shard, Summary, published, to_csv};
use diffews_wgpu::image_io::{check_place, write_whole};
use diffews_wgpu::shown;
use std::collections::BTreeMap;
use std::path::Path;

/// Refuses to replace tables that lie there without their results: they are not from this run.
pub(super) fn refuse_foreign_files(dir: &Path, shard: Shard) -> anyhow::Result<()> {
    let results = file_name("results", shard, "jsonl");
    for (stem, extension) in [("episodes", "csv"), ("summary", "json")] {
        let path = dir.join(file_name(stem, shard, extension));
        if path.exists() && !dir.join(&results).exists() {
            let reason = format!("exists already, without its {results}; move it away or name another --output");
            return Err(EvalError::Results { path, reason }.into());
        }
        check_place(&path, true)?;
    }
    Ok(())
}

pub(super) fn file_name(stem: &str, shard: Shard, extension: &str) -> String {
    match shard {
        Shard::WHOLE => format!("{stem}.{extension}"),
        Shard { index, of } => format!("{stem}-{index}-of-{of}.{extension}"),
    }
}

fn summary(records: &[Record], header: &Header) -> Summary {
    let scored = records.iter().filter_map(|r| Some((r.class.as_str(), r.counts.as_ref()?)));
    let summary = Summary::of(scored, header.seed);
    // Results of older versions lack this number.
    let of_classes = summary.classes.max(header.classes);
    Summary { of_classes, ..summary }
}

/// Seconds by stage, and how long the device waited for pictures.
pub(super) fn stage_times(records: &[Record]) -> String {
    let mut sums = BTreeMap::<&str, f64>::new();
    for (stage, seconds) in records.iter().flat_map(|r| &r.seconds) {
        *sums.entry(stage).or_default() += seconds;
    }
    let (wait, load) = (sums.remove("wait").unwrap_or(0.0), sums.remove("load").unwrap_or(0.0));
    let device = sums.values().fold(0.0, |sum, s| sum + s);
    let stages: Vec<String> =
        sums.iter().map(|(stage, s)| format!("{} {s:.2}", shown::text(&stage.replace('_', " ")))).collect();
    format!(
        "seconds: {device:.2} on the device ({}); it waited {wait:.2} for pictures; reading and resizing them took {load:.2} \
        on other threads",
        stages.join(", ")
    )
}

/// Writes the tables and prints the scores. Failed episodes make it an error, after everything is written.
pub(super) fn finish(
    records: &[Record],
    header: &Header,
    dir: Option<&Path>,
    json: bool,
    quiet: bool,
) -> anyhow::Result<()> {
    let summary = summary(records, header);
    let object = serde_json::to_string(&summary)?;
    let failed = records.iter().filter(|r| r.error.is_some()).count();
    if let Some(dir) = dir {
        for (stem, extension, text) in
            [("episodes", "csv", to_csv(records)), ("summary", "json", object.clone() + "\n")]
        {
            let path = dir.join(file_name(stem, header.shard, extension));
            write_whole(&path, text.as_bytes(), true)?;
        }
    }
    if json {
        print_raw(&json_line(&summary)?)?;
    } else if !quiet {
        table(&summary, header, failed).iter().try_for_each(|line| print(line))?;
    }
    match failed {
        0 => Ok(()),
        failed => Err(CliError::EpisodesFailed { failed, total: records.len() }.into()),
    }
}

fn table(summary: &Summary, header: &Header, failed: usize) -> Vec<String> {
    let percent = |part: f64| format!("{:.1}", 100.0 * part);
    let [low, high] = summary.miou_ci95.map(percent);
    let mut lines = vec![format!(
        "mIoU {} % (95 % of resamples of the classes: {low} to {high}), FB-IoU {} %, {} episodes of {} classes{}{}",
        percent(summary.miou),
        percent(summary.fb_iou),
        summary.episodes,
        summary.classes,
        if summary.of_classes > summary.classes { format!(" of {}", summary.of_classes) } else { String::new() },
        if header.control == Control::Shuffled { ", supports shuffled" } else { "" }
    )];
    if let Some(benchmark @ Benchmark { name, fold, shots }) = &header.benchmark {
        let told = |n: Option<f64>| n.map_or("-".into(), |n| format!("{n:.1}"));
        let (fold, shots) = (fold.map(|f| format!(" fold {f}")), shots.map(|s| format!(" {s}-shot")));
        let this = [&shown::text(name), fold.as_deref().unwrap_or(""), shots.as_deref().unwrap_or("")].concat();
        if let Some(reason) = not_the_published(header, benchmark, failed) {
            lines.push(format!("{this}; no published numbers beside this: {reason}"));
            return lines;
        }
        lines.push(format!("{this}; published, means over all folds, one-shot / few-shot:"));
        let rows = published(benchmark);
        lines.extend(rows.iter().map(|r| format!("  {:<40} {} / {}", r.setting, told(r.one_shot), told(r.few_shot))));
        if rows.is_empty() {
            lines.push("  none for this benchmark".into());
        }
    }
    lines
}

/// Why a run cannot be compared with the published one, if so.
fn not_the_published(header: &Header, benchmark: &Benchmark, failed: usize) -> Option<String> {
    if header.shots.is_some() && header.shots != benchmark.shots {
        // The first of five supports is not the support of the one-shot file.
        return Some("--shots differs from the file's".into());
    }
    if header.limited {
        return Some("--limit skips episodes".into());
    }
    if header.shard.of > 1 {
        return Some(format!("this is shard {} of {}", header.shard.index, header.shard.of));
    }
    if header.control != Control::None {
        return Some("the supports are shuffled".into());
    }
    (failed > 0).then(|| format!("{failed} episodes failed"))
}
