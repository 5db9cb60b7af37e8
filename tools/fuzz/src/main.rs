//! Fuzzes everything that diffews-wgpu reads from files. docs/fuzzing.md says how to use it.
//!
//! ```text
//! drive: a process per target --> work: seeds, then changed inputs --> target's Runner --> coverage: keep new ones
//!     ^------ events, one line of JSON each --------|
//! ```
//! Each target has its own process, so that an abort or an endless loop is reported, and the others continue.

mod coverage;
mod drive;
mod memory;
mod mutate;
mod targets;
mod work;

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
#[command(about = "Coverage-guided fuzzing of what diffews-wgpu reads")]
struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// List the targets
    List,
    /// Run the seeds of targets, then changed inputs; exit code 1 if there are findings
    Run(Run),
    /// Run files again, exactly as they are
    Replay {
        target: String,
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    #[command(hide = true)]
    Work(work::Order),
}

#[derive(Args)]
struct Run {
    /// [default: all]
    targets: Vec<String>,
    /// For all targets together; the seeds always run
    #[arg(long, default_value_t = 60.0)]
    seconds: f64,
    /// Number of changed inputs per target, instead of a time; only from seeds and the corpus, so that every run is the same
    #[arg(long, conflicts_with = "seconds")]
    runs: Option<u64>,
    /// Of the random numbers [default: a different one each time]
    #[arg(long)]
    seed: Option<u64>,
    /// Directory that keeps inputs with new coverage from run to run [default: none]
    #[arg(long, value_name = "DIR")]
    corpus: Option<PathBuf>,
    /// Directory for inputs that are findings
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/fuzz/findings"))]
    findings: PathBuf,
    /// Also run without counters, where new inputs cannot be told from old ones
    #[arg(long)]
    blind: bool,
}

fn main() -> ExitCode {
    let done = match Command::parse().verb {
        Verb::List => {
            targets::TARGETS.iter().for_each(|t| println!("{:12} {}", t.name, t.about));
            Ok(true)
        }
        Verb::Run(run) => drive::run(&run),
        Verb::Replay { target, files } => drive::replay(&target, &files),
        Verb::Work(order) => work::work(&order).map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}
