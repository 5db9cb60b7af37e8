//! Results on disk: a JSON line for each episode, so that a run can end at any moment without loss.

use super::EvalError;
use super::episodes::{Benchmark, Control, Episode, Shard};
use super::marked::Marked;
use super::metrics::Counts;
use crate::GuidedFilter;
use crate::files::{open_or_make, open_regular};
use crate::image_io::write_whole;
use crate::segment::KvSample;
use crate::shown;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, ErrorKind, Read, Take, Write};
use std::path::{Path, PathBuf};

/// Version of the scoring, raised whenever the same settings give other numbers than before.
pub const SCORING: u32 = 1;

/// First line of a file of results: everything that the numbers depend on, except the device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// The program's version.
    pub diffews_wgpu: String,
    /// [`SCORING`] of the program.
    #[serde(default)]
    pub scoring: u32,
    /// SHA-256 of the file of episodes.
    pub episodes_sha256: String,
    pub benchmark: Option<Benchmark>,
    /// Fingerprint of the weights and their configuration.
    pub model: String,
    pub size: u32,
    pub precision: String,
    /// Forms of kernels with several, such as `conv2d=tiled-64`. They differ between adapters.
    #[serde(default)]
    pub forms: BTreeSet<String>,
    pub threshold: String,
    /// The score below which masks are empty.
    #[serde(default)]
    pub min_score: f64,
    /// The guided filter, if one was used.
    pub guided_filter: Option<GuidedFilter>,
    pub shots: Option<usize>,
    /// The sample of each bank's keys, if not all were kept.
    #[serde(default)]
    pub kv_sample: Option<KvSample>,
    pub control: Control,
    /// The marks that masks of supports were made from.
    #[serde(default)]
    pub marked: Option<Marked>,
    pub seed: u64,
    /// Episodes of the whole run, all shards together.
    pub total: usize,
    /// Whether the file has more episodes.
    #[serde(default)]
    pub limited: bool,
    /// Classes in the file of episodes.
    #[serde(default)]
    pub classes: usize,
    pub shard: Shard,
}

impl Header {
    /// The first setting in which `self` and `other` differ, with both values; shard and forms may differ.
    pub(super) fn difference(&self, other: &Header) -> Option<String> {
        let fields = |h: &Header| {
            let alike = Header { shard: Shard { index: 0, of: h.shard.of }, forms: BTreeSet::new(), ..h.clone() };
            serde_json::to_value(alike).ok()?.as_object().cloned()
        };
        let (a, b) = (fields(self)?, fields(other)?);
        let shown = |value: &serde_json::Value| shown::text(&value.to_string());
        let differs = |(key, value): (&String, &serde_json::Value)| {
            let theirs = b.get(key)?;
            (value != theirs).then(|| format!("\"{key}\" is {} here and {} there", shown(value), shown(theirs)))
        };
        a.iter().find_map(differs)
    }
}

/// Longest line of a file of results, in bytes: usual lines have under a thousand, lines with the longest names some ten thousand.
const LONGEST_LINE: u64 = 1 << 20;
/// Largest file of results, in bytes: some ten million episodes.
const MAX_BYTES: u64 = 1 << 32;

/// Most pixels of an episode: far more than a picture has, yet sums over any number of episodes do not overflow.
const MOST_PIXELS: u64 = 1 << 40;

/// One line of results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Number in the file of episodes, from 0.
    pub episode: usize,
    pub class: String,
    pub query: String,
    /// Pixels at S x S, unless the episode failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,
    /// The network's confidence that the thing is there, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f32>,
    /// Mean IoU of its supports' masks that were made from marks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_iou: Option<f64>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The precision, if it differs from the run's: the episode overflowed in half precision and was run again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<String>,
    /// Seconds: `wait` of the device's thread for pictures; `load` for reading and resizing them on other threads; and the
    /// device's stages.
    #[serde(default)]
    pub seconds: BTreeMap<String, f64>,
}

