//! Merging shards.

use super::EvalError;
use super::episodes::Shard;
use super::results::{Header, Record, read_results};
use crate::shown;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Merges the results of all shards of a run, given in any order, into the results of the unsharded run.
///
/// # Errors
/// Files of different runs, a shard that is missing or given twice, unfinished shards.
pub fn merge(files: &[PathBuf]) -> Result<(Header, Vec<Record>), EvalError> {
    let read = files.iter().map(|f| read_results(f)).collect::<Result<Vec<_>, _>>()?;
    let Some((first, _)) = read.first() else {
        return Err(EvalError::Merge("no results to merge; name the files or the directory that holds them".into()));
    };
    let of = first.shard.of;
    let mut owners: Vec<Option<&Path>> = vec![None; of.min(files.len())];
    for (file, (header, _)) in files.iter().zip(&read) {
        if let Some(difference) = first.difference(header) {
            let (a, b) = (shown::path(&files[0]), shown::path(file));
            return Err(EvalError::Merge(format!("{a} and {b} are not of one run: {difference}, in this order")));
        }
        match owners.get_mut(header.shard.index) {
            Some(owner @ None) => *owner = Some(file),
            Some(Some(other)) => {
                let (shard, a, b) = (header.shard.index, shown::path(other), shown::path(file));
                return Err(EvalError::Merge(format!("shard {shard}/{of} is there twice: {a} and {b}")));
            }
            // Its number exceeds the number of files, so another shard is missing: reported below.
            None => {}
        }
    }
    let given: HashSet<usize> = read.iter().map(|(header, _)| header.shard.index).collect();
    let lacking: Vec<String> =
        (0..of).filter(|i| !given.contains(i)).take(8).map(|index| format!("{index}/{of}")).collect();
    if !lacking.is_empty() {
        return Err(EvalError::Merge(format!("shards are missing: {}; run them first", lacking.join(", "))));
    }
    for (file, (header, records)) in files.iter().zip(&read) {
        let expected = header.total / of + usize::from(header.shard.index < header.total % of);
        // Records are of the shard and unique, so comparing the number is enough.
        if records.len() != expected {
            return Err(EvalError::Merge(format!(
                "{}: {} of {expected} episodes are missing; run this shard again with --resume",
                shown::path(file),
                expected - records.len()
            )));
        }
    }
    let header = Header { shard: Shard::WHOLE, ..first.clone() };
    let mut records: Vec<Record> = read.into_iter().flat_map(|(_, records)| records).collect();
    records.sort_by_key(|r| r.episode);
    Ok((header, records))
}
