//! A user's expectations of a driver, in deqp-runner's files: tests that fail, tests that are flaky, and tests to skip.

use super::report::Row;
use super::status::Status;
use crate::check::is_id;
use crate::files::read_regular;
use crate::shown;
use regex::bytes::{RegexBuilder, RegexSet, RegexSetBuilder};
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

/// Byte limit; a list of all cases has 300 KB.
const LONGEST: u64 = 1 << 24;

/// Why a list cannot be read. One line, with the file's name.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    #[error("{path}: cannot be read: {cause}", path = shown::path(.path))]
    Read { path: PathBuf, cause: io::Error },
    #[error("{path}, line {line}: {reason}", path = shown::path(.path))]
    Line { path: PathBuf, line: usize, reason: String },
    #[error("{path}: {reason}", path = shown::path(.path))]
    NoList { path: PathBuf, reason: String },
}

/// The expected results. By default, all cases pass.
#[derive(Clone, Debug)]
pub struct Expectations {
    baseline: HashMap<String, Expected>,
    flakes: RegexSet,
    skips: RegexSet,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Fail,
    Crash,
    Timeout,
    /// A failure of any kind, from a baseline of an earlier run that does not say which.
    Any,
    /// It passes or was not run: no expectation.
    Nothing,
}

impl Default for Expectations {
    fn default() -> Self {
        Expectations { baseline: HashMap::new(), flakes: RegexSet::empty(), skips: RegexSet::empty() }
    }
}

impl Expectations {
    /// `baseline` has lines `test,status` (the rest of a line is ignored, so results can serve as a baseline); the others have regular
    /// expressions on ids. Empty lines and lines that begin with `#` are comments.
    ///
    /// # Errors
    /// [`ListError`].
    pub fn read(baseline: &[PathBuf], flakes: &[PathBuf], skips: &[PathBuf]) -> Result<Expectations, ListError> {
        let mut all = Expectations { flakes: patterns(flakes)?, skips: patterns(skips)?, ..Default::default() };
        for path in baseline {
            for (line, text) in lines(path)? {
                let wrong = |reason: String| ListError::Line { path: path.clone(), line, reason };
                let mut fields = text.splitn(3, ',');
                let (test, status) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
                if !is_id(test) {
                    return Err(wrong(format!("{} is not a case id", shown::text(test))));
                }
                let expected = match status {
                    "Fail" => Expected::Fail,
                    "Crash" => Expected::Crash,
                    "Timeout" => Expected::Timeout,
                    "ExpectedFail" => Expected::Any,
                    "Pass" | "Skip" | "Warn" | "Flake" | "KnownFlake" | "Missing" => Expected::Nothing,
                    _ if status.starts_with("UnexpectedImprovement") => Expected::Nothing,
                    _ => return Err(wrong(format!("{} is not a status such as Fail or Crash", shown::text(status)))),
                };
                if all.baseline.insert(test.into(), expected).is_some() {
                    return Err(wrong(format!("{test} is listed twice")));
                }
            }
        }
        Ok(all)
    }

    pub(super) fn skips(&self, id: &str) -> bool {
        self.skips.is_match(id.as_bytes())
    }

    /// Adjusts the row's status to the expectations.
    pub(super) fn judge(&self, mut row: Row) -> Row {
        let expected = self.baseline.get(&row.id).copied().unwrap_or(Expected::Nothing);
        let as_expected = match row.status {
            Status::Failed => matches!(expected, Expected::Fail | Expected::Any),
            Status::Crash => matches!(expected, Expected::Crash | Expected::Any),
            Status::Timeout => matches!(expected, Expected::Timeout | Expected::Any),
            Status::Passed if expected != Expected::Nothing => {
                row.status = Status::UnexpectedImprovement;
                row.reason = Some("passes now, which the baseline does not expect".into());
                false
            }
            _ => false,
        };
        if as_expected {
            row.status = Status::Known;
            row.because("as the baseline expects");
        } else if row.status.is_failure() && self.flakes.is_match(row.id.as_bytes()) {
            row.status = Status::KnownFlake;
            row.because("listed as flaky");
        }
        row
    }
}