impl Record {
    /// The record of the episode numbered `number`.
    pub fn new(number: usize, episode: &Episode, outcome: Result<Counts, String>) -> Record {
        let (counts, error) = outcome.map_or_else(|error| (None, Some(error)), |counts| (Some(counts), None));
        let query = episode.query.image.to_string_lossy().into_owned();
        let (class, seconds) = (episode.class.clone(), BTreeMap::new());
        Record { episode: number, class, query, counts, score: None, made_iou: None, error, precision: None, seconds }
    }
}

/// A file of results that is being written by one process.
pub struct ResultsFile {
    path: PathBuf,
    file: File,
    _lock: File,
}

impl ResultsFile {
    /// Starts a new file.
    ///
    /// # Errors
    /// The file exists or cannot be written.
    pub fn create(path: &Path, header: &Header) -> Result<ResultsFile, EvalError> {
        if path.exists() {
            let message = "exists already; pass --resume to continue it, or name another --output";
            return Err(EvalError::results(path, message));
        }
        let lock = lock(path)?;
        write_whole(path, &line(path, header)?, false)?;
        ResultsFile::append_to(path, lock)
    }

    /// Continues a file and returns its finished episodes. Failed ones and a cut-off last line are removed from
    /// it, to be run again. Starts a file if there is none.
    ///
    /// # Errors
    /// The file is of another run, damaged before its last line, or being written by another process.
    pub fn resume(path: &Path, header: &Header) -> Result<(ResultsFile, Vec<Record>), EvalError> {
        if !path.exists() {
            return Ok((ResultsFile::create(path, header)?, Vec::new()));
        }
        let lock = lock(path)?;
        let Contents { mut records, mut clean, .. } = of_run(path, header)?;
        let all = records.len();
        records.retain(|r| r.counts.is_some());
        clean &= records.len() == all;
        if !clean {
            write_whole(path, &whole(path, header, &records)?, true)?;
        }
        Ok((ResultsFile::append_to(path, lock)?, records))
    }

    fn append_to(path: &Path, lock: File) -> Result<ResultsFile, EvalError> {
        let file = OpenOptions::new().append(true).open(path).map_err(|e| EvalError::write(path, e))?;
        Ok(ResultsFile { path: path.to_owned(), file, _lock: lock })
    }

    /// Writes all records of a run at once and replaces a file of the same run.
    ///
    /// # Errors
    /// The existing file is of another run or not a file of results, or it cannot be written.
    pub fn replace(path: &Path, header: &Header, records: &[Record]) -> Result<(), EvalError> {
        let _lock = lock(path)?;
        if path.exists() {
            of_run(path, header)?;
        }
        Ok(write_whole(path, &whole(path, header, records)?, true)?)
    }

    /// Adds an episode. When this returns, the system has the line, so it survives the process. This does not wait
    /// for the disk, which takes milliseconds; [`ResultsFile::sync`] does.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn append(&mut self, record: &Record) -> Result<(), EvalError> {
        let line = line(&self.path, record)?;
        self.file.write_all(&line).map_err(|e| EvalError::write(&self.path, e))
    }

    /// Waits until everything is on the disk.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn sync(&self) -> Result<(), EvalError> {
        self.file.sync_data().map_err(|e| EvalError::write(&self.path, e))
    }
}

/// Locks `path` for writing until the returned file is dropped. The lock is on a hidden file beside it, because `path` itself may be
/// replaced, and on Windows locked files cannot be read. Nothing is written to the hidden file.
fn lock(path: &Path) -> Result<File, EvalError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.lock"));
    let file = open_or_make(&beside).map_err(|e| EvalError::write(&beside, e))?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(EvalError::results(path, "is being written by another process")),
        // Not every file system has locks.
        _ => Ok(file),
    }
}

