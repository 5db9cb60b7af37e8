//! `conformance`: checks whether an adapter computes right.

mod bundle;
mod gtest;
mod isolate;
mod reports;

use super::errors::{CliError, usage};
use super::options::AdapterArgs;
use super::{print, print_raw, progress, tell};
use clap::ValueEnum;
use diffews_wgpu::Error;
use diffews_wgpu::conformance::{
    self, Entry, Expectations, Fraction, Journal, ListError, Options, Report, Seen, Status,
};
use diffews_wgpu::gpu::{AdapterChoice, AdapterFacts, Gpu, list};
use diffews_wgpu::plan::Policy;
use diffews_wgpu::shown;
use isolate::Isolated;
use regex::Regex;
use reports::{Beside, begin_journal, check_outputs, line, read, read_compiled, report_files, summary, write};
use std::collections::HashSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const AFTER_HELP: &str = "\
Examples:
  diffews-wgpu conformance                                             on the adapter that `infer` uses
  diffews-wgpu conformance --all-adapters --full --html report.html
  diffews-wgpu conformance --only conv2d --precision f32";

#[derive(clap::Args)]
#[command(after_help = AFTER_HELP, args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    verb: Option<bundle::Verb>,
    #[command(flatten)]
    adapter: AdapterArgs,
    /// Run on every adapter, one after the other; --adapter is ignored
    #[arg(long)]
    all_adapters: bool,
    /// Run only cases whose id or title this regular expression matches (see --list)
    #[arg(long, value_name = "REGEX", value_parser = pattern)]
    only: Option<Regex>,
    #[command(flatten)]
    pick: Pick,
    #[command(flatten)]
    farm: Farm,
    /// List the cases instead of running them: id, tab, title
    #[arg(long, conflicts_with_all = ["json", "junit", "html", "csv", "compare", "dump"])]
    list: bool,
    /// How elements are stored; by default all that the adapter supports
    #[arg(long, value_enum, default_value = "all")]
    precision: Precision,
    /// Run every kernel case, large ones in the form chosen for the adapter, and the whole model [default]
    #[arg(long, conflicts_with = "full")]
    quick: bool,
    /// Run every case in every form and storage, repeat the model ten times with each choice of forms, and run it a hundred times to
    /// find leaks
    #[arg(long)]
    full: bool,
    /// Also fail errors that WGSL allows but arithmetic that rounds to nearest does not make
    #[arg(long)]
    strict: bool,
    /// Run nothing: merge these --json reports of different drivers, for --html, --json, --junit and --compare
    #[arg(long, value_name = "FILE", num_args = 1..)]
    #[arg(conflicts_with_all = ["all_adapters", "only", "list", "precision", "quick", "full", "strict", "seed", "dump", "caselist", "fraction"])]
    #[arg(conflicts_with_all = ["isolate", "timeout", "retry", "baseline", "flakes", "skips", "expect_driver"])]
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
    /// Write the results as a self-contained HTML page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Include in --html the figures of GPU vendors' compilers (docs/results/vendors.json, written by `make vendors`)
    #[arg(long, value_name = "FILE", requires = "html")]
    compiled: Option<PathBuf>,
    /// Write the results as deqp-runner does: lines of id, status and seconds
    #[arg(long, value_name = "FILE", conflicts_with = "all_adapters")]
    csv: Option<PathBuf>,
    /// Replace files that exist
    #[arg(long)]
    force: bool,
    /// Compare with the --json of another machine, here and in --html
    #[arg(long, value_name = "OTHER.json")]
    compare: Option<PathBuf>,
    /// Write the WGSL of every case in the run, and its translations (SPIR-V, HLSL, MSL)
    #[arg(long, value_name = "DIR")]
    dump: Option<PathBuf>,
    /// List the cases in GoogleTest's format
    #[arg(long = "gtest_list_tests", help_heading = "GoogleTest's protocol", conflicts_with_all = UNLIKE_GTEST)]
    gtest_list_tests: bool,
    /// Run the cases with these names (with * and ?, separated by colons) and print GoogleTest's output
    #[arg(long = "gtest_filter", value_name = "NAMES", help_heading = "GoogleTest's protocol", conflicts_with_all = UNLIKE_GTEST)]
    gtest_filter: Option<String>,
    /// Run the cases whose ids come on stdin and print their rows
    #[arg(long, hide = true)]
    worker: bool,
}

/// Flags that conflict with GoogleTest's protocol, whose users have their own lists and reports.
const UNLIKE_GTEST: [&str; 14] = [
    "list",
    "all_adapters",
    "from",
    "json",
    "junit",
    "html",
    "csv",
    "compare",
    "isolate",
    "timeout",
    "retry",
    "baseline",
    "flakes",
    "skips",
];

