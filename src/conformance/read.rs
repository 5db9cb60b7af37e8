//! Reads reports of `--json` from untrusted files.

use super::{Adapter, Report, journal};
use crate::check::{is_id, slug};
use crate::files::read_regular;
use crate::shown;
use flate2::read::GzDecoder;
use serde_json::Value;
use std::collections::HashSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The first bytes of a gzip file.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Byte limit of a file, and of its unpacked contents. A report has about 600 bytes per case.
const LONGEST: u64 = 1 << 24;

/// Why a report cannot be read. One line, with the file's name.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error("{path}: cannot be read: {cause}", path = shown::path(.path))]
    Read { path: PathBuf, cause: io::Error },
    #[error("{path}: not a report of --json: {reason}", path = shown::path(.path))]
    NoReport { path: PathBuf, reason: String },
    #[error("{path}: not compiler figures as tools/vendors.py writes them: {reason}", path = shown::path(.path))]
    NotCompiled { path: PathBuf, reason: String },
}

/// Reads a report of `--json`, compressed or not, or the journal of an interrupted run.
///
/// # Errors
/// [`ReportError`]; also if a case occurs twice on one adapter and driver, because it is unclear which of them counts.
pub fn read_report(path: &Path) -> Result<Report, ReportError> {
    let no_report = |reason: String| ReportError::NoReport { path: path.to_owned(), reason };
    let too_long = || no_report(format!("it has {LONGEST} bytes or more"));
    let read = read_regular(path, LONGEST - 1).map_err(|cause| ReportError::Read { path: path.to_owned(), cause })?;
    let mut bytes = read.ok_or_else(too_long)?;
    if bytes.starts_with(&GZIP) {
        let mut unpacked = Vec::new();
        let mut unpacking = GzDecoder::new(bytes.as_slice()).take(LONGEST);
        unpacking.read_to_end(&mut unpacked).map_err(|e| no_report(shown::text(&e.to_string())))?;
        if unpacked.len() as u64 == LONGEST {
            return Err(too_long());
        }
        bytes = unpacked;
    }
    let report = if journal::is_journal(&bytes) { journal::parse(&bytes) } else { serde_json::from_slice(&bytes) };
    let mut report: Report = report.map_err(|e| no_report(shown::text(&e.to_string())))?;
    report.results.iter_mut().filter(|row| row.id.is_empty()).for_each(|row| row.id = older_id(&row.case));
    check(&report).map_err(no_report)?;
    Ok(report)
}

/// The id of a case in an older report without ids, derived from its title, layer/kernel/shape/storage/form.
fn older_id(title: &str) -> String {
    let parts = || {
        let (layer, rest) = title.split_once('/')?;
        let (kernel, rest) = rest.split_once('/')?;
        let (rest, form) = rest.rsplit_once('/')?;
        let (shape, storage) = rest.rsplit_once('/')?;
        Some([layer, kernel, form, storage, shape].map(slug).join("."))
    };
    parts().unwrap_or_else(|| slug(title))
}

fn check(report: &Report) -> Result<(), String> {
    let mut adapters = HashSet::new();
    for adapter in &report.adapters {
        let Adapter { name, driver, facts, .. } = adapter;
        if !adapters.insert((name, driver)) {
            return Err(format!("it names {} ({}) twice", shown::text(name), shown::text(driver)));
        }
        // The facts are passed on unparsed, and their readers also limit the depth.
        serde_json::from_str::<Value>(facts.get())
            .map_err(|e| format!("cannot read the facts of {}: {e}", shown::text(name)))?;
    }
    let mut rows = HashSet::new();
    for row in &report.results {
        if !is_id(&row.id) {
            return Err(format!("{} is not a case id ({})", shown::text(&row.id), shown::text(&row.case)));
        }
        if !rows.insert((&row.id, &row.adapter, &row.driver)) {
            let [case, adapter, driver] = [&row.case, &row.adapter, &row.driver].map(|text| shown::text(text));
            return Err(format!("{case} occurs twice on {adapter} ({driver})"));
        }
    }
    Ok(())
}
