//! `conformance report` and `conformance replay`: a case as one file, for those who can fix the driver.

use super::reports::line;
use crate::cli::errors::{CliError, usage};
use crate::cli::options::AdapterArgs;
use crate::cli::{print, progress, tell};
use anyhow::anyhow;
use diffews_wgpu::Error;
use diffews_wgpu::conformance::{BundleError, Options, Row, Status, capture, read_bundle};
use diffews_wgpu::gpu::Gpu;
use diffews_wgpu::image_io::{check_place, write_whole};
use diffews_wgpu::shown;
use std::path::PathBuf;

#[derive(clap::Subcommand)]
pub enum Verb {
    /// Write one case to a file: shaders, their translations, inputs, expected and actual results
    Report(ReportArgs),
    /// Run the case of a file that `report` wrote, on any adapter
    Replay(ReplayArgs),
}

#[derive(clap::Args)]
pub struct ReportArgs {
    /// The case's id (see --list)
    #[arg(value_name = "CASE")]
    case: String,
    /// The file to write: a compressed tar
    #[arg(short, long, value_name = "CASE.tar.gz")]
    output: PathBuf,
    /// Replace a file that exists
    #[arg(long)]
    force: bool,
    /// Seed of the case's data
    #[arg(long, value_name = "N", default_value_t = 20241)]
    seed: u64,
    #[command(flatten)]
    adapter: AdapterArgs,
}

#[derive(clap::Args)]
pub struct ReplayArgs {
    /// A file that `report` wrote
    #[arg(value_name = "CASE.tar.gz")]
    file: PathBuf,
    #[command(flatten)]
    adapter: AdapterArgs,
}

pub fn run(verb: &Verb) -> anyhow::Result<()> {
    match verb {
        Verb::Report(args) => report(args),
        Verb::Replay(args) => replay(args),
    }
}

fn report(args: &ReportArgs) -> anyhow::Result<()> {
    check_place(&args.output, args.force)?;
    let choice = args.adapter.choice()?;
    let options = Options { seed: args.seed, interrupted: progress::interrupted, ..Options::default() };
    let facts = Gpu::new(&choice)?.facts().clone();
    progress::catch_interrupts();
    let mut case = capture(&facts, &choice, &options, &args.case).map_err(usage)?;
    // Write the file first: the driver may end the process.
    write_whole(&args.output, &case.before().map_err(|e| anyhow!(e))?, args.force)?;
    let (row, bytes) = case.run().map_err(|e| anyhow!(e))?;
    if progress::interrupted() {
        return Err(Error::Interrupted.into());
    }
    write_whole(&args.output, &bytes, true)?;
    print(&line(row))?;
    tell(&format!("{}: `diffews-wgpu conformance replay` runs it on any other adapter", shown::path(&args.output)));
    Ok(())
}

fn replay(args: &ReplayArgs) -> anyhow::Result<()> {
    let bundle = read_bundle(&args.file).map_err(|error| match error {
        BundleError::NoBundle { .. } => usage(error.to_string()),
        other => other.into(),
    })?;
    let choice = args.adapter.choice()?;
    let options = Options { interrupted: progress::interrupted, ..Options::default() };
    let facts = Gpu::new(&choice)?.facts().clone();
    progress::catch_interrupts();
    let replayed = bundle.replay(&facts, &choice, &options).map_err(|e| anyhow!("{}: {e}", shown::path(&args.file)))?;
    if progress::interrupted() {
        return Err(Error::Interrupted.into());
    }
    if replayed.foreign {
        tell("note: its shaders differ from this program's, so they run with the translator's bounds checks");
    }
    let on = |row: &Row| format!("{}  on {} ({})", line(row), row.adapter, row.driver);
    print(&format!("there: {}", on(bundle.row())))?;
    print(&format!("here:  {}", on(&replayed.row)))?;
    match replayed.row.status {
        Status::Passed => Ok(()),
        _ => Err(CliError::Conformance { failed: 1, total: 1 }.into()),
    }
}