/// The contents of a file, which must belong to the run of `header`.
fn of_run(path: &Path, header: &Header) -> Result<Contents, EvalError> {
    let contents = read(path)?;
    let found = &contents.header;
    if let Some(difference) = header.difference(found) {
        let message = format!("belongs to another run, where {difference}; name another --output");
        return Err(EvalError::results(path, message));
    }
    if found.shard != header.shard {
        return Err(EvalError::results(path, "belongs to another shard; name another --output"));
    }
    Ok(contents)
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

/// Reads a file of results. A cut-off last line is ignored.
///
/// # Errors
/// Any other damage, impossible counts, an episode that occurs twice or is not of the file's shard; not a regular
/// file.
pub fn read_results(path: &Path) -> Result<(Header, Vec<Record>), EvalError> {
    let Contents { header, records, .. } = read(path)?;
    Ok((header, records))
}

/// The contents of a file of results.
struct Contents {
    header: Header,
    records: Vec<Record>,
    /// Whether the file consists of exactly these lines.
    clean: bool,
}

fn read(path: &Path) -> Result<Contents, EvalError> {
    let mut lines = Lines::open(path)?;
    let (mut records, mut seen) = (Vec::new(), HashSet::new());
    let header: Header = serde_json::from_slice(lines.next()?.unwrap_or_default()).map_err(|e| {
        EvalError::results(
            path,
            format!("is not a file of results, its first line is invalid: {}", shown::text(&e.to_string())),
        )
    })?;
    if header.shard.index >= header.shard.of {
        return Err(EvalError::results(path, "names an impossible shard"));
    }
    let mut clean = lines.line == line(path, &header)?;
    while let Some(text) = lines.next()? {
        let record = serde_json::from_slice(text).map_err(|e| format!("is damaged: {}", shown::text(&e.to_string())));
        let record: Record = record.and_then(|r| check(r, &header)).map_err(|what| lines.fault(&what))?;
        if !seen.insert(record.episode) {
            return Err(lines.fault(&format!("episode {} occurs twice", record.episode)));
        }
        clean &= lines.line == line(path, &record)?;
        records.push(record);
    }
    clean &= !lines.cut;
    Ok(Contents { header, records, clean })
}

fn check(record: Record, header: &Header) -> Result<Record, String> {
    if record.episode >= header.total || !header.shard.holds(record.episode) {
        return Err(format!("episode {} is not of this shard", record.episode));
    }
    if record.counts.is_some() == record.error.is_some() {
        return Err("must hold either counts or an error".into());
    }
    let possible = |c: &Counts| (0..2).all(|i| c.intersection[i] <= c.union[i] && c.union[i] <= MOST_PIXELS);
    if !record.counts.as_ref().is_none_or(possible) {
        return Err("counts more pixels than an episode can have".into());
    }
    Ok(record)
}

/// A file's lines one by one, with a limit on their length.
struct Lines<'a> {
    path: &'a Path,
    file: BufReader<Take<File>>,
    /// The current line with its newline, and its number from 1.
    line: Vec<u8>,
    number: usize,
    /// Whether the last line lacks a newline: it was not written completely.
    cut: bool,
}

impl Lines<'_> {
    fn open(path: &Path) -> Result<Lines<'_>, EvalError> {
        let file = open_regular(path).map_err(|e| EvalError::read(path, e))?;
        if file.metadata().map_err(|e| EvalError::read(path, e))?.len() > MAX_BYTES {
            return Err(EvalError::results(
                path,
                format!("is not a file of results, it has more than {MAX_BYTES} bytes"),
            ));
        }
        // The file may grow meanwhile.
        let file = BufReader::new(file.take(MAX_BYTES));
        Ok(Lines { path, file, line: Vec::new(), number: 0, cut: false })
    }

    /// The next line.
    fn next(&mut self) -> Result<Option<&[u8]>, EvalError> {
        self.number += 1;
        self.line.clear();
        let mut limited = Read::take(&mut self.file, LONGEST_LINE);
        limited.read_until(b'\n', &mut self.line).map_err(|e| EvalError::read(self.path, e))?;
        if self.line.len() as u64 == LONGEST_LINE && !self.line.ends_with(b"\n") {
            return Err(self.fault(&format!("has {LONGEST_LINE} bytes or more; this is not a file of results")));
        }
        self.cut = !self.line.is_empty() && !self.line.ends_with(b"\n");
        Ok((!self.line.is_empty() && !self.cut).then_some(&self.line))
    }

    fn fault(&self, what: &str) -> EvalError {
        EvalError::results(self.path, format!("line {}: {what}", self.number))
    }
}

#[cfg(test)]
#[path = "results_tests.rs"]
mod tests;
