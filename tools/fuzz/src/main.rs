//! Fuzzing of everything that diffews-wgpu reads from files. docs/fuzzing.md says how to use it.
//!
//! ```text
//! drive: for each target a process --> work: seeds, then changed inputs --> target's Runner --> coverage: kept where new
//!     ^------- events, one line of JSON each --------|
//! ```
//! A process for each target, so that an abort or a loop without end is told, and the others go on.

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
    /// Name the targets
    List,
    /// Run the seeds of targets, then changed inputs; exit code 1 where there are findings
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
    /// Of all targets together; the seeds are run in any case
    #[arg(long, default_value_t = 60.0)]
    seconds: f64,
    /// So many changed inputs of each target, in place of a time, all of them of seeds and the corpus: the same each time
    #[arg(long, conflicts_with = "seconds")]
    runs: Option<u64>,
    /// Of the random numbers [default: another each time]
    #[arg(long)]
    seed: Option<u64>,
    /// Where inputs that led to new code are kept from run to run [default: nowhere]
    #[arg(long, value_name = "DIR")]
    corpus: Option<PathBuf>,
    /// Where inputs that are findings are written
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/fuzz/findings"))]
    findings: PathBuf,
    /// Run without counters, too, where nothing tells new inputs from old ones
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
