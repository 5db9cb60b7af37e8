//! Writes a run's rows to a file as they come, so that they survive if the run is cut short.

use super::report::{Adapter, Report, Row};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// An event of a run.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen<'a> {
    /// The rows that follow belong to this adapter.
    Adapter(&'a Adapter),
    Row(&'a Row),
}

/// A line of the file.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Adapter(Adapter),
    Row(Row),
}

/// The file, with one line per adapter and per row. It lies beside the report, and is removed when the report is written.
pub struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// The path of the journal of `report`.
    pub fn place(report: &Path) -> PathBuf {
        let mut name = OsString::from(report);
        name.push(".journal");
        name.into()
    }

    /// Creates the journal of `report`; replaces an older one if `force` is set.
    ///
    /// # Errors
    /// An older run's journal exists, or the system reports an error.
    pub fn create(report: &Path, force: bool) -> io::Result<Journal> {
        let path = Journal::place(report);
        if force && let Err(error) = fs::remove_file(&path) {
            // A missing file is what we want.
            if error.kind() != io::ErrorKind::NotFound {
                return Err(error);
            }
        }
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        Ok(Journal { path, file })
    }

    /// # Errors
    /// The system reports an error.
    pub fn add(&mut self, seen: &Seen) -> io::Result<()> {
        let mut line = serde_json::to_vec(seen)?;
        line.push(b'\n');
        self.file.write_all(&line)
    }

    /// Removes the file, once the report is written.
    ///
    /// # Errors
    /// The system reports an error.
    pub fn remove(self) -> io::Result<()> {
        drop(self.file);
        fs::remove_file(&self.path)
    }
}

/// Whether this is the text of a journal rather than a report.
pub(super) fn is_journal(bytes: &[u8]) -> bool {
    bytes.starts_with(b"{\"adapter\":")
}

/// The report of a run that was cut short. An incomplete last line is ignored.
pub(super) fn parse(bytes: &[u8]) -> Result<Report, serde_json::Error> {
    let mut report = Report::default();
    for line in bytes.split_inclusive(|&b| b == b'\n').filter_map(|line| line.strip_suffix(b"\n")) {
        match serde_json::from_slice(line)? {
            Line::Adapter(adapter) => report.adapters.push(adapter),
            Line::Row(row) => drop(report.push(row)),
        }
    }
    Ok(report.interrupted())
}
