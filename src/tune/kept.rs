//! A file with the findings of earlier runs, per adapter.

use super::findings::{Finding, Findings};
use super::tuned::Asked;
use crate::cache::{Cache, Subject};
use crate::gpu::AdapterFacts;
use crate::kernels;
use crate::shader::{Device, LIBRARY};
use serde::{Deserialize, Serialize};
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

const NAME: &str = "tuning.json";
/// Limit of problems per adapter; beyond that, problems of other models are removed.
const MOST: usize = 4096;

/// Settings of the measurement of forms: the file, and the time.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// Directory of the file, created if missing. Nothing is measured if it cannot be written.
    pub dir: PathBuf,
    /// Time limit each time that a model has new problems. Default: 3 s on a GPU, 10 s on a CPU driver.
    pub seconds: Option<f64>,
    /// Measure again what is already known.
    pub anew: bool,
}

impl Tuning {
    pub fn in_dir(dir: impl Into<PathBuf>) -> Tuning {
        Tuning { dir: dir.into(), seconds: None, anew: false }
    }

    /// The time limit on such a device.
    pub fn seconds_on(&self, device: Device) -> f64 {
        self.seconds.unwrap_or(match device {
            Device::Cpu => 10.0,
            Device::Integrated | Device::Discrete => 3.0,
        })
    }
}

#[derive(Default, Serialize, Deserialize)]
struct Content {
    problems: Findings,
}

/// The findings for an adapter and its driver, made with this program's shaders.
pub struct Kept {
    dir: PathBuf,
    subject: Subject,
    cache: Cache<Content>,
}

impl Kept {
    pub fn read(dir: &Path, facts: &AdapterFacts) -> Kept {
        let subject = Subject::of(facts).with(&made_for(facts));
        Kept { dir: dir.into(), subject, cache: Cache::read(dir, NAME) }
    }

    /// Why the file is unusable, if it is.
    pub fn fault(&self) -> Option<&str> {
        self.cache.fault.as_deref()
    }

    pub fn findings(&self) -> Findings {
        self.cache.get(&self.subject).map(|content| content.problems.clone()).unwrap_or_default()
    }

    /// Notes that `asked` are about to be measured, so that they are not measured again if the driver ends this program.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn begin(&mut self, asked: &[Asked]) -> Result<(), String> {
        self.change(|all| {
            if all.len() > MOST {
                all.retain(|name, _| asked.iter().any(|asked| asked.name() == *name));
            }
            let begun =
                |asked: &Asked| (asked.name(), Finding { rule: asked.forms[0].name.into(), ..Finding::default() });
            for (name, begun) in asked.iter().map(begun) {
                all.entry(name).or_insert(begun);
            }
        })
    }

    /// Saves the findings, and keeps earlier findings of problems that were not reached. Problems that were not reached because the user
    /// interrupted are measured next time.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn end(&mut self, found: Findings, broken_off: bool) -> Result<(), String> {
        self.change(|all| {
            for (name, finding) in found {
                if !finding.forms.is_empty() {
                    all.insert(name, finding);
                } else if broken_off && all.get(&name).is_some_and(|known| known.forms.is_empty()) {
                    all.remove(&name);
                }
            }
        })
    }

    /// Re-reads the file, which other processes may have changed.
    fn change(&mut self, change: impl FnOnce(&mut Findings)) -> Result<(), String> {
        self.cache = Cache::read(&self.dir, NAME);
        let mut problems = self.findings();
        change(&mut problems);
        self.cache.put(&self.subject, Content { problems })
    }

    /// Removes the findings of all adapters; returns whether there were any.
    ///
    /// # Errors
    /// The system reports an error.
    pub fn clear(dir: &Path) -> io::Result<bool> {
        match std::fs::remove_file(dir.join(NAME)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            removed => removed.map(|()| true),
        }
    }
}