/// Reads the ids in a file, one per line.
///
/// # Errors
/// [`ListError`].
pub fn read_caselist(path: &Path) -> Result<Vec<String>, ListError> {
    let ids = lines(path)?.into_iter().map(|(line, id)| {
        let wrong = || format!("{} is not a case id", shown::text(&id));
        if is_id(&id) { Ok(id) } else { Err(ListError::Line { path: path.into(), line, reason: wrong() }) }
    });
    ids.collect()
}

fn patterns(paths: &[PathBuf]) -> Result<RegexSet, ListError> {
    let mut all = Vec::new();
    for path in paths {
        for (line, text) in lines(path)? {
            // As in deqp-runner, a plain name matches only itself, dots included.
            all.push((path, line, if is_id(&text) { regex::escape(&text) } else { text }));
        }
    }
    // Ids are ASCII, so disabling Unicode keeps the set small.
    let set = RegexSetBuilder::new(all.iter().map(|(.., pattern)| pattern)).unicode(false).build();
    set.map_err(|error| {
        // Find the pattern at fault. Patterns that are merely too large are not examined further.
        let fault = |pattern: &str| match RegexBuilder::new(pattern).unicode(false).size_limit(0).build() {
            Err(regex::Error::CompiledTooBig(_)) | Ok(_) => None,
            Err(fault) => Some(shown::text(&fault.to_string())),
        };
        let line = all.iter().find_map(|(path, line, pattern)| {
            Some(ListError::Line { path: (*path).clone(), line: *line, reason: fault(pattern)? })
        });
        let path = || paths.first().cloned().unwrap_or_default();
        line.unwrap_or_else(|| ListError::NoList { path: path(), reason: shown::text(&error.to_string()) })
    })
}

/// The lines with content, with their line numbers.
fn lines(path: &Path) -> Result<Vec<(usize, String)>, ListError> {
    let no_list = |reason: &str| ListError::NoList { path: path.into(), reason: reason.into() };
    let read = read_regular(path, LONGEST).map_err(|cause| ListError::Read { path: path.into(), cause })?;
    let bytes = read.ok_or_else(|| no_list("it exceeds 16777216 bytes"))?;
    let text = String::from_utf8(bytes).map_err(|_| no_list("it is not UTF-8 text"))?;
    let lines = text.lines().map(str::trim).enumerate().map(|(i, line)| (i + 1, line.to_owned()));
    Ok(lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(status: Status) -> Row {
        let row = serde_json::json!({
            "id": "a.b", "case": "a/b", "kernel": "", "variant": "", "storage": "", "shape": "", "adapter": "", "driver": "",
            "status": status, "ratio": null, "error": null, "bound": null, "where": "",
        });
        serde_json::from_value(row).unwrap()
    }

    #[test]
    fn results_are_seen_in_the_light_of_what_is_expected() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            std::fs::write(dir.path().join(name), text).unwrap();
            vec![dir.path().join(name)]
        };
        let flakes = file("flakes", "# at times\n^a\n");
        use Status::*;
        for (expected, got, judged, flake) in [
            ("Fail", Failed, Known, Known),
            ("Fail", Crash, Crash, KnownFlake),
            ("Fail", Passed, UnexpectedImprovement, KnownFlake),
            ("Fail", NotRun, NotRun, NotRun),
            ("Crash", Crash, Known, Known),
            ("Crash", Failed, Failed, KnownFlake),
            ("Timeout,60.1", Timeout, Known, Known),
            ("ExpectedFail,0.1", Crash, Known, Known),
            ("Pass,0.1", Failed, Failed, KnownFlake),
            ("Flake,0.1", Passed, Passed, Passed),
            ("Fail", Flake, Flake, Flake),
        ] {
            let baseline = file("baseline", &format!("c.d,Fail\n\na.b,{expected}\n"));
            let plain = Expectations::read(&baseline, &[], &[]).unwrap();
            assert_eq!(plain.judge(row(got)).status, judged, "{expected} {got:?}");
            let both = Expectations::read(&baseline, &flakes, &[]).unwrap();
            assert_eq!(both.judge(row(got)).status, flake, "{expected} {got:?}");
        }
        assert!(Expectations::default().judge(row(Failed)).status == Failed && !Expectations::default().skips("a.b"));
    }
}
