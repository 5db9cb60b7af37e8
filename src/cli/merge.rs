//! `eval merge`: merges the shards of a run of `eval`.

use super::scores::{finish, refuse_foreign_files};
use diffews_wgpu::eval::{EvalError, ResultsFile, merge};
use std::fs;
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub struct Args {
    /// The shards' results-I-of-N.jsonl, or directories that hold them
    #[arg(required = true, value_name = "FILE|DIR")]
    results: Vec<PathBuf>,
    /// Directory for the merged results.jsonl, episodes.csv and summary.json
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Print the scores as one JSON object
    #[arg(long)]
    json: bool,
    /// Print errors only
    #[arg(long, short)]
    quiet: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let mut files = Vec::new();
    for path in &args.results {
        if path.is_dir() {
            files.extend(shards_in(path)?);
        } else {
            files.push(path.clone());
        }
    }
    let (header, records) = merge(&files)?;
    if let Some(dir) = &args.output {
        fs::create_dir_all(dir).map_err(|cause| EvalError::Write { path: dir.clone(), cause })?;
        refuse_foreign_files(dir, header.shard)?;
        ResultsFile::replace(&dir.join("results.jsonl"), &header, &records)?;
    }
    finish(&records, &header, args.output.as_deref(), args.json, args.quiet)
}

/// The shards' results in a directory, sorted by name.
fn shards_in(dir: &Path) -> Result<Vec<PathBuf>, EvalError> {
    let read = |cause| EvalError::Read { path: dir.to_owned(), cause };
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(read)? {
        let path = entry.map_err(read)?.path();
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with("results-") && name.ends_with(".jsonl") {
            found.push(path);
        }
    }
    if found.is_empty() {
        return Err(EvalError::Merge(format!("{}: holds no results-I-of-N.jsonl; name the files", dir.display())));
    }
    found.sort();
    Ok(found)
}
