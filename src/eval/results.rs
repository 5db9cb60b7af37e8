//! Results on the disk: JSON lines, one for each episode, so that a run can end at any moment and lose nothing.

use super::EvalError;
use super::episodes::{Benchmark, Control, Shard};
use super::metrics::Counts;
use crate::GuidedFilter;
use crate::image_io::write_whole;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// First line of a file of results: everything that the numbers depend on, but for the device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// The program's version.
    pub diffews_wgpu: String,
    /// Of the episodes' file.
    pub episodes_sha256: String,
    pub benchmark: Option<Benchmark>,
    /// Fingerprint of the weights and their configuration.
    pub model: String,
    pub size: u32,
    pub precision: String,
    pub threshold: String,
    /// How outlines were refined, if they were.
    pub guided_filter: Option<GuidedFilter>,
    pub shots: Option<usize>,
    pub control: Control,
    pub seed: u64,
    /// Episodes of the whole run, all shards together.
    pub total: usize,
    pub shard: Shard,
}

impl Header {
    /// The first setting in which `self` and `other` differ, and both values; the shard's number may differ.
    pub(super) fn difference(&self, other: &Header) -> Option<String> {
        let fields = |h: &Header| {
            let alike = Header { shard: Shard { index: 0, of: h.shard.of }, ..h.clone() };
            serde_json::to_value(alike).ok()?.as_object().cloned()
        };
        let (a, b) = (fields(self)?, fields(other)?);
        let differs = |(key, value): (&String, &serde_json::Value)| {
            let theirs = b.get(key)?;
            (value != theirs).then(|| format!("\"{key}\" is {value} here and {theirs} there"))
        };
        a.iter().find_map(differs)
    }
}

/// Of one episode: far more than a picture has, and sums over any number of episodes still do not overflow.
const MOST_PIXELS: u64 = 1 << 40;

/// One line of results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Number in the episodes' file, from 0.
    pub episode: usize,
    pub class: String,
    pub query: String,
    /// Pixels at S x S, unless the episode failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// `wait`: the device's thread waited for pictures; `load`: reading and resizing them, beside the device; and the
    /// device's stages.
    #[serde(default)]
    pub seconds: BTreeMap<String, f64>,
}

/// A file of results that is being written, by one process at a time.
pub struct ResultsFile {
    path: PathBuf,
    file: File,
    _lock: File,
}

impl ResultsFile {
    /// Starts a new file.
    ///
    /// # Errors
    /// There is one already, or it cannot be written.
    pub fn create(path: &Path, header: &Header) -> Result<ResultsFile, EvalError> {
        if path.exists() {
            let message = "exists already; pass --resume to go on with it, or name another --output";
            return Err(EvalError::results(path, message));
        }
        let lock = lock(path)?;
        write_whole(path, &line(path, header)?, false)?;
        ResultsFile::append_to(path, lock)
    }

    /// Goes on with a file: gives the episodes that are done. Those that failed and a line that was cut off are taken
    /// out of it, to be done again. Where there is no file, one is started.
    ///
    /// # Errors
    /// The file is of another run, damaged elsewhere than in its last line, or being written by another process.
    pub fn resume(path: &Path, header: &Header) -> Result<(ResultsFile, Vec<Record>), EvalError> {
        if !path.exists() {
            return Ok((ResultsFile::create(path, header)?, Vec::new()));
        }
        let lock = lock(path)?;
        let mut records = of_run(path, header)?;
        records.retain(|r| r.counts.is_some());
        let bytes = whole(path, header, &records)?;
        if fs::read(path).map_err(|e| EvalError::read(path, e))? != bytes {
            write_whole(path, &bytes, true)?;
        }
        Ok((ResultsFile::append_to(path, lock)?, records))
    }

    fn append_to(path: &Path, lock: File) -> Result<ResultsFile, EvalError> {
        let file = OpenOptions::new().append(true).open(path).map_err(|e| EvalError::write(path, e))?;
        Ok(ResultsFile { path: path.to_owned(), file, _lock: lock })
    }

    /// Writes all of a run at once, in place of what an earlier call wrote of the same run.
    ///
    /// # Errors
    /// What is there is of another run or no file of results, or it cannot be written.
    pub fn replace(path: &Path, header: &Header, records: &[Record]) -> Result<(), EvalError> {
        let _lock = lock(path)?;
        if path.exists() {
            of_run(path, header)?;
        }
        Ok(write_whole(path, &whole(path, header, records)?, true)?)
    }

