//! `conformance`: does this adapter compute right?

use super::errors::{CliError, usage};
use super::options::AdapterArgs;
use super::output::place_of;
use super::{print, print_raw, progress, tell};
use clap::ValueEnum;
use diffews_wgpu::Error;
use diffews_wgpu::conformance::{self, Fraction, Journal, Options, Report, ReportError, Row, Seen, Status};
use diffews_wgpu::gpu::{AdapterChoice, AdapterFacts, Gpu, list};
use diffews_wgpu::image_io::{check_place, write_whole};
use diffews_wgpu::plan::Policy;
use diffews_wgpu::shown;
use flate2::{Compression, write::GzEncoder};
use regex::Regex;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    adapter: AdapterArgs,
    /// Run on every adapter present, one after the other, whatever --adapter says
    #[arg(long)]
    all_adapters: bool,
    /// Run only cases whose id or title this regular expression matches (see --list)
    #[arg(long, value_name = "REGEX", value_parser = pattern)]
    only: Option<Regex>,
    /// List the cases instead of running them: id, tab, title
    #[arg(long, conflicts_with_all = ["json", "junit", "html", "compare", "dump"])]
    list: bool,
    /// How elements are stored; all that the adapter can do by default
    #[arg(long, value_enum, default_value = "all")]
    precision: Precision,
    /// Every kernel case, large ones in the form that is chosen for the adapter, and the whole model [default]
    #[arg(long, conflicts_with = "full")]
    quick: bool,
    /// Every case in every form and storage, ten equal runs by each choice of forms, and the whole model a hundred times without
    /// memory lost
    #[arg(long)]
    full: bool,
    /// Fail whatever errs by more than arithmetic that rounds to the nearest does, though WGSL allows it
    #[arg(long)]
    strict: bool,
    /// Run nothing: join these reports of --json, of different drivers, for --html, --json, --junit and --compare
    #[arg(long, value_name = "FILE", num_args = 1..)]
    #[arg(conflicts_with_all = ["all_adapters", "only", "list", "precision", "quick", "full", "strict", "seed", "dump"])]
    from: Vec<PathBuf>,
    /// Seed of the cases' data
    #[arg(long, value_name = "N", default_value_t = 20241)]
    seed: u64,
    /// Print failures and the summary only
    #[arg(short, long)]
    quiet: bool,
    /// Write the results as JSON, compressed where the name ends in .gz
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the results as JUnit's XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write the results as a page that needs no other file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Replace files that exist
    #[arg(long)]
    force: bool,
    /// Compare with the --json of another machine, here and in --html
    #[arg(long, value_name = "OTHER.json")]
    compare: Option<PathBuf>,
    /// Write the WGSL of every case that is run, and its translations (SPIR-V, HLSL, MSL)
    #[arg(long, value_name = "DIR")]
    dump: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Precision {
    F32,
    /// Halves packed two to a u32
    Packed,
    /// Native halves
    F16,
    /// Weights as packed halves, values as f32
    Mixed,
    All,
}

fn pattern(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|e| e.to_string())
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    check_outputs(args)?;
    let other = args.compare.as_deref().map(read).transpose()?;
    let (mut journal, mut printed) = (None, Ok(()));
    let report = if args.from.is_empty() {
        let Some(measured) = measure(args)? else { return Ok(()) };
        (journal, printed) = (measured.journal, measured.printed);
        measured.report
    } else {
        let reports = args.from.iter().map(|path| read(path)).collect::<anyhow::Result<_>>()?;
        let report = Report::joined(reports).map_err(usage)?;
        for adapter in report.adapters.iter().filter(|a| a.made.interrupted) {
            let [name, driver] = [&adapter.name, &adapter.driver].map(|text| shown::text(text));
            tell(&format!("warning: the run on {name} ({driver}) was stopped: cases are missing"));
        }
        report
    };
    write(args, &report, other.as_ref())?;
    if let Some(Err(error)) = journal.map(Journal::remove) {
        tell(&format!("warning: the report is written, but its journal is still there: {error}"));
    }
    printed?;
    if let Some(other) = &other {
        conformance::compare(&report, other, &mut print)?;
    }
    print(&summary(&report))?;
    if progress::interrupted() {
        return Err(Error::Interrupted.into());
    }
    let s = report.summary;
    if s.failed > 0 {
        return Err(CliError::Conformance { failed: s.failed, total: s.cases }.into());
    }
    match s.passed + s.known {
        0 => Err(CliError::NothingRun.into()),
        _ => Ok(()),
    }
}

/// A run's report, and what is left to do with it.
struct Measured {
    report: Report,
    journal: Option<Journal>,
    /// Whether its lines could be printed.
    printed: anyhow::Result<()>,
}

