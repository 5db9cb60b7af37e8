//! What came of a run, as data: the shape of `--json`.

use super::known::{self, Known};
use crate::gpu::AdapterFacts;
use serde::{Deserialize, Serialize};

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Passed,
    Failed,
    /// Failed, and listed as a known deviation.
    Known,
    NotRun,
}

/// One case on one adapter.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// The case's full name: layer/kernel/shape/storage/form of the kernel.
    pub case: String,
    pub kernel: String,
    pub variant: String,
    pub storage: String,
    pub shape: String,
    pub adapter: String,
    pub driver: String,
    pub status: Status,
    /// Error / bound of the worst element; null where it is not a number or nothing was compared.
    pub ratio: Option<f64>,
    pub error: Option<f64>,
    pub bound: Option<f64>,
    /// The worst element: index, what came, what should have.
    #[serde(rename = "where")]
    pub place: String,
    /// Why it failed or was not run, or what is known of it.
    #[serde(default)]
    pub reason: Option<String>,
    #[serde(default)]
    pub seconds: f64,
}

/// An adapter, and the machine around it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Adapter {
    pub name: String,
    pub driver: String,
    pub backend: String,
    #[serde(default)]
    pub machine: String,
    /// Everything else that is known of it: limits and features.
    #[serde(default)]
    pub facts: serde_json::Value,
}

impl Adapter {
    pub fn new(facts: &AdapterFacts) -> Adapter {
        Adapter {
            name: facts.name.clone(),
            driver: facts.driver.clone(),
            backend: facts.backend.clone(),
            machine: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            facts: serde_json::to_value(facts).unwrap_or_default(),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    pub cases: usize,
    pub passed: usize,
    pub failed: usize,
    pub known: usize,
    pub not_run: usize,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    pub summary: Summary,
    pub adapters: Vec<Adapter>,
    pub results: Vec<Row>,
    #[serde(default)]
    pub seed: u64,
    #[serde(default)]
    pub version: String,
}

impl Report {
    /// Adds a row, its status seen in the light of the known deviations. Returns the row as it was added.
    pub fn add(&mut self, mut row: Row, list: &[Known]) -> &Row {
        if let Some(known) = known::find(list, &row.adapter, &row.driver, &row.case) {
            let text = format!("known deviation: {} ({})", known.reason, known.link);
            if row.status == Status::Failed {
                let fault = row.reason.take().map_or(String::new(), |r| format!("; {r}"));
                row.status = Status::Known;
                row.reason = Some(text + &fault);
            } else if row.status == Status::Passed {
                row.reason = Some(format!("passes now, no longer a {text}"));
            }
        }
        let s = &mut self.summary;
        s.cases += 1;
        *match row.status {
            Status::Passed => &mut s.passed,
            Status::Failed => &mut s.failed,
            Status::Known => &mut s.known,
            Status::NotRun => &mut s.not_run,
        } += 1;
        self.results.push(row);
        &self.results[self.results.len() - 1]
    }
}

/// Two reports side by side: what differs in status, or by more than twofold in error / bound, one line each.
pub fn compare(ours: &Report, theirs: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    let label = |r: &Row| format!("{} ({})", r.adapter, r.driver);
    for row in &ours.results {
        for other in theirs.results.iter().filter(|o| o.case == row.case) {
            let apart = match (row.ratio, other.ratio) {
                (Some(a), Some(b)) => a.max(b) > 0.02 && a.max(b) > 2.0 * a.min(b),
                _ => false,
            };
            if row.status != other.status || apart {
                let show = |r: &Row| {
                    let ratio = r.ratio.map_or("-".into(), |v| format!("{v:.3}"));
                    format!("{:?} {ratio} on {}", r.status, label(r))
                };
                lines.push(format!("{}: {} | {}", row.case, show(row), show(other)));
            }
        }
    }
    let known = |r: &Report, case: &str| r.results.iter().any(|row| row.case == case);
    let missing = |a: &Report, b: &Report| a.results.iter().filter(|r| !known(b, &r.case)).count();
    for (n, side) in [(missing(ours, theirs), "here"), (missing(theirs, ours), "there")] {
        if n > 0 {
            lines.push(format!("{n} results are of cases that were run only {side}"));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(status: Status, ratio: f64) -> Row {
        Row {
            case: "kernels/conv2d/1x1/f32/tiled".into(),
            kernel: "conv2d".into(),
            variant: String::new(),
            storage: "f32".into(),
            shape: "1x1".into(),
            adapter: "Some GPU".into(),
            driver: "driver 1.2".into(),
            status,
            ratio: Some(ratio),
            error: None,
            bound: None,
            place: String::new(),
            reason: None,
            seconds: 0.0,
        }
    }

    const LIST: &[Known] = &[Known {
        adapter: "Some",
        driver: "1.2",
        case: "kernels/conv2d",
        reason: "a compiler's fault",
        link: "https://example.org/1",
    }];

    #[test]
    fn known_deviations_are_counted_apart_and_told_of_when_gone() {
        let mut report = Report::default();
        let known = report.add(row(Status::Failed, 3.0), LIST);
        assert_eq!(known.status, Status::Known);
        assert!(known.reason.as_ref().is_some_and(|r| r.contains("example.org")));
        let gone = report.add(row(Status::Passed, 0.3), LIST);
        assert!(gone.reason.as_ref().is_some_and(|r| r.contains("passes now")));
        report.add(row(Status::Failed, 3.0), &[]);
        assert_eq!(report.summary, Summary { cases: 3, passed: 1, failed: 1, known: 1, not_run: 0 });
    }

    #[test]
    fn a_comparison_shows_what_differs() {
        let (mut a, mut b) = (Report::default(), Report::default());
        a.add(row(Status::Passed, 0.3), &[]);
        b.add(row(Status::Passed, 0.4), &[]);
        assert!(compare(&a, &b).is_empty());
        b.results[0].status = Status::Failed;
        assert_eq!(compare(&a, &b).len(), 1);
        b.results[0].case = "another".into();
        assert_eq!(compare(&a, &b).len(), 2);
    }

    #[test]
    fn a_report_survives_its_json() {
        let mut a = Report::default();
        a.add(row(Status::NotRun, f64::INFINITY), &[]);
        let text = serde_json::to_string(&a).unwrap();
        assert!(text.contains("\"where\"") && text.contains("\"not_run\":1"), "{text}");
        let back: Report = serde_json::from_str(&text).unwrap();
        assert_eq!((back.summary, back.results[0].ratio), (a.summary, None));
    }
}