/// Which cases to run.
#[derive(clap::Args)]
struct Pick {
    /// Run only the cases whose ids are in this file, one per line
    #[arg(long, value_name = "FILE")]
    caselist: Option<PathBuf>,
    /// Split the cases into N parts of about equal work and run one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    fraction: Option<u32>,
    /// The part to run, from 1
    #[arg(long, value_name = "K", requires = "fraction", default_value_t = 1)]
    fraction_start: u32,
}

/// Flags for other projects' continuous integration.
#[derive(clap::Args)]
#[command(next_help_heading = "In continuous integration (docs/ci.md)")]
struct Farm {
    /// Exit with code 4 unless the adapter's name or driver contains this text
    #[arg(long, value_name = "TEXT")]
    expect_driver: Option<String>,
    /// Run the cases in separate processes: a crash or a hang is reported, and the other cases still run
    #[arg(long)]
    isolate: bool,
    /// Time limit of a case; implies --isolate [default with --isolate: 600]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,
    /// Run a failed case up to N more times; if it passes then, it is a flake
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=100))]
    retry: u32,
    /// Expected failures in deqp-runner's format: lines of id and status (Fail, Crash, Timeout); a pass of such a case is a failure
    #[arg(long, value_name = "FILE")]
    baseline: Vec<PathBuf>,
    /// Regular expressions for ids of cases that fail at times
    #[arg(long, value_name = "FILE")]
    flakes: Vec<PathBuf>,
    /// Regular expressions for ids of cases to skip
    #[arg(long, value_name = "FILE")]
    skips: Vec<PathBuf>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || "it must be a number of seconds above 0, up to 1000000".to_string();
    let number: f64 = text.parse().map_err(|_| wrong())?;
    if number > 0.0 && number <= 1e6 { Ok(Duration::from_secs_f64(number)) } else { Err(wrong()) }
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
    /// Weights of 8 bits, values as f32
    Q8,
    /// Weights of 8 bits, values as packed halves
    Q8Halves,
    All,
}

fn pattern(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|e| e.to_string())
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    if let Some(verb) = &args.verb {
        return bundle::run(verb);
    }
    check_outputs(args)?;
    let beside = Beside {
        other: args.compare.as_deref().map(read).transpose()?,
        compiled: args.compiled.as_deref().map(read_compiled).transpose()?,
    };
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
            tell(&format!("warning: the run on {name} ({driver}) was interrupted: its report is incomplete"));
        }
        report
    };
    write(args, &report, &beside)?;
    if let Some(Err(error)) = journal.map(Journal::remove) {
        tell(&format!("warning: the report is written, but its journal is still there: {error}"));
    }
    printed?;
    if let Some(other) = &beside.other {
        conformance::compare(&report, other, &mut print)?;
    }
    if args.gtest_filter.is_none() {
        print(&summary(&report))?;
    }
    if progress::interrupted() {
        return Err(Error::Interrupted.into());
    }
    let s = report.summary;
    if s.failed > 0 {
        return Err(CliError::Conformance { failed: s.failed, total: s.cases }.into());
    }
    // A GoogleTest runner may ask for one case that this adapter does not support.
    match s.passed + s.known {
        0 if args.gtest_filter.is_none() => Err(CliError::NothingRun.into()),
        _ => Ok(()),
    }
}

/// A run's report and its journal.
struct Measured {
    report: Report,
    journal: Option<Journal>,
    /// Whether the lines could be printed.
    printed: anyhow::Result<()>,
}

fn options(args: &Args) -> anyhow::Result<Options> {
    let (of, number) = (args.pick.fraction.unwrap_or(1) as usize, args.pick.fraction_start as usize);
    if number < 1 || number > of {
        return Err(usage(format!("--fraction-start {number}: the parts are 1 to {of}")));
    }
    let mut options = Options {
        only: args.only.clone(),
        storages: match args.precision {
            Precision::F32 => vec![Policy::F32],
            Precision::Packed => vec![Policy::PACKED],
            Precision::F16 => vec![Policy::F16],
            Precision::Mixed => vec![Policy::MIXED],
            Precision::Q8 => vec![Policy::Q8],
            Precision::Q8Halves => vec![Policy::Q8_PACKED],
            Precision::All => vec![],
        },
        full: args.full,
        strict: args.strict,
        seed: args.seed,
        dump: args.dump.clone(),
        interrupted: progress::interrupted,
        ..Options::default()
    };
    let farm = &args.farm;
    options.retries = farm.retry;
    options.expected = Expectations::read(&farm.baseline, &farm.flakes, &farm.skips).map_err(unusable)?;
    if let Some(path) = &args.pick.caselist {
        let known: HashSet<String> = conformance::entries(&options).into_iter().map(|entry| entry.id).collect();
        let asked: HashSet<String> = conformance::read_caselist(path).map_err(unusable)?.into_iter().collect();
        if let Some(id) = asked.difference(&known).min() {
            let but = if args.full { "" } else { " (some are only of --full)" };
            return Err(usage(format!("{}: no case is called {id}{but}; --list shows all", shown::path(path))));
        }
        options.cases = Some(asked);
    }
    if let Some(filter) = &args.gtest_filter {
        let all = conformance::entries(&options).into_iter().map(|entry| entry.id);
        options.cases = Some(all.filter(|id| gtest::selects(filter, id)).collect());
    }
    // Applied after all other filters.
    options.fraction = Fraction { number, of };
    Ok(options)
}

