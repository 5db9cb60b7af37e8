//! What is known of projects: annotations, which are examples, and the banks that were made of them.

use super::super::problem::Problem;
use crate::formats::read::label_studio::{Drawn, drawn};
use crate::segment::{Example, SupportBank};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use utoipa::ToSchema;

/// Annotations of a project that are kept, the newest,
pub const MOST_ANNOTATIONS: usize = 256;
/// and their bytes together.
const MOST_BYTES: usize = 32 << 20;
/// Longer fields of a task are not kept: the address of its picture is one of the short ones.
const MOST_FIELD: usize = 8 << 10;
/// Annotations that are known to be gone, for a reading that began before.
const MOST_GONE: usize = 1024;
/// All annotations are asked for no sooner again,
const PAUSE: Duration = Duration::from_secs(10);
/// and not before so many times what it took.
const SHARE: u32 = 20;

/// An annotation as Label Studio sends it. What else it has counts for nothing.
#[derive(Deserialize, ToSchema)]
#[schema(as = StudioAnnotation)]
pub struct Sent {
    pub id: i64,
    #[serde(default)]
    pub result: Value,
    #[serde(default)]
    pub was_cancelled: bool,
}

/// A task as Label Studio sends it with its annotations.
#[derive(Deserialize, ToSchema)]
#[schema(as = StudioAnnotatedTask)]
pub struct Task {
    #[serde(default)]
    pub data: Value,
    #[serde(default)]
    pub annotations: Vec<Sent>,
}

/// Short fields of a task.
pub type Fields = BTreeMap<String, String>;

/// The fields of a task that may be addresses.
pub fn fields(data: &Value) -> Arc<Fields> {
    let short = |(name, value): (&String, &Value)| {
        let value = value.as_str().filter(|value| value.len() + name.len() <= MOST_FIELD)?;
        Some((name.clone(), value.to_owned()))
    };
    Arc::new(data.as_object().into_iter().flatten().filter_map(short).collect())
}

/// An annotation: regions of a task's picture.
pub struct Annotation {
    pub regions: Vec<Drawn>,
    pub fields: Arc<Fields>,
    /// Of all this.
    digest: [u8; 32],
    bytes: usize,
}

impl Annotation {
    /// None where it was cancelled or marks nothing.
    pub fn new(sent: &Sent, fields: &Arc<Fields>) -> Option<Annotation> {
        let regions = if sent.was_cancelled { Vec::new() } else { drawn(&sent.result) };
        if regions.is_empty() {
            return None;
        }
        let digest = Sha256::new().chain_update(sent.result.to_string()).chain_update(format!("{fields:?}"));
        let texts: usize = fields.iter().map(|(name, value)| name.len() + value.len()).sum();
        let bytes = texts + regions.iter().map(Drawn::bytes).sum::<usize>();
        Some(Annotation { regions, fields: fields.clone(), digest: digest.finalize().into(), bytes })
    }
}

/// An annotation, and when it came: revisions grow with each change of the project.
struct Kept {
    annotation: Arc<Annotation>,
    revision: u64,
}

/// Which example is of which annotation, label and state of it.
pub type Key = (i64, String, u64);

/// A label and its annotations, the newest first.
pub type Labelled = (String, Vec<(Key, Arc<Annotation>)>);

/// What is known of a project at one moment.
pub struct Snapshot {
    /// Changes with the annotations; Label Studio asks again for predictions of another version.
    pub version: String,
    /// Of each label that was asked for.
    pub labelled: Vec<Labelled>,
}

/// Where a reading of all annotations began.
#[derive(Clone, Copy)]
pub struct Began {
    revision: u64,
    resets: u64,
    when: Instant,
}

#[derive(Default)]
pub struct Project {
    /// By their numbers, which grow with time.
    annotations: BTreeMap<i64, Kept>,
    /// When those that are gone went.
    gone: BTreeMap<i64, u64>,
    revision: u64,
    /// How often it was said that all is to be read again.
    resets: u64,
    /// What Label Studio said at last, for its own pictures.
    pub token: Option<String>,
    /// When all annotations were asked for at last, and how long that took.
    asked: Option<(Instant, Duration)>,
    is_being_read: bool,
    /// Why the last reading failed.
    failed: Option<Problem>,
    /// Examples as the network sees them; None where an annotation makes none.
    pub examples: BTreeMap<Key, Option<Arc<Example>>>,
    /// Of each label: which examples, and their bank.
    pub banks: BTreeMap<String, (Vec<Key>, Arc<SupportBank>)>,
}