/// What times depend on besides adapter and driver: the shaders of all kernels, and the adapter's features.
fn made_for(facts: &AdapterFacts) -> String {
    let mut hasher = DefaultHasher::new();
    LIBRARY.hash(&mut hasher);
    for form in kernels::ALL.iter().flat_map(|kernel| kernel.forms) {
        (form.name, form.source, form.consts).hash(&mut hasher);
    }
    format!("{:?}", facts.of_forms()).hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Key, Policy};
    use crate::shader::Form;
    use crate::tune::Verdict;
    use std::fs;
    use std::sync::Arc;

    static FORM: Form = Form::plain("");

    fn asked(text: &str) -> Asked {
        let key = Key { storage: Policy::F32, text: text.into(), layer: Arc::new(()) };
        Asked { kernel: "k", key, times: 1, cost: 1.0, forms: vec![&FORM] }
    }

    fn found(seconds: f64) -> Finding {
        Finding { rule: "plain".into(), forms: [("plain".to_string(), Verdict::Seconds(seconds))].into() }
    }

    #[test]
    fn what_was_begun_is_known_and_what_was_broken_off_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let read = || Kept::read(dir.path(), &AdapterFacts::of_test("1"));
        assert!(read().findings().is_empty() && read().fault().is_none());
        read().begin(&[asked("x"), asked("y")]).unwrap();
        // As if the program, or the driver, ended here.
        assert_eq!(read().findings()["k x"], Finding { rule: "plain".into(), ..Finding::default() });
        let all = || Findings::from([("k x".into(), found(0.5)), ("k y".into(), Finding::default())]);
        read().end(all(), true).unwrap();
        assert_eq!(read().findings(), [("k x".into(), found(0.5))].into());
        read().begin(&[asked("x"), asked("y")]).unwrap();
        read().end(all(), false).unwrap();
        let mark = Finding { rule: "plain".into(), ..Finding::default() };
        assert_eq!(read().findings(), [("k x".into(), found(0.5)), ("k y".into(), mark)].into());
        // Findings that are not reached the next time stay as they were.
        read().begin(&[asked("x")]).unwrap();
        read().end([("k x".into(), Finding::default())].into(), true).unwrap();
        assert_eq!(read().findings()["k x"], found(0.5));
        // Other adapters' findings are not visible.
        let other = Kept::read(dir.path(), &AdapterFacts::of_test("2"));
        assert!(other.findings().is_empty() && other.fault().is_none());
        let lanes = AdapterFacts { subgroup_sizes: Some((8, 8)), ..AdapterFacts::of_test("1") };
        assert!(Kept::read(dir.path(), &lanes).findings().is_empty());
        assert!(Kept::clear(dir.path()).unwrap() && !Kept::clear(dir.path()).unwrap());
    }

    #[test]
    fn a_damaged_file_is_told_of_and_begun_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        Kept::read(dir.path(), &AdapterFacts::of_test("1")).end([("k x".into(), found(0.5))].into(), false).unwrap();
        let whole = fs::read_to_string(&path).unwrap();
        let wrong_number = whole.replace("0.5", "\"0.5\"");
        assert_ne!(whole, wrong_number);
        for text in [&whole[..whole.len() / 2], &wrong_number, "{}", "\u{0}", &" ".repeat(5 << 20)] {
            fs::write(&path, text).unwrap();
            let mut kept = Kept::read(dir.path(), &AdapterFacts::of_test("1"));
            assert!(kept.fault().is_some_and(|fault| fault.contains(NAME)) && kept.findings().is_empty());
            kept.end([("k x".into(), found(0.5))].into(), false).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), whole);
        }
        let mut nowhere = Kept::read(Path::new("/dev/null/x"), &AdapterFacts::of_test("1"));
        assert!(nowhere.begin(&[asked("x")]).is_err());
    }

    /// The file does not grow without limit.
    #[test]
    fn problems_of_other_models_go_where_there_are_too_many() {
        let dir = tempfile::tempdir().unwrap();
        let mut kept = Kept::read(dir.path(), &AdapterFacts::of_test("1"));
        let many = (0..=MOST).map(|i| (format!("k {i}"), found(1.0))).collect();
        kept.end(many, false).unwrap();
        kept.begin(&[asked("7"), asked("new")]).unwrap();
        assert_eq!(kept.findings().len(), 2);
    }
}
