//! A report as one self-contained page.

use super::report::Report;

/// The page for `report`, with `other`'s adapters beside it where there is one to compare with.
///
/// # Errors
/// None in practice: a report is plain data.
pub fn html(report: &Report, other: Option<&Report>) -> Result<String, serde_json::Error> {
    // "<" would end the script element that holds the data; JSON knows another way to write it.
    let json = |r: &Report| serde_json::to_string(r).map(|text| text.replace('<', "\\u003c"));
    let reports = match other {
        Some(other) => format!("[{},{}]", json(report)?, json(other)?),
        None => format!("[{}]", json(report)?),
    };
    Ok(include_str!("report.html").replace("REPORTS", &reports))
}