impl Project {
    /// Takes an annotation in, or takes it out where there is none any more.
    pub fn take(&mut self, id: i64, annotation: Option<Annotation>) {
        let Some(annotation) = annotation else { return self.remove(id) };
        if self.annotations.get(&id).is_some_and(|own| own.annotation.digest == annotation.digest) {
            return;
        }
        self.revision += 1;
        self.gone.remove(&id);
        self.annotations.insert(id, Kept { annotation: Arc::new(annotation), revision: self.revision });
        let bytes = |all: &BTreeMap<i64, Kept>| all.values().map(|own| own.annotation.bytes).sum::<usize>();
        while self.annotations.len() > MOST_ANNOTATIONS || bytes(&self.annotations) > MOST_BYTES {
            self.annotations.pop_first();
        }
    }

    pub fn remove(&mut self, id: i64) {
        if self.annotations.remove(&id).is_some() {
            self.revision += 1;
            self.gone.insert(id, self.revision);
            while self.gone.len() > MOST_GONE {
                self.gone.pop_first();
            }
        }
    }

    /// All annotations are to be read again.
    pub fn reset(&mut self) {
        self.resets += 1;
        self.asked = None;
    }

    /// Begins a reading of all annotations, where that is due and nobody reads them: webhooks may not reach this server, and tell nothing of
    /// what was before.
    pub fn begin(&mut self) -> Option<Began> {
        let is_due = self.asked.is_none_or(|(when, took)| when.elapsed() > PAUSE.max(SHARE * took));
        if !is_due || self.is_being_read {
            return None;
        }
        self.is_being_read = true;
        Some(Began { revision: self.revision, resets: self.resets, when: Instant::now() })
    }

    pub fn is_being_read(&self) -> bool {
        self.is_being_read
    }

    /// Ends a reading that has brought nothing, not even a problem.
    pub fn give_up(&mut self) {
        self.is_being_read = false;
    }

    /// Ends a reading, with all annotations that there were; with nothing where it failed. What has changed since it began is newer, and stays.
    pub fn end(&mut self, began: Began, all: Result<Vec<(i64, Annotation)>, Problem>) {
        self.is_being_read = false;
        if self.resets == began.resets {
            // What failed may do soon.
            let took = if all.is_ok() { began.when.elapsed() } else { Duration::ZERO };
            self.asked = Some((Instant::now(), took));
        }
        let all = match all {
            Ok(all) => all,
            Err(problem) => return self.failed = Some(problem),
        };
        self.failed = None;
        let is_newer = |own: Option<u64>| own.is_some_and(|revision| revision > began.revision);
        let mut old: Vec<i64> =
            self.annotations.iter().filter(|(_, own)| own.revision <= began.revision).map(|(id, _)| *id).collect();
        for (id, annotation) in all {
            old.retain(|own| *own != id);
            let own = self.annotations.get(&id).map(|own| own.revision).or(self.gone.get(&id).copied());
            if !is_newer(own) {
                self.take(id, Some(annotation));
            }
        }
        old.into_iter().for_each(|id| self.remove(id));
    }

    /// Fails where nothing is known because it could not be read: all would be empty predictions, which stay.
    pub fn check(&self) -> Result<(), Problem> {
        match &self.failed {
            Some(problem) if self.annotations.is_empty() => Err(problem.clone()),
            _ => Ok(()),
        }
    }

    /// What is known of these labels.
    pub fn snapshot(&self, labels: &[String]) -> Snapshot {
        let of = |label: &String| {
            let has = |own: &&Kept| own.annotation.regions.iter().any(|region| region.labels.contains(label));
            let all = self.annotations.iter().rev().filter(|(_, own)| has(own));
            let all = all.map(|(id, own)| ((*id, label.clone(), own.revision), own.annotation.clone()));
            (label.clone(), all.collect())
        };
        Snapshot { version: self.version(), labelled: labels.iter().map(of).collect() }
    }

    /// Drops examples and banks but those of these keys.
    pub fn keep(&mut self, keys: &[Vec<Key>]) {
        self.examples.retain(|key, _| keys.iter().any(|all| all.contains(key)));
        self.banks.retain(|_, (own, _)| keys.contains(own));
    }

