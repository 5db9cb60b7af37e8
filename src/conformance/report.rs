//! The results of a run as data: the format of `--json`.

use super::known::{self, Known};
use super::status::Status;
use crate::gpu::AdapterFacts;
use crate::shown;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::{HashMap, HashSet};

/// One case on one adapter.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// layer.kernel.form.storage.shape: the case's name in lists and other programs.
    #[serde(default)]
    pub id: String,
    /// The case's title: layer/kernel/shape/storage/form of the kernel.
    pub case: String,
    pub kernel: String,
    pub variant: String,
    pub storage: String,
    pub shape: String,
    pub adapter: String,
    pub driver: String,
    pub status: Status,
    /// Error / bound of the worst element; null if it is not a number or nothing was compared.
    pub ratio: Option<f64>,
    /// The same with the strict bound, for arithmetic that rounds to nearest.
    #[serde(default)]
    pub strict: Option<f64>,
    pub error: Option<f64>,
    pub bound: Option<f64>,
    /// The worst element: index, actual and expected value.
    #[serde(rename = "where")]
    pub place: String,
    /// Why it failed or was not run, or a note on a known deviation.
    #[serde(default)]
    pub reason: Option<String>,
    #[serde(default)]
    pub seconds: f64,
}

/// How the report was made, so that a reader can reproduce it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Made {
    pub version: String,
    pub commit: String,
    /// Identifies the recorded numbers of the embedded model; another model has others.
    pub record: String,
    pub full: bool,
    /// The strict bounds decide failures.
    pub strict: bool,
    /// The regular expression that selected the cases.
    pub only: Option<String>,
    pub seed: u64,
    /// The run was stopped, so cases are missing.
    pub interrupted: bool,
}

/// An adapter, and the machine around it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Adapter {
    pub name: String,
    pub driver: String,
    pub backend: String,
    #[serde(default)]
    pub machine: String,
    #[serde(default)]
    pub made: Made,
    /// All other known properties: limits and features.
    #[serde(default)]
    pub facts: Box<RawValue>,
}

impl Adapter {
    pub fn new(facts: &AdapterFacts, made: Made) -> Adapter {
        Adapter {
            name: facts.name.clone(),
            driver: facts.driver.clone(),
            backend: facts.backend.clone(),
            machine: machine(),
            made,
            facts: serde_json::value::to_raw_value(facts).unwrap_or_default(),
        }
    }
}

impl Adapter {
    /// PCI vendor and device numbers, such as `1002:744c`, if the report has them.
    pub(super) fn device_id(&self) -> Option<String> {
        let facts: serde_json::Value = serde_json::from_str(self.facts.get()).ok()?;
        facts["device_id"].as_str().map(String::from)
    }
}

/// The system and its processor, as far as the system reports them: CPU drivers compile for it.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let system = format!("{} {}, {cores} threads", std::env::consts::OS, std::env::consts::ARCH);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|l| l.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim()));
    model.map_or(system.clone(), |model| format!("{system} ({model})"))
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
}

impl Report {
    /// Marks the report as that of a stopped run.
    pub(super) fn interrupted(mut self) -> Report {
        self.adapters.iter_mut().for_each(|a| a.made.interrupted = true);
        self
    }

    /// Adds a row, with its status adjusted to the known deviations. Returns the added row.
    pub fn add(&mut self, row: Row, list: &[Known]) -> &Row {
        let of = |adapter: &&Adapter| (&adapter.name, &adapter.driver) == (&row.adapter, &row.driver);
        let backend = self.adapters.iter().find(of).map_or(String::new(), |adapter| adapter.backend.clone());
        self.push(known::judge(row, &backend, list))
    }

    pub(super) fn push(&mut self, row: Row) -> &Row {
        let s = &mut self.summary;
        s.cases += 1;
        *match row.status {
            Status::Passed | Status::Flake => &mut s.passed,
            Status::NotRun => &mut s.not_run,
            status if status.is_known() => &mut s.known,
            _ => &mut s.failed,
        } += 1;
        self.results.push(row);
        &self.results[self.results.len() - 1]
    }

