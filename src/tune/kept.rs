//! What was found of adapters in earlier runs, in a file.

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
/// Problems of an adapter; beyond that those of other models go.
const MOST: usize = 4096;

/// That forms are to be measured, where and how long.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// Where it is remembered. The directory is made where it is not there; where nothing can be written, nothing is measured.
    pub dir: PathBuf,
    /// At most, each time that a model asks for what was not measured before; else 3 s on a GPU, 10 s on a CPU driver.
    pub seconds: Option<f64>,
    /// What is known already is measured again.
    pub anew: bool,
}

impl Tuning {
    pub fn in_dir(dir: impl Into<PathBuf>) -> Tuning {
        Tuning { dir: dir.into(), seconds: None, anew: false }
    }

    /// How long it takes on such a device at most.
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

/// What is kept of an adapter, under its driver, with the texts of this program's kernels.
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

    /// Why the file is of no use, if so.
    pub fn fault(&self) -> Option<&str> {
        self.cache.fault.as_deref()
    }

    pub fn findings(&self) -> Findings {
        self.cache.get(&self.subject).map(|content| content.problems.clone()).unwrap_or_default()
    }

    /// Notes that `asked` are about to be measured. Should the driver end this program, they are not measured again.
    ///
    /// # Errors
    /// Why that cannot be written.
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

    /// Keeps what was found, and of what was not reached what was known before. What was not reached because the user broke it off is
    /// asked for again.
    ///
    /// # Errors
    /// Why that cannot be written.
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

    /// Others may have written since.
    fn change(&mut self, change: impl FnOnce(&mut Findings)) -> Result<(), String> {
        self.cache = Cache::read(&self.dir, NAME);
        let mut problems = self.findings();
        change(&mut problems);
        self.cache.put(&self.subject, Content { problems })
    }

    /// Removes what is kept of all adapters; whether there was anything.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn clear(dir: &Path) -> io::Result<bool> {
        match std::fs::remove_file(dir.join(NAME)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            removed => removed.map(|()| true),
        }
    }
}

/// What times depend on beside adapter and driver: the texts of all kernels, and what the adapter has for them.
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
    use crate::tune::Found;
    use std::fs;
    use std::sync::Arc;

    static FORM: Form = Form::plain("");

    fn asked(text: &str) -> Asked {
        let key = Key { storage: Policy::F32, text: text.into(), layer: Arc::new(()) };
        Asked { kernel: "k", key, times: 1, cost: 1.0, forms: vec![&FORM] }
    }

    fn found(seconds: f64) -> Finding {
        Finding { rule: "plain".into(), forms: [("plain".to_string(), Found::Seconds(seconds))].into() }
    }

    #[test]
    fn what_was_begun_is_known_and_what_was_broken_off_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let read = || Kept::read(dir.path(), &AdapterFacts::of_test("1"));
        assert!(read().findings().is_empty() && read().fault().is_none());
        read().begin(&[asked("x"), asked("y")]).unwrap();
        // The program ended here, or the driver ended it.
        assert_eq!(read().findings()["k x"], Finding { rule: "plain".into(), ..Finding::default() });
        let all = || Findings::from([("k x".into(), found(0.5)), ("k y".into(), Finding::default())]);
        read().end(all(), true).unwrap();
        assert_eq!(read().findings(), [("k x".into(), found(0.5))].into());
        read().begin(&[asked("x"), asked("y")]).unwrap();
        read().end(all(), false).unwrap();
        let mark = Finding { rule: "plain".into(), ..Finding::default() };
        assert_eq!(read().findings(), [("k x".into(), found(0.5)), ("k y".into(), mark)].into());
        // What is not reached the next time stays as it was.
        read().begin(&[asked("x")]).unwrap();
        read().end([("k x".into(), Finding::default())].into(), true).unwrap();
        assert_eq!(read().findings()["k x"], found(0.5));
        // Foreign.
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

    /// Too many problems are not kept for ever.
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
