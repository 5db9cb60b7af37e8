//! Writes a report as deqp-runner's `results.csv`: test, status, duration in seconds.

use super::report::Report;
use std::fmt::Write;

/// The results of one adapter.
///
/// # Errors
/// The report has several adapters, but the lines do not name one.
pub fn csv(report: &Report) -> Result<String, String> {
    if let [_, _, ..] = report.adapters.as_slice() {
        return Err(format!("--csv takes the results of one adapter, but there are {}", report.adapters.len()));
    }
    let mut out = String::new();
    for row in &report.results {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{},{},{}", row.id, row.status.word(), row.seconds);
    }
    Ok(out)
}