    /// Examples in its banks.
    pub fn shots(&self) -> usize {
        self.banks.values().map(|(keys, _)| keys.len()).sum()
    }

    pub fn version(&self) -> String {
        let mut digest = Sha256::new();
        for (id, own) in &self.annotations {
            digest.update(id.to_le_bytes());
            digest.update(own.annotation.digest);
        }
        let hex: String = digest.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        format!("diffews-{}-{hex}", self.annotations.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn made(id: i64, label: &str) -> (i64, Annotation) {
        let region =
            json!({"type": "polygonlabels", "value": {"points": [[0, 0], [9, 0], [0, 9]], "polygonlabels": [label]}});
        let sent = Sent { id, result: json!([region]), was_cancelled: false };
        (id, Annotation::new(&sent, &fields(&json!({"image": "/a.png", "n": 7}))).unwrap())
    }

    fn take(project: &mut Project, id: i64, label: &str) {
        project.take(id, Some(made(id, label).1));
    }

    fn ids(project: &Project, label: &str) -> Vec<i64> {
        let snapshot = project.snapshot(&[label.to_owned()]);
        snapshot.labelled[0].1.iter().map(|(key, _)| key.0).collect()
    }

    #[test]
    fn annotations_come_change_and_go() {
        let mut project = Project::default();
        let empty = project.version();
        (1..=3).for_each(|id| take(&mut project, id, "cat"));
        take(&mut project, 4, "dog");
        assert_eq!((ids(&project, "cat"), ids(&project, "dog")), (vec![3, 2, 1], vec![4]));
        let version = project.version();
        // The same again changes nothing.
        take(&mut project, 2, "cat");
        assert!(project.version() == version && version != empty);
        take(&mut project, 2, "dog");
        assert!(project.version() != version && ids(&project, "dog") == [4, 2]);
        project.take(3, None);
        assert_eq!(ids(&project, "cat"), [1]);
        let cancelled =
            Sent { id: 1, result: json!([{"type": "polygon", "value": {"points": []}}]), was_cancelled: true };
        assert!(Annotation::new(&cancelled, &fields(&json!(null))).is_none());
        assert_eq!(fields(&json!({"image": "/a.png", "n": 7, "long": "x".repeat(MOST_FIELD)})).len(), 1);
    }

    #[test]
    fn what_changes_while_all_is_read_stays() {
        let mut project = Project::default();
        (1..=4).for_each(|id| take(&mut project, id, "cat"));
        let began = project.begin().unwrap();
        assert!(project.is_being_read() && project.begin().is_none());
        // 1 is changed, 2 is deleted, 5 is made; the export has the old 1 and 2, and no 3.
        take(&mut project, 1, "dog");
        project.remove(2);
        take(&mut project, 5, "dog");
        project.end(began, Ok(vec![made(1, "cat"), made(2, "cat"), made(4, "cat"), made(6, "cat")]));
        assert_eq!((ids(&project, "cat"), ids(&project, "dog")), (vec![6, 4], vec![5, 1]));
        assert!(project.begin().is_none());
        project.reset();
        let began = project.begin().unwrap();
        // Said again meanwhile: this reading is not the last.
        project.reset();
        project.end(began, Err(Problem::bad("x")));
        assert!(project.check().is_ok());
        assert!(project.begin().is_some() && ids(&project, "cat") == [6, 4]);
        // Who gives up leaves it to the next.
        assert!(project.begin().is_none());
        project.give_up();
        assert!(project.begin().is_some());
    }

    #[test]
    fn old_annotations_make_room() {
        let mut project = Project::default();
        (0..MOST_ANNOTATIONS as i64 + 5).for_each(|id| take(&mut project, id, "cat"));
        assert_eq!((project.annotations.len(), project.annotations.keys().next()), (MOST_ANNOTATIONS, Some(&5)));
        let large = |id| {
            let rle = json!([{"type": "brush", "value": {"rle": vec![id as u8; MOST_BYTES / 3]}}]);
            Annotation::new(&Sent { id, result: rle, was_cancelled: false }, &fields(&json!({})))
        };
        (1000..1004).for_each(|id| project.take(id, large(id)));
        assert_eq!(project.annotations.keys().copied().collect::<Vec<_>>(), [1002, 1003]);
    }
}