    /// Joins the reports of several drivers.
    ///
    /// # Errors
    /// Two reports have the same adapter and driver, so that their rows could not be distinguished; or a row has an adapter that its report
    /// does not name.
    pub fn joined(reports: Vec<Report>) -> Result<Report, String> {
        let mut all = Report::default();
        let mut taken = HashSet::new();
        for report in reports {
            let named: HashSet<_> = report.adapters.iter().map(|a| (&a.name, &a.driver)).collect();
            if let Some(row) = report.results.iter().find(|r| !named.contains(&(&r.adapter, &r.driver))) {
                let [case, adapter, driver] = [&row.case, &row.adapter, &row.driver].map(|text| shown::text(text));
                return Err(format!("{case} ran on {adapter} ({driver}), which its report does not name"));
            }
            for adapter in report.adapters {
                if !taken.insert((adapter.name.clone(), adapter.driver.clone())) {
                    let [name, driver] = [&adapter.name, &adapter.driver].map(|text| shown::text(text));
                    return Err(format!("two reports have {name} ({driver}): use --compare to set them side by side"));
                }
                all.adapters.push(adapter);
            }
            // Recount, so that the sums match the rows.
            report.results.into_iter().for_each(|row| {
                all.push(row);
            });
        }
        Ok(all)
    }

    /// Each adapter with its rows.
    pub(super) fn by_adapter(&self) -> Vec<(&Adapter, Vec<&Row>)> {
        let mut rows = HashMap::<_, Vec<&Row>>::new();
        for row in &self.results {
            rows.entry((&row.adapter, &row.driver)).or_default().push(row);
        }
        let of = |a: &Adapter| rows.get(&(&a.name, &a.driver)).cloned().unwrap_or_default();
        self.adapters.iter().map(|adapter| (adapter, of(adapter))).collect()
    }

    /// `--json`: one line per adapter and per result, which suits version control and `grep`.
    ///
    /// # Errors
    /// None in practice, because a report is plain data.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        let adapters = self.adapters.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
        let results = self.results.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
        let summary = serde_json::to_string(&self.summary)?;
        let [adapters, results] = [adapters, results].map(|lines| lines.join(",\n"));
        Ok(format!("{{\"summary\": {summary},\n\"adapters\": [\n{adapters}\n],\n\"results\": [\n{results}\n]}}\n"))
    }

    /// Number of listed deviations that did not occur: the list needs an update.
    pub fn gone(&self) -> usize {
        self.results.iter().filter(|r| r.gone()).count()
    }
}

impl Row {
    /// Prepends a reason to the existing one.
    pub(super) fn because(&mut self, why: &str) {
        let before = self.reason.take().map_or(String::new(), |reason| format!("; {reason}"));
        self.reason = Some(format!("{why}{before}"));
    }

    /// Whether this was a known deviation and now passes.
    pub fn gone(&self) -> bool {
        self.status == Status::Passed && self.reason.is_some()
    }
}