/// Runs the cases; none where they were only to be listed.
fn measure(args: &Args) -> anyhow::Result<Option<Measured>> {
    let options = Options {
        only: args.only.clone(),
        storages: match args.precision {
            Precision::F32 => vec![Policy::F32],
            Precision::Packed => vec![Policy::PACKED],
            Precision::F16 => vec![Policy::F16],
            Precision::Mixed => vec![Policy::MIXED],
            Precision::All => vec![],
        },
        full: args.full,
        cases: None,
        fraction: Fraction::ALL,
        strict: args.strict,
        seed: args.seed,
        dump: args.dump.clone(),
        interrupted: progress::interrupted,
    };
    let entries = conformance::entries(&options);
    if entries.is_empty() {
        return Err(usage("no case matches --only and --precision; --list shows all"));
    }
    if args.list {
        return entries.iter().try_for_each(|e| print_raw(&format!("{}\t{}", e.id, e.title))).map(|()| None);
    }
    let choice = args.adapter.choice()?;
    let adapters = adapters(args, &choice)?;
    progress::catch_interrupts();
    let started = Instant::now();
    let mut printed = Ok(());
    let mut journal = report_files(args).next().map(|path| begin_journal(path, args.force)).transpose()?;
    let report = conformance::run(&adapters, &choice, &options, &mut |seen| {
        if let Some(Err(error)) = journal.as_mut().map(|journal| journal.add(&seen)) {
            tell(&format!("warning: what was done is not kept should this run be cut short: {error}"));
            journal = None;
        }
        if let Seen::Row(row) = seen
            && (!args.quiet || row.gone() || matches!(row.status, Status::Failed | Status::Known))
        {
            printed = print(&line(row));
        }
        printed.is_ok() && !progress::interrupted()
    });
    tell(&format!("seed {}, {:.0} s", options.seed, started.elapsed().as_secs_f64()));
    Ok(Some(Measured { report, journal, printed }))
}

/// Rows go there as they come, and stay where the report is never written.
fn begin_journal(report: &Path, force: bool) -> anyhow::Result<Journal> {
    let place = Journal::place(report);
    Journal::create(report, force).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => usage(format!(
            "{0}: a run that was cut short has left what it did; `conformance --from {0}` reads it, --force replaces it",
            place.display()
        )),
        _ => anyhow::anyhow!("{}: cannot be written: {error}", place.display()),
    })
}

fn summary(report: &Report) -> String {
    let s = report.summary;
    let on = match report.adapters.as_slice() {
        [one] => shown::text(&one.name),
        many => format!("{} adapters", many.len()),
    };
    let gone = match report.gone() {
        0 => String::new(),
        n => format!(" ({n} listed as deviating: src/conformance/known.rs is to be mended)"),
    };
    format!(
        "{} cases on {on}: {} passed{gone}, {} failed, {} known deviations, {} not run",
        s.cases, s.passed, s.failed, s.known, s.not_run
    )
}

/// The adapter asked for, or all. That there is none is an error, not an empty success.
fn adapters(args: &Args, choice: &AdapterChoice) -> anyhow::Result<Vec<AdapterFacts>> {
    if args.all_adapters {
        let all = list(&AdapterChoice { adapter: None, ..choice.clone() });
        if !all.is_empty() {
            return Ok(all);
        }
    }
    Ok(vec![Gpu::new(choice)?.facts().clone()])
}

fn line(row: &Row) -> String {
    let word = match row.status {
        Status::Passed => "ok     ",
        Status::Failed => "FAIL   ",
        Status::Known => "known  ",
        Status::NotRun => "not run",
    };
    let ratio = row.ratio.map_or("     -".into(), |r| format!("{r:6.3}"));
    let mut line = format!("{word} {ratio}  {}", row.id);
    if matches!(row.status, Status::Failed | Status::Known) && !row.place.is_empty() {
        line += &format!("  at {}", row.place);
    }
    if let Some(reason) = &row.reason {
        line += &format!("  ({reason})");
    }
    line
}

/// A report of `--json`, compressed or not.
fn read(path: &Path) -> anyhow::Result<Report> {
    conformance::read_report(path).map_err(|error| match error {
        ReportError::NoReport { .. } => usage(error.to_string()),
        other => other.into(),
    })
}

fn report_files(args: &Args) -> impl Iterator<Item = &PathBuf> {
    [&args.json, &args.junit, &args.html].into_iter().flatten()
}

/// Before all cases run: files that cannot or must not be written.
fn check_outputs(args: &Args) -> anyhow::Result<()> {
    let files: Vec<&PathBuf> = report_files(args).collect();
    for (i, path) in files.iter().enumerate() {
        if files[..i].iter().any(|other| place_of(other) == place_of(path)) {
            return Err(usage(format!("{}: two reports would go to this file; name different ones", path.display())));
        }
        check_place(path, args.force)?;
    }
    Ok(())
}

fn write(args: &Args, report: &Report, other: Option<&Report>) -> anyhow::Result<()> {
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
        put(path, conformance::html(report, other)?)?;
    }
    Ok(())
}