    /// Adds an episode. When this returns it is on the disk.
    pub fn append(&mut self, record: &Record) -> Result<(), EvalError> {
        let line = line(&self.path, record)?;
        self.file.write_all(&line).and_then(|()| self.file.sync_data()).map_err(|e| EvalError::write(&self.path, e))
    }
}

/// Holds the right to write to `path` as long as what it gives: by a hidden file beside it, as `path` itself is replaced
/// at times, and on Windows nobody can read what is locked.
fn lock(path: &Path) -> Result<File, EvalError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.lock"));
    let file = File::create(&beside).map_err(|e| EvalError::write(&beside, e))?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(EvalError::results(path, "is being written by another process")),
        // Not every file system has locks.
        _ => Ok(file),
    }
}

/// The records of a file that must be of the run that `header` is of.
fn of_run(path: &Path, header: &Header) -> Result<Vec<Record>, EvalError> {
    let (found, records) = read_results(path)?;
    if let Some(difference) = header.difference(&found) {
        let message = format!("is of another run, where {difference}; name another --output");
        return Err(EvalError::results(path, message));
    }
    if found.shard != header.shard {
        return Err(EvalError::results(path, "is of another shard; name another --output"));
    }
    Ok(records)
}

fn whole(path: &Path, header: &Header, records: &[Record]) -> Result<Vec<u8>, EvalError> {
    let mut bytes = line(path, header)?;
    for record in records {
        bytes.extend(line(path, record)?);
    }
    Ok(bytes)
}

fn line<T: Serialize>(path: &Path, value: &T) -> Result<Vec<u8>, EvalError> {
    let mut bytes = serde_json::to_vec(value)
        .map_err(|e| EvalError::write(path, std::io::Error::new(ErrorKind::InvalidData, e)))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Reads a file of results. A last line that was cut off is left out.
///
/// # Errors
/// Any other damage, counts that cannot be, an episode that is there twice or is not of the file's shard.
pub fn read_results(path: &Path) -> Result<(Header, Vec<Record>), EvalError> {
    let bytes = fs::read(path).map_err(|e| EvalError::read(path, e))?;
    // What comes after the last newline is a line that was not written to its end.
    let whole = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |end| end + 1);
    let mut lines = bytes[..whole].split(|&b| b == b'\n').filter(|l| !l.is_empty());
    let header: Header = serde_json::from_slice(lines.next().unwrap_or_default())
        .map_err(|e| EvalError::results(path, format!("is no file of results, its first line is not: {e}")))?;
    if header.shard.index >= header.shard.of {
        return Err(EvalError::results(path, "names a shard that cannot be"));
    }
    let (mut records, mut seen) = (Vec::new(), HashSet::new());
    for (number, line) in lines.enumerate() {
        let at = |what: String| EvalError::results(path, format!("line {}: {what}", number + 2));
        let record: Record = serde_json::from_slice(line).map_err(|e| at(format!("is damaged: {e}")))?;
        if record.episode >= header.total || !header.shard.holds(record.episode) {
            return Err(at(format!("episode {} is not of this shard", record.episode)));
        }
        if record.counts.is_some() == record.error.is_some() {
            return Err(at("must hold either counts or an error".into()));
        }
        let possible = |c: &Counts| (0..2).all(|i| c.intersection[i] <= c.union[i] && c.union[i] <= MOST_PIXELS);
        if !record.counts.as_ref().is_none_or(possible) {
            return Err(at("counts more pixels than can be".into()));
        }
        if !seen.insert(record.episode) {
            return Err(at(format!("episode {} is there twice", record.episode)));
        }
        records.push(record);
    }
    Ok((header, records))
}

/// The episodes as a table for spreadsheets and scripts, in the episodes' order.
pub fn to_csv(records: &[Record]) -> String {
    let mut rows: Vec<&Record> = records.iter().collect();
    rows.sort_by_key(|r| r.episode);
    let mut csv = "episode,class,query,iou,intersection_background,intersection_foreground,union_background,\
                   union_foreground,error\n"
        .to_string();
    for record in rows {
        let counts = match &record.counts {
            Some(c) => {
                let ([ib, i], [ub, u]) = (c.intersection, c.union);
                format!("{:.6},{ib},{i},{ub},{u}", c.iou())
            }
            None => ",,,,".into(),
        };
        let (class, query) = (quoted(&record.class), quoted(&record.query));
        let error = quoted(record.error.as_deref().unwrap_or_default());
        // Writing to a string cannot fail.
        let _ = writeln!(csv, "{},{class},{query},{counts},{error}", record.episode);
    }
    csv
}

/// As RFC 4180 has it.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.into() }
}

#[cfg(test)]
#[path = "results_tests.rs"]
mod tests;
