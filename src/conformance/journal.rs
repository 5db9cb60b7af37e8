//! A run's rows in a file as they come: what was done outlives whatever ends the run.

use super::report::{Adapter, Report, Row};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What a run tells as it goes.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen<'a> {
    /// The rows after it are of this adapter.
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

/// The file, a line for each adapter and each row. It lies beside a report, and goes when that is written.
pub struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Where the journal of `report` lies.
    pub fn place(report: &Path) -> PathBuf {
        let mut name = OsString::from(report);
        name.push(".journal");
        name.into()
    }

    /// Begins the journal of `report`; an older one is replaced where `force` says so.
    ///
    /// # Errors
    /// That of an older run is there, or whatever the system says.
    pub fn create(report: &Path, force: bool) -> io::Result<Journal> {
        let path = Journal::place(report);
        if force && let Err(error) = fs::remove_file(&path) {
            // That there is none is what is wanted.
            if error.kind() != io::ErrorKind::NotFound {
                return Err(error);
            }
        }
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        Ok(Journal { path, file })
    }

    /// # Errors
    /// Whatever the system says.
    pub fn add(&mut self, seen: &Seen) -> io::Result<()> {
        let mut line = serde_json::to_vec(seen)?;
        line.push(b'\n');
        self.file.write_all(&line)
    }

    /// The report is written.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn remove(self) -> io::Result<()> {
        drop(self.file);
        fs::remove_file(&self.path)
    }
}

/// Is this a journal's text, and no report's?
pub(super) fn is_journal(bytes: &[u8]) -> bool {
    bytes.starts_with(b"{\"adapter\":")
}

/// The report of a run that was cut short. A last line without its end counts for nothing.
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
