//! A request for predictions: annotations to examples, examples to banks, pictures to predictions.

use super::super::answer::Query;
use super::super::app::App;
use super::super::events::Steps;
use super::super::guard::Client;
use super::super::pictures;
use super::super::problem::Problem;
use super::super::queue::Ticket;
use super::super::worker::{Work, on_device};
use super::answer::Regions;
use super::config::Config;
use super::project::{Annotation, Key, Labelled, Snapshot};
use super::{Searched, raw, reading};
use crate::formats::read::label_studio::{drawn, mask};
use crate::image_io::RgbImage;
use crate::segment::{Example, Progress, Segmenter, SupportBank};
use crate::shown;
use axum::http::StatusCode;
use serde_json::Value;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Most examples of a label: the newest annotations.
const MOST_SHOTS: usize = 8;
/// Most bytes of all predictions of a request.
const MOST_ANSWER: usize = 256 << 20;
/// Longest wait for a place in the queue; refusing at once would waste what was fetched.
const PATIENCE: Duration = Duration::from_secs(60);
/// Interval between two attempts.
const STEP: Duration = Duration::from_millis(100);

/// A request for predictions.
pub struct Run {
    app: Arc<App>,
    client: Client,
    id: String,
    config: Arc<Config>,
}

impl Run {
    pub fn new(app: Arc<App>, client: Client, id: String, config: Config) -> Run {
        Run { app, client, id, config: Arc::new(config) }
    }

    pub fn version(&self) -> String {
        self.app.projects.with(&self.id, |project| project.version())
    }