/// A wrong entry of a list is wrong usage; an unreadable list is not.
fn unusable(error: ListError) -> anyhow::Error {
    match error {
        ListError::Read { .. } => error.into(),
        other => usage(other.to_string()),
    }
}

/// Runs the cases; `None` if they were only listed.
fn measure(args: &Args) -> anyhow::Result<Option<Measured>> {
    let options = options(args)?;
    let entries = conformance::entries(&options);
    if entries.is_empty() && args.pick.fraction.is_none() && !args.gtest_list_tests {
        return Err(usage(
            "no case is selected by --only, --precision, --caselist or --gtest_filter; --list shows all",
        ));
    }
    if args.list {
        return entries.iter().try_for_each(|e| print_raw(&format!("{}\t{}", e.id, e.title))).map(|()| None);
    }
    if args.gtest_list_tests {
        return gtest::list(&entries).map(|()| None);
    }
    let choice = args.adapter.choice()?;
    if args.worker {
        progress::catch_interrupts();
        return isolate::work(&choice, &options).map(|()| None);
    }
    let adapters = adapters(args, &choice)?;
    if let Some(text) = &args.farm.expect_driver {
        adapters.iter().try_for_each(|facts| expect_driver(facts, text))?;
    }
    progress::catch_interrupts();
    if args.gtest_filter.is_some()
        && let Some(adapter) = adapters.first()
    {
        let report = gtest::run(adapter.clone(), &choice, &options)?;
        return Ok(Some(Measured { report, journal: None, printed: Ok(()) }));
    }
    let started = Instant::now();
    let mut printed = Ok(());
    let mut journal = report_files(args).next().map(|path| begin_journal(path, args.force)).transpose()?;
    let mut seen = |seen: Seen| {
        if let Some(Err(error)) = journal.as_mut().map(|journal| journal.add(&seen)) {
            tell(&format!("warning: results will be lost if this run is interrupted: {error}"));
            journal = None;
        }
        if let Seen::Row(row) = seen
            && (!args.quiet || row.gone() || !matches!(row.status, Status::Passed | Status::NotRun))
        {
            printed = print(&line(row));
        }
        printed.is_ok() && !progress::interrupted()
    };
    let report = match args.farm.isolate || args.farm.timeout.is_some() {
        true => isolated(args, &adapters, &options, &entries, &mut seen),
        false => conformance::run(&adapters, &choice, &options, &mut seen),
    };
    tell(&format!("seed {}, {:.0} s", options.seed, started.elapsed().as_secs_f64()));
    Ok(Some(Measured { report, journal, printed }))
}

fn isolated(
    args: &Args,
    adapters: &[AdapterFacts],
    options: &Options,
    entries: &[Entry],
    seen: &mut dyn FnMut(Seen) -> bool,
) -> Report {
    let mut workers = Isolated::new(args, args.farm.timeout.unwrap_or(Duration::from_secs(600)));
    conformance::run_by(adapters, options, entries, &mut |facts, i| workers.run(facts, &entries[i]), seen)
}

/// Test farms may run another driver than they believe.
fn expect_driver(facts: &AdapterFacts, text: &str) -> anyhow::Result<()> {
    let is = format!("{} ({}, {})", facts.name, facts.driver, facts.backend);
    match is.to_lowercase().contains(&text.to_lowercase()) {
        true => Ok(()),
        false => Err(CliError::OtherDriver { is: shown::text(&is), expected: shown::text(text) }.into()),
    }
}

/// The chosen adapter, or all. No adapter is an error, not an empty success.
fn adapters(args: &Args, choice: &AdapterChoice) -> anyhow::Result<Vec<AdapterFacts>> {
    if args.all_adapters {
        let all = list(&AdapterChoice { adapter: None, ..choice.clone() });
        if !all.is_empty() {
            return Ok(all);
        }
    }
    Ok(vec![Gpu::new(choice)?.facts().clone()])
}
