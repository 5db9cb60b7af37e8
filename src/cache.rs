//! Facts about adapters kept from run to run, in one file for each purpose. The files are untrusted: a file that cannot be read is
//! ignored.

use crate::files::read_regular;
use crate::gpu::AdapterFacts;
use crate::image_io;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Largest file, in bytes.
const MOST: u64 = 4 << 20;
/// Most entries, one for each adapter, driver and program; the oldest goes.
const KEPT: usize = 32;

/// The key of an entry: an adapter with its driver and this program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Subject {
    adapter: String,
    backend: String,
    device_id: String,
    driver: String,
    program: String,
}

impl Subject {
    pub fn of(facts: &AdapterFacts) -> Subject {
        // The driver compiles other code then.
        let driver = facts.driver.clone() + if facts.range_checks { "" } else { ", without range checks" };
        Subject {
            adapter: facts.name.clone(),
            backend: facts.backend.clone(),
            device_id: facts.device_id.clone(),
            driver,
            program: concat!(env!("CARGO_PKG_VERSION"), " ", env!("DIFFEWS_COMMIT")).into(),
        }
    }

    /// A hash of the adapter alone, without driver and program.
    pub fn adapter_number(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.adapter, &self.backend, &self.device_id).hash(&mut hasher);
        hasher.finish()
    }

    /// All fields as text.
    pub fn whole(&self) -> String {
        [&self.adapter, &self.backend, &self.device_id, &self.driver, &self.program]
            .map(|part| format!("{part:?}"))
            .join(" ")
    }

    /// The subject with `more` as a further part of the key.
    pub fn with(mut self, more: &str) -> Subject {
        self.program = format!("{} {more}", self.program);
        self
    }
}

#[derive(Serialize, Deserialize)]
struct Entry<T> {
    #[serde(flatten)]
    subject: Subject,
    #[serde(flatten)]
    content: T,
}

/// A file's content.
pub(crate) struct Cache<T> {
    path: PathBuf,
    entries: Vec<Entry<T>>,
    /// Why the file cannot be used, if so.
    pub fault: Option<String>,
}

impl<T: Serialize + DeserializeOwned> Cache<T> {
    pub fn read(dir: &Path, name: &str) -> Cache<T> {
        let path = dir.join(name);
        let told = |what: &str| format!("{}: {what}", path.display());
        let (entries, fault) = match read_regular(&path, MOST) {
            Err(error) if error.kind() == ErrorKind::NotFound => (Vec::new(), None),
            Err(error) => (Vec::new(), Some(told(&error.to_string()))),
            Ok(None) => (Vec::new(), Some(told(&format!("it has more than {MOST} bytes")))),
            Ok(Some(bytes)) => match serde_json::from_slice(&bytes) {
                Ok(entries) => (entries, None),
                Err(error) => (Vec::new(), Some(told(&error.to_string()))),
            },
        };
        Cache { path, entries, fault }
    }

    pub fn get(&self, subject: &Subject) -> Option<&T> {
        self.entries.iter().find(|entry| entry.subject == *subject).map(|entry| &entry.content)
    }

    /// Replaces the entry of `subject` by `content` and writes the file. Creates the directory if needed.
    ///
    /// # Errors
    /// Why it could not be written.
    pub fn put(&mut self, subject: &Subject, content: T) -> Result<(), String> {
        self.entries.retain(|entry| entry.subject != *subject);
        self.entries.push(Entry { subject: subject.clone(), content });
        self.entries.drain(..self.entries.len().saturating_sub(KEPT));
        let bytes = loop {
            let bytes = serde_json::to_vec_pretty(&self.entries).map_err(|error| error.to_string())?;
            if bytes.len() as u64 <= MOST || self.entries.len() == 1 {
                break bytes;
            }
            self.entries.remove(0);
        };
        write(&self.path, &bytes)
    }
}

/// Writes a file of the cache atomically. Creates the directory if needed.
///
/// # Errors
/// Why it could not be written.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let dir = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    image_io::write_whole(path, bytes, true).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Number {
        number: f64,
    }

    const NAME: &str = "numbers.json";

    fn subject(driver: &str) -> Subject {
        Subject {
            adapter: "GPU".into(),
            backend: "vulkan".into(),
            device_id: "0001:0002".into(),
            driver: driver.into(),
            program: "0.1.0".into(),
        }
    }

    fn read(dir: &Path) -> Cache<Number> {
        Cache::read(dir, NAME)
    }

    #[test]
    fn a_file_that_is_none_is_as_good_as_nothing_and_it_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        assert!(read(dir.path()).fault.is_none(), "not there yet");
        for text in ["", "{}", "[{}]", "null", "[1e999]", "\0", &"[".repeat(1000), &" ".repeat(5 << 20)] {
            fs::write(&path, text).unwrap();
            let read = read(dir.path());
            assert!(read.entries.is_empty() && read.fault.unwrap().contains(NAME));
        }
        read(dir.path()).put(&subject("1"), Number { number: 0.1 }).unwrap();
        assert_eq!(
            (read(dir.path()).fault, read(dir.path()).get(&subject("1"))),
            (None, Some(&Number { number: 0.1 }))
        );
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let mut read = read(dir.path());
        assert!(read.fault.is_some() && read.put(&subject("1"), Number { number: 0.1 }).is_err());
    }

    #[test]
    fn each_driver_has_its_own_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        for i in 0..KEPT + 3 {
            read(dir.path()).put(&subject(&i.to_string()), Number { number: i as f64 }).unwrap();
        }
        let all = read(dir.path());
        assert_eq!(all.entries.len(), KEPT);
        assert_eq!((all.get(&subject("2")), all.get(&subject("3"))), (None, Some(&Number { number: 3.0 })));
        assert_eq!(all.get(&subject("3").with("other texts")), None);
        assert!(read(Path::new("/dev/null/x")).put(&subject("1"), Number { number: 1.0 }).is_err());
    }

    #[test]
    fn what_is_too_much_for_the_file_goes_with_the_oldest() {
        let dir = tempfile::tempdir().unwrap();
        let mut all: Cache<String> = Cache::read(dir.path(), NAME);
        assert!(all.put(&subject("1"), String::new()).is_err(), "entries are objects");
        let long = |driver: &str| Subject { adapter: "x".repeat(3 << 20), ..subject(driver) };
        read(dir.path()).put(&long("1"), Number { number: 1.0 }).unwrap();
        read(dir.path()).put(&long("2"), Number { number: 2.0 }).unwrap();
        let all = read(dir.path());
        assert_eq!((all.get(&long("1")), all.get(&long("2"))), (None, Some(&Number { number: 2.0 })));
    }
}