    /// Waits for a place in the queue. It is not held while pictures are fetched.
    async fn ticket(&self) -> Result<Ticket<Work>, Problem> {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.app.enter(self.client.0) {
                Err(_) if Instant::now() < end && !self.app.is_over() => sleep(STEP).await,
                entered => return entered,
            }
        }
    }

    /// A mask from marks in the task's picture.
    pub async fn marked(&self, task: &Searched, marks: Value) -> Result<Box<RawValue>, Problem> {
        let picture = self.picture(self.address(&task.data)?).await?;
        let (config, version) = (self.config.clone(), self.version());
        let made = self.app.blocking(move || {
            let regions = drawn(&marks);
            let mask = mask(&regions, &picture).map_err(Problem::bad)?;
            let label = regions.iter().flat_map(|region| &region.labels).find(|label| config.labels.contains(label));
            // Without a label, the first one is used.
            let label = label.or(config.labels.first()).cloned().unwrap_or_default();
            Regions::new(&config).of_mask(&mask, &label)?.prediction(&version)
        });
        made.await
    }

    /// Predictions of all tasks, and their version. A task whose picture cannot be fetched gets none; if that holds for all, it is a problem.
    pub async fn found(&self, tasks: &[Searched]) -> Result<(Vec<Box<RawValue>>, String), Problem> {
        reading::all(&self.app, &self.id).await?;
        let Snapshot { version, labelled } = self.app.projects.with(&self.id, |p| p.snapshot(&self.config.labels));
        let banks = self.banks(labelled).await?;
        let (mut results, mut problem, mut bytes) = (Vec::new(), None, 0);
        let mut done = 0;
        for task in tasks {
            let found = match self.task(task, &banks, &version).await {
                Ok(prediction) => {
                    done += 1;
                    prediction
                }
                // Not a fault of this task.
                Err(other) if other.status.is_server_error() && other.status != StatusCode::BAD_GATEWAY => {
                    return Err(other);
                }
                Err(other) => {
                    log::warn!("project {}: a task gets no prediction: {}", self.id, other.detail);
                    problem = Some(other);
                    raw(&[(); 0])?
                }
            };
            bytes += found.get().len();
            if bytes > MOST_ANSWER {
                let detail = format!("the predictions have more than {MOST_ANSWER} bytes; ask for fewer tasks at once");
                return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
            }
            results.push(found);
        }
        match problem {
            Some(problem) if done == 0 => Err(problem),
            _ => Ok((results, version)),
        }
    }

    /// Banks of labels that have examples.
    async fn banks(&self, labelled: Vec<Labelled>) -> Result<Vec<(String, Arc<SupportBank>)>, Problem> {
        let labels = labelled.iter().filter(|(_, known)| !known.is_empty()).count();
        let most = self.app.banks.most_examples();
        if labels > most {
            let detail = format!("{labels} labels have examples, and this server keeps {most} examples in all banks");
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
        }
        let shots = (most / labels.max(1)).min(MOST_SHOTS);
        let (mut all, mut used) = (Vec::new(), Vec::new());
        for (label, known) in labelled.into_iter().filter(|(_, known)| !known.is_empty()) {
            let (mut keys, mut examples, mut seen, mut failed) = (Vec::new(), Vec::new(), Vec::new(), None);
            for (key, annotation) in known {
                if examples.len() == shots {
                    break;
                }
                seen.push(key.clone());
                match self.example(&key, &annotation).await {
                    Ok(None) => {}
                    Ok(Some(example)) => {
                        keys.push(key);
                        examples.push(example);
                    }
                    Err(problem) => failed = Some(problem),
                }
            }
            match failed {
                // Label Studio would keep predictions of this version without the label.
                Some(problem) if examples.is_empty() => return Err(problem),
                _ => {}
            }
            used.push(seen);
            if !examples.is_empty() {
                let bank = self.bank(&label, keys.clone(), examples).await?;
                used.push(keys);
                all.push((label, bank));
            }
        }
        self.app.projects.with(&self.id, |project| project.keep(&used));
        self.app.projects.trim(most);
        Ok(all)
    }

    /// The example of an annotation for a label, kept or new. `None` if the annotation gives none, which is logged once.
    ///
    /// # Errors
    /// A picture that cannot be fetched now.
    async fn example(&self, key: &Key, annotation: &Arc<Annotation>) -> Result<Option<Arc<Example>>, Problem> {
        let known = self.app.projects.with(&self.id, |project| project.examples.get(key).cloned());
        if let Some(example) = known {
            return Ok(example);
        }
        let example = match self.make(&key.1, annotation).await {
            Ok(example) => Some(Arc::new(example)),
            Err(problem) => {
                log::warn!("annotation {} of project {} gives no example: {}", key.0, self.id, problem.detail);
                if problem.status != StatusCode::BAD_REQUEST {
                    return Err(problem);
                }
                None
            }
        };
        self.app.projects.with(&self.id, |project| project.examples.insert(key.clone(), example.clone()));
        Ok(example)
    }

    async fn make(&self, label: &str, annotation: &Arc<Annotation>) -> Result<Example, Problem> {
        let address = annotation.fields.get(&self.config.field).cloned().ok_or_else(|| self.no_picture())?;
        let picture = self.picture(address).await?;
        let (app, annotation, label) = (self.app.clone(), annotation.clone(), label.to_owned());
        let made = self.app.blocking(move || {
            let regions = annotation.regions.iter().filter(|region| region.labels.contains(&label));
            let mask = mask(regions, &picture).map_err(Problem::bad)?;
            // Keep it at the network's size: there are many.
            let small = Example::new(app.framing.picture(&picture, app.size), app.framing.mask(&mask, app.size));
            small.map_err(|error| Problem::from(&error))
        });
        made.await
    }

    async fn bank(&self, label: &str, keys: Vec<Key>, all: Vec<Arc<Example>>) -> Result<Arc<SupportBank>, Problem> {
        let known = self.app.projects.with(&self.id, |project| project.banks.get(label).cloned());
        if let Some((_, bank)) = known.filter(|(own, _)| *own == keys) {
            return Ok(bank);
        }
        let encode = move |segmenter: &Segmenter, progress: Progress| {
            let examples: Vec<Example> = all.iter().map(|example| (**example).clone()).collect();
            segmenter.encode_with(&examples, progress)
        };
        let ticket = self.ticket().await?;
        let bank = Arc::new(on_device(&self.app, &ticket, Steps::new(), encode).await?);
        self.app.projects.with(&self.id, |project| project.banks.insert(label.to_owned(), (keys, bank.clone())));
        Ok(bank)
    }

    async fn task(
        &self,
        task: &Searched,
        banks: &[(String, Arc<SupportBank>)],
        version: &str,
    ) -> Result<Box<RawValue>, Problem> {
        let picture = self.picture(self.address(&task.data)?).await?;
        let app = self.app.clone();
        let Query { small, size } = self.app.blocking(move || Ok(Query::new(&app, &picture))).await?;
        let mut found = Vec::new();
        if !banks.is_empty() {
            let of_labels: Vec<Arc<SupportBank>> = banks.iter().map(|(_, bank)| bank.clone()).collect();
            let segment = move |segmenter: &Segmenter, progress: Progress| {
                let banks: Vec<&SupportBank> = of_labels.iter().map(|bank| &**bank).collect();
                segmenter.segment_classes(&banks, &small, progress)
            };
            let ticket = self.ticket().await?;
            found = on_device(&self.app, &ticket, Steps::new(), segment).await?;
        }
        let labels: Vec<String> = banks.iter().map(|(label, _)| label.clone()).collect();
        let (app, config, version) = (self.app.clone(), self.config.clone(), version.to_owned());
        let written = self.app.blocking(move || {
            let maps = found.into_iter().map(|found| found.into_map()).collect();
            Regions::new(&config).of_maps(&app, maps, &labels, size)?.prediction(&version)
        });
        written.await
    }

    fn address(&self, data: &Value) -> Result<String, Problem> {
        let address = data.get(&self.config.field).and_then(Value::as_str);
        address.map(str::to_owned).ok_or_else(|| self.no_picture())
    }

    fn no_picture(&self) -> Problem {
        Problem::bad(format!("the task's field {} holds no address of a picture", shown::text(&self.config.field)))
    }

    /// A task's picture, upright.
    async fn picture(&self, address: String) -> Result<Arc<RgbImage>, Problem> {
        let (app, token) = (self.app.clone(), self.app.projects.with(&self.id, |project| project.token.clone()));
        let bytes = self.app.fetching(move || app.projects.source.picture(&address, token.as_deref())).await?;
        self.app
            .blocking(move || pictures::decoded("the task's picture", &bytes).map(|loaded| Arc::new(loaded.rgb)))
            .await
    }
}
