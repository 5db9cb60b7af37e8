//! Reports: their files, reading them, and their lines.

use super::Args;
use crate::cli::errors::usage;
use crate::cli::output::place_of;
use crate::cli::progress;
use diffews_wgpu::conformance::{self, Compiled, Journal, Report, ReportError, Row, Status};
use diffews_wgpu::image_io::{check_place, write_whole};
use diffews_wgpu::shown;
use flate2::{Compression, write::GzEncoder};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Begins the journal, which keeps rows if the report is never written.
pub fn begin_journal(report: &Path, force: bool) -> anyhow::Result<Journal> {
    let place = Journal::place(report);
    Journal::create(report, force).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => usage(format!(
            "{0}: an interrupted run left its results here; `conformance --from {0}` reads them, --force replaces them",
            place.display()
        )),
        _ => anyhow::anyhow!("{}: cannot be written: {error}", place.display()),
    })
}

pub fn summary(report: &Report) -> String {
    let s = report.summary;
    let on = match report.adapters.as_slice() {
        [one] => shown::text(&one.name),
        many => format!("{} adapters", many.len()),
    };
    let gone = match report.gone() {
        0 => String::new(),
        n => format!(" ({n} of them listed as deviating: update src/conformance/known.rs)"),
    };
    format!(
        "{} cases on {on}: {} passed{gone}, {} failed, {} known deviations, {} not run",
        s.cases, s.passed, s.failed, s.known, s.not_run
    )
}

pub fn line(row: &Row) -> String {
    let word = match row.status {
        Status::Passed => "ok     ",
        Status::Failed => "FAIL   ",
        Status::Known => "known  ",
        Status::NotRun => "not run",
        Status::Crash => "CRASH  ",
        Status::Timeout => "TIMEOUT",
        Status::Flake => "flake  ",
        Status::KnownFlake => "k.flake",
        Status::UnexpectedImprovement => "BETTER ",
    };
    let ratio = row.ratio.map_or("     -".into(), |r| format!("{r:6.3}"));
    let mut line = format!("{word} {ratio}  {}", row.id);
    if (row.status.is_failure() || row.status.is_known()) && !row.place.is_empty() {
        line += &format!("  at {}", row.place);
    }
    if let Some(reason) = &row.reason {
        line += &format!("  ({reason})");
    }
    line
}

/// A report of `--json`, compressed or not.
pub fn read(path: &Path) -> anyhow::Result<Report> {
    conformance::read_report(path).map_err(unfit)
}

/// The figures of `make vendors`.
pub fn read_compiled(path: &Path) -> anyhow::Result<Compiled> {
    conformance::read_compiled(path).map_err(unfit)
}

fn unfit(error: ReportError) -> anyhow::Error {
    match error {
        ReportError::NoReport { .. } | ReportError::NotCompiled { .. } => usage(error.to_string()),
        other => other.into(),
    }
}

/// What the page shows in addition to a report.
pub struct Beside {
    pub other: Option<Report>,
    pub compiled: Option<Compiled>,
}

pub fn report_files(args: &Args) -> impl Iterator<Item = &PathBuf> {
    [&args.json, &args.junit, &args.html, &args.csv].into_iter().flatten()
}

/// Refuses output files that cannot or must not be written, before any case runs.
pub fn check_outputs(args: &Args) -> anyhow::Result<()> {
    let files: Vec<&PathBuf> = report_files(args).collect();
    for (i, path) in files.iter().enumerate() {
        if files[..i].iter().any(|other| place_of(other) == place_of(path)) {
            return Err(usage(format!("{}: two reports would go to this file; name different files", path.display())));
        }
        check_place(path, args.force)?;
    }
    Ok(())
}

pub fn write(args: &Args, report: &Report, beside: &Beside) -> anyhow::Result<()> {
    let put = |path: &Path, text: String| {
        let _writing = progress::writing();
        let mut bytes = text.into_bytes();
        if path.extension().is_some_and(|e| e == "gz") {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(&bytes)?;
            bytes = encoder.finish()?;
        }
        write_whole(path, &bytes, args.force).map_err(anyhow::Error::from)
    };
    if let Some(path) = &args.json {
        put(path, report.json()?)?;
    }
    if let Some(path) = &args.junit {
        put(path, conformance::junit(report))?;
    }
    if let Some(path) = &args.html {
        put(path, conformance::html(report, beside.other.as_ref(), beside.compiled.as_ref())?)?;
    }
    if let Some(path) = &args.csv {
        put(path, conformance::csv(report).map_err(usage)?)?;
    }
    Ok(())
}