/// Compares two reports: passes `told` a line for each difference in status, or more than twofold in error / bound. Nothing is collected,
/// because with many adapters on both sides the lines may be many times the rows.
///
/// # Errors
/// The first error of `told`.
pub fn compare<E>(ours: &Report, theirs: &Report, told: &mut dyn FnMut(&str) -> Result<(), E>) -> Result<(), E> {
    let show = |r: &Row| {
        let ratio = r.ratio.map_or("-".into(), |v| format!("{v:.3}"));
        format!("{:?} {ratio} on {} ({})", r.status, shown::text(&r.adapter), shown::text(&r.driver))
    };
    let mut of_case = HashMap::<&str, Vec<&Row>>::new();
    for row in &theirs.results {
        of_case.entry(&row.id).or_default().push(row);
    }
    for row in &ours.results {
        for other in of_case.get(row.id.as_str()).into_iter().flatten() {
            let apart = match (row.ratio, other.ratio) {
                (Some(a), Some(b)) => a.max(b) > 0.02 && a.max(b) > 2.0 * a.min(b),
                _ => false,
            };
            if row.status != other.status || apart {
                told(&format!("{}: {} | {}", shown::text(&row.case), show(row), show(other)))?;
            }
        }
    }
    let here: HashSet<&str> = ours.results.iter().map(|r| r.id.as_str()).collect();
    let only_here = ours.results.iter().filter(|r| !of_case.contains_key(r.id.as_str())).count();
    let only_there = theirs.results.iter().filter(|r| !here.contains(r.id.as_str())).count();
    for (n, side) in [(only_here, "here"), (only_there, "there")] {
        if n > 0 {
            told(&format!("{n} results belong to cases that ran only {side}"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(status: Status, ratio: f64) -> Row {
        Row {
            id: "kernels.conv2d.tiled.f32.1x1".into(),
            case: "kernels/conv2d/1x1/f32/tiled".into(),
            kernel: "conv2d".into(),
            variant: String::new(),
            storage: "f32".into(),
            shape: "1x1".into(),
            adapter: "Some GPU".into(),
            driver: "driver 1.2".into(),
            status,
            ratio: Some(ratio),
            strict: None,
            error: None,
            bound: None,
            place: String::new(),
            reason: None,
            seconds: 0.0,
        }
    }

    const LIST: &[Known] = &[Known {
        backend: "",
        adapter: "Some",
        driver: "1.2",
        case: "kernels.conv2d.",
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
        assert!(gone.gone() && gone.reason.as_ref().is_some_and(|r| r.contains("passes now")));
        assert_eq!(report.gone(), 1);
        report.add(row(Status::Failed, 3.0), &[]);
        assert_eq!(report.summary, Summary { cases: 3, passed: 1, failed: 1, known: 1, not_run: 0 });
    }

    #[test]
    fn a_comparison_shows_what_differs() {
        let (mut a, mut b) = (Report::default(), Report::default());
        a.add(row(Status::Passed, 0.3), &[]);
        b.add(row(Status::Passed, 0.4), &[]);
        let lines = |a: &Report, b: &Report| {
            let mut lines = Vec::new();
            let mut told = |line: &str| {
                lines.push(line.to_owned());
                Ok::<_, ()>(())
            };
            compare(a, b, &mut told).unwrap();
            lines
        };
        assert!(lines(&a, &b).is_empty());
        b.results[0].status = Status::Failed;
        assert_eq!(lines(&a, &b).len(), 1);
        assert_eq!(compare(&a, &b, &mut |_| Err("full")), Err("full"));
        b.results[0].id = "another".into();
        assert_eq!(lines(&a, &b).len(), 2);
        // Each of two adapters here against each of two there.
        b.results = vec![row(Status::Failed, 0.3), Row { driver: "2".into(), ..row(Status::Passed, 0.9) }];
        a.results = vec![row(Status::Passed, 0.3), Row { driver: "2".into(), ..row(Status::Passed, 0.8) }];
        assert_eq!(lines(&a, &b).len(), 3);
    }

    #[test]
    fn a_report_survives_its_json() {
        let mut a = Report::default();
        a.add(row(Status::NotRun, f64::INFINITY), &[]);
        a.add(row(Status::Passed, 0.5), &[]);
        a.adapters = vec![adapter("driver 1.2"), adapter("driver 1.3")];
        let text = a.json().unwrap();
        assert!(text.contains("\"where\"") && text.contains("\"not_run\":1"), "{text}");
        let back: Report = serde_json::from_str(&text).unwrap();
        assert_eq!((back.summary, back.results[0].ratio, back.adapters.len()), (a.summary, None, 2));
        assert!(back.adapters[0].made == a.adapters[0].made && !back.results[1].gone());
    }

    fn adapter(driver: &str) -> Adapter {
        let made = Made { seed: 7, only: Some("x".into()), ..Made::default() };
        let (name, backend) = ("Some GPU".into(), "vulkan".into());
        Adapter { name, driver: driver.into(), backend, machine: machine(), made, facts: Default::default() }
    }

    #[test]
    fn reports_of_different_drivers_become_one() {
        let of = |driver: &str, status: Status| {
            let mut report = Report { adapters: vec![adapter(driver)], ..Report::default() };
            report.add(Row { driver: driver.into(), ..row(status, 0.5) }, &[]);
            report
        };
        let all = Report::joined(vec![of("1", Status::Passed), of("2", Status::Failed)]).unwrap();
        assert_eq!(all.summary, Summary { cases: 2, passed: 1, failed: 1, ..Summary::default() });
        assert_eq!((all.adapters.len(), all.results[1].driver.as_str()), (2, "2"));
        let twice = Report::joined(vec![of("1", Status::Passed), of("1", Status::Passed)]);
        assert!(twice.is_err_and(|e| e.contains("--compare")));
        let nobody = Report::joined(vec![Report { adapters: vec![], ..of("1", Status::Failed) }]);
        assert!(nobody.is_err_and(|e| e.contains("does not name")));
    }
}
