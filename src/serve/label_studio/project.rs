//! Known projects: their annotations, which are examples, and the banks made from them.

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

/// Most annotations to keep of a project, the newest ones.
pub const MOST_ANNOTATIONS: usize = 256;
/// Most bytes of a project's annotations.
const MOST_BYTES: usize = 32 << 20;
/// Longest field of a task to keep: the address of its picture is short.
const MOST_FIELD: usize = 8 << 10;
/// Most deleted annotations to remember, for readings that began before.
const MOST_GONE: usize = 1024;
/// Shortest time between two readings of all annotations.
const PAUSE: Duration = Duration::from_secs(10);
/// The time between two readings is also at least this many times as long as a reading takes.
const SHARE: u32 = 20;

/// An annotation as Label Studio sends it. Other fields are ignored.
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
    /// Digest of the fields above.
    digest: [u8; 32],
    bytes: usize,
}

impl Annotation {
    /// `None` if it was cancelled or marks nothing.
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

/// An annotation and the project's revision when it arrived; revisions grow with each change.
struct Kept {
    annotation: Arc<Annotation>,
    revision: u64,
}

/// Key of an example: annotation, label and revision.
pub type Key = (i64, String, u64);

/// A label and its annotations, the newest first.
pub type Labelled = (String, Vec<(Key, Arc<Annotation>)>);

/// A project's state at one moment.
pub struct Snapshot {
    /// Changes with the annotations; Label Studio requests predictions again if it differs.
    pub version: String,
    /// Annotations of each requested label.
    pub labelled: Vec<Labelled>,
}

/// The start of a reading of all annotations.
#[derive(Clone, Copy)]
pub struct Began {
    revision: u64,
    resets: u64,
    when: Instant,
}

#[derive(Default)]
pub struct Project {
    /// By number; numbers grow with time.
    annotations: BTreeMap<i64, Kept>,
    /// Deleted annotations, with the revision of the deletion.
    gone: BTreeMap<i64, u64>,
    revision: u64,
    /// How often a reset was requested.
    resets: u64,
    /// The last token from Label Studio, for its own pictures.
    pub token: Option<String>,
    /// When all annotations were last read, and how long that took.
    asked: Option<(Instant, Duration)>,
    is_being_read: bool,
    /// Why the last reading failed.
    failed: Option<Problem>,
    /// Examples at the network's size; `None` if an annotation gives no example.
    pub examples: BTreeMap<Key, Option<Arc<Example>>>,
    /// For each label, the keys of its examples and their bank.
    pub banks: BTreeMap<String, (Vec<Key>, Arc<SupportBank>)>,
}

impl Project {
    /// Adds or replaces an annotation; `None` removes it.
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

    /// Requests that all annotations are read again.
    pub fn reset(&mut self) {
        self.resets += 1;
        self.asked = None;
    }

    /// Begins a reading of all annotations if it is due and none is running: webhooks may not reach this server, and do not report
    /// earlier annotations.
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

    /// Ends a reading without a result.
    pub fn give_up(&mut self) {
        self.is_being_read = false;
    }

    /// Ends a reading with all annotations, or with its problem. Changes since it began are newer and stay.
    pub fn end(&mut self, began: Began, all: Result<Vec<(i64, Annotation)>, Problem>) {
        self.is_being_read = false;
        if self.resets == began.resets {
            // A failed reading may be tried again soon.
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

    /// Fails if there are no annotations because the reading failed: Label Studio would keep empty predictions.
    pub fn check(&self) -> Result<(), Problem> {
        match &self.failed {
            Some(problem) if self.annotations.is_empty() => Err(problem.clone()),
            _ => Ok(()),
        }
    }

    /// The annotations of these labels.
    pub fn snapshot(&self, labels: &[String]) -> Snapshot {
        let of = |label: &String| {
            let has = |own: &&Kept| own.annotation.regions.iter().any(|region| region.labels.contains(label));
            let all = self.annotations.iter().rev().filter(|(_, own)| has(own));
            let all = all.map(|(id, own)| ((*id, label.clone(), own.revision), own.annotation.clone()));
            (label.clone(), all.collect())
        };
        Snapshot { version: self.version(), labelled: labels.iter().map(of).collect() }
    }

    /// Drops all examples and banks except those of these keys.
    pub fn keep(&mut self, keys: &[Vec<Key>]) {
        self.examples.retain(|key, _| keys.iter().any(|all| all.contains(key)));
        self.banks.retain(|_, (own, _)| keys.contains(own));
    }

    /// Number of examples in its banks.
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
        // Sending the same again changes nothing.
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
        // A reset during the reading: another one must follow.
        project.reset();
        project.end(began, Err(Problem::bad("x")));
        assert!(project.check().is_ok());
        assert!(project.begin().is_some() && ids(&project, "cat") == [6, 4]);
        // After giving up, the next call may begin.
        assert!(project.begin().is_none());
        project.give_up();
        assert!(project.begin().is_some());
    }

    #[test]
    fn old_annotations_make_room() {
        let mut project = Project::default();
        (0..MOST_ANNOTATIONS as i64 + 5).for_each(|id| take(&mut project, id, "cat"));
        assert_eq!((project.annotations.len(), project.annotations.keys().next()), (MOST_ANNOTATIONS, Some(&5)));
        // Its bytes are counted from its regions; a long one would take the test long.
        let brush = |length: usize| {
            let rle = json!([{"type": "brush", "value": {"rle": vec![7; length]}}]);
            Annotation::new(&Sent { id: 0, result: rle, was_cancelled: false }, &fields(&json!({}))).unwrap()
        };
        assert_eq!(brush(3000).bytes - brush(1000).bytes, 2000);
        let large = |_| Some(Annotation { bytes: MOST_BYTES / 3 + 1, ..brush(9) });
        (1000..1004).for_each(|id| project.take(id, large(id)));
        assert_eq!(project.annotations.keys().copied().collect::<Vec<_>>(), [1002, 1003]);
    }
}
