//! `compile`: has an adapter's driver compile every kernel, and reports the results.

use super::options::AdapterArgs;
use super::{columns, json_line, print, print_lines, progress};
use diffews_wgpu::Error;
use diffews_wgpu::conformance::compile::{Pipelines, Row};
use diffews_wgpu::gpu::AdapterFacts;
use diffews_wgpu::image_io::{check_place, write_whole};
use serde::Serialize;
use std::path::{Path, PathBuf};

const AFTER_HELP: &str = "\
Examples:
  diffews-wgpu compile
  diffews-wgpu compile --models --backend vulkan
  diffews-wgpu compile --json pipelines.json";

#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    #[command(flatten)]
    adapter: AdapterArgs,
    /// Compile only pipelines that a model runs on this adapter
    #[arg(long)]
    models: bool,
    /// Print JSON instead of the table, or write it to a file
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = STDOUT)]
    json: Option<PathBuf>,
    /// Replace a file that exists
    #[arg(long)]
    force: bool,
}

/// The report of a run.
#[derive(Serialize)]
struct Report<'a> {
    version: &'static str,
    commit: &'static str,
    adapter: &'a AdapterFacts,
    pipelines: &'a [Row],
}

const STDOUT: &str = "-";

pub fn run(args: &Args) -> anyhow::Result<()> {
    let file = args.json.as_deref().filter(|path| *path != Path::new(STDOUT));
    if let Some(path) = file {
        check_place(path, args.force)?;
    }
    progress::catch_interrupts();
    let gpu = args.adapter.open()?;
    let pipelines = Pipelines::of(&gpu, args.models)?;
    let mut rows = Vec::new();
    pipelines.compile(&gpu, &mut |row| {
        rows.push(row);
        !progress::interrupted()
    })?;
    if progress::interrupted() {
        return Err(Error::Interrupted.into());
    }
    let failed = rows.iter().filter(|row| row.error.is_some()).count();
    let found = Report {
        version: env!("CARGO_PKG_VERSION"),
        commit: env!("DIFFEWS_COMMIT"),
        adapter: gpu.facts(),
        pipelines: &rows,
    };
    match file {
        Some(path) => write_whole(path, format!("{}\n", serde_json::to_string_pretty(&found)?).as_bytes(), args.force)?,
        None if args.json.is_some() => print(&json_line(&found)?)?,
        None => table(gpu.facts(), &rows)?,
    }
    match failed {
        0 => Ok(()),
        _ => anyhow::bail!("{failed} of {} pipelines could not be compiled, see above", rows.len()),
    }
}

fn table(facts: &AdapterFacts, rows: &[Row]) -> anyhow::Result<()> {
    print(&format!("{} ({}, {}); m: run by a model on it", facts.name, facts.backend, facts.driver))?;
    let heads = [
        "",
        "kernel",
        "form",
        "variant",
        "storage",
        "ms",
        "lanes",
        "registers",
        "spills",
        "scratch",
        "waves",
        "instructions",
        "code",
        "cycles",
    ];
    let mut cells = vec![heads.map(String::from).to_vec()];
    let figure = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.0}"));
    for row in rows {
        let storage = row.storage.join(",");
        let what = [row.kernel, row.form, &row.variant, &storage].map(String::from);
        let mut line = vec![if row.models.is_empty() { "" } else { "m" }.to_string()];
        line.extend(what);
        match row.error.as_ref().or(row.left_out.as_ref()) {
            Some(reason) => line.push(reason.clone()),
            None => {
                line.push(row.milliseconds.map_or(String::new(), |ms| format!("{ms:.1}")));
                let f = &row.figures;
                let figures =
                    [f.lanes, f.registers, f.spills, f.scratch, f.waves, f.instructions, f.code_bytes, f.cycles];
                line.extend(figures.map(figure));
            }
        }
        cells.push(line);
    }
    print_lines(&columns(&cells))
}
