//! What is known of projects: annotations, which are examples, and the banks that were made of them.

use crate::formats::read::label_studio::{Drawn, drawn};
use crate::segment::{Example, SupportBank};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use utoipa::ToSchema;

/// Annotations of a project that are kept; the oldest go.
const MOST_ANNOTATIONS: usize = 256;
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

/// A task as Label Studio sends it.
#[derive(Deserialize, ToSchema)]
#[schema(as = StudioTask)]
pub struct Task {
    #[serde(default)]
    pub data: Value,
    #[serde(default)]
    pub annotations: Vec<Sent>,
}

/// An annotation: regions of a task's picture.
pub struct Annotation {
    pub regions: Vec<Drawn>,
    data: Value,
    /// Grows with each change of the project.
    pub revision: u64,
}

impl Annotation {
    /// The address of its picture.
    pub fn address(&self, field: &str) -> Option<&str> {
        self.data.get(field)?.as_str()
    }
}

/// Which example is of which annotation, label and state of it.
pub type Key = (i64, String, u64);

#[derive(Default)]
pub struct Project {
    /// By their numbers, which grow with time.
    annotations: BTreeMap<i64, Arc<Annotation>>,
    revision: u64,
    /// What Label Studio said at last, for its own pictures.
    pub token: Option<String>,
    /// When all annotations were asked for at last, and how long that took.
    pub asked: Option<(Instant, Duration)>,
    /// Examples as the network sees them; None where an annotation makes none.
    pub examples: BTreeMap<Key, Option<Arc<Example>>>,
    /// Of each label: which examples, and their bank.
    pub banks: BTreeMap<String, (Vec<Key>, Arc<SupportBank>)>,
}

impl Project {
    /// Takes an annotation in, or takes it out where it was cancelled or marks nothing.
    pub fn take(&mut self, sent: &Sent, data: &Value) {
        let regions = if sent.was_cancelled { Vec::new() } else { drawn(&sent.result) };
        if regions.is_empty() {
            return self.remove(sent.id);
        }
        let same = self.annotations.get(&sent.id).is_some_and(|own| own.regions == regions && own.data == *data);
        if same {
            return;
        }
        self.revision += 1;
        let annotation = Annotation { regions, data: data.clone(), revision: self.revision };
        self.annotations.insert(sent.id, Arc::new(annotation));
        while self.annotations.len() > MOST_ANNOTATIONS {
            self.annotations.pop_first();
        }
        self.forget();
    }

    pub fn remove(&mut self, id: i64) {
        if self.annotations.remove(&id).is_some() {
            self.revision += 1;
            self.forget();
        }
    }

    /// Whether all annotations are to be asked for: webhooks may not reach this server, and tell nothing of what was before.
    pub fn is_due(&self) -> bool {
        self.asked.is_none_or(|(when, took)| when.elapsed() > PAUSE.max(SHARE * took))
    }

    /// How often it has changed.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Takes in all annotations of these tasks, and drops others. What came since `began` is newer, and stays.
    pub fn read(&mut self, tasks: &[Task], began: u64) {
        let mut gone: Vec<i64> =
            self.annotations.iter().filter(|(_, own)| own.revision <= began).map(|(id, _)| *id).collect();
        for task in tasks {
            for sent in &task.annotations {
                gone.retain(|id| *id != sent.id);
                self.take(sent, &task.data);
            }
        }
        gone.into_iter().for_each(|id| self.remove(id));
    }

    /// Drops examples whose annotations are not there any more.
    fn forget(&mut self) {
        let annotations = &self.annotations;
        let is_there = |(id, _, revision): &Key| annotations.get(id).is_some_and(|own| own.revision == *revision);
        self.examples.retain(|key, _| is_there(key));
    }

    /// The newest annotations that have this label, newest first.
    pub fn labelled<'a>(&'a self, label: &'a str) -> impl Iterator<Item = (Key, &'a Arc<Annotation>)> + 'a {
        let has = move |annotation: &Annotation| annotation.regions.iter().any(|r| r.labels.iter().any(|l| l == label));
        let all = self.annotations.iter().rev().filter(move |(_, annotation)| has(annotation));
        all.map(|(id, annotation)| ((*id, label.to_owned(), annotation.revision), annotation))
    }

    /// Changes with the annotations; Label Studio asks again for predictions of another version.
    pub fn version(&self) -> String {
        let mut digest = Sha256::new();
        for (id, annotation) in &self.annotations {
            digest.update(id.to_le_bytes());
            digest.update(format!("{:?}", annotation.regions));
        }
        let digest = digest.finalize();
        let hex: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        format!("diffews-{}-{hex}", self.annotations.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sent(id: i64, label: &str) -> Sent {
        let region =
            json!({"type": "polygonlabels", "value": {"points": [[0, 0], [9, 0], [0, 9]], "polygonlabels": [label]}});
        Sent { id, result: json!([region]), was_cancelled: false }
    }

    #[test]
    fn annotations_come_change_and_go() {
        let mut project = Project::default();
        let empty = project.version();
        let data = json!({"image": "/a.png"});
        (1..=3).for_each(|id| project.take(&sent(id, "cat"), &data));
        project.take(&sent(4, "dog"), &data);
        let ids = |project: &Project, label: &str| project.labelled(label).map(|(key, _)| key.0).collect::<Vec<_>>();
        assert_eq!((ids(&project, "cat"), ids(&project, "dog")), (vec![3, 2, 1], vec![4]));
        assert_eq!(project.labelled("dog").next().unwrap().1.address("image"), Some("/a.png"));
        let version = project.version();
        // The same again changes nothing.
        project.take(&sent(2, "cat"), &data);
        assert!(project.version() == version && version != empty);
        project.take(&sent(2, "dog"), &data);
        assert!(project.version() != version && ids(&project, "dog") == [4, 2]);
        project.take(&Sent { was_cancelled: true, ..sent(3, "cat") }, &data);
        assert_eq!(ids(&project, "cat"), [1]);
        let began = project.revision();
        project.take(&sent(9, "dog"), &data);
        project.read(&[Task { data, annotations: vec![sent(7, "cat")] }], began);
        assert_eq!((ids(&project, "cat"), ids(&project, "dog")), (vec![7], vec![9]));
        assert!(project.is_due());
        project.asked = Some((Instant::now(), Duration::ZERO));
        assert!(!project.is_due());
    }

    #[test]
    fn old_annotations_make_room() {
        let mut project = Project::default();
        (0..MOST_ANNOTATIONS as i64 + 5).for_each(|id| project.take(&sent(id, "cat"), &json!({})));
        assert_eq!((project.annotations.len(), project.annotations.keys().next()), (MOST_ANNOTATIONS, Some(&5)));
    }
}
