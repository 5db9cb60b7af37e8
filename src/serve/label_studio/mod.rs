//! The protocol of Label Studio's machine learning backends: a project's own annotations are the examples
//! ([labelstud.io/guide/ml_create](https://labelstud.io/guide/ml_create)).
//!
//! Annotations come by the webhook that Label Studio makes with the connection, or are read of its API where `--label-studio` says where
//! that is. They are kept as they come: pictures are fetched, and banks made, when predictions are asked for.

mod answer;
mod config;
mod project;
mod source;

use super::LabelStudio;
use super::answer::{Query, json, text};
use super::api::parse;
use super::app::App;
use super::body;
use super::describe::{Busy, Refused};
use super::entered::Entered;
use super::events::Steps;
use super::pictures;
use super::problem::Problem;
use super::queue::Ticket;
use super::worker::{Work, on_device};
use crate::formats::read::label_studio::{drawn, mask};
use crate::image_io::RgbImage;
use crate::segment::{Example, Progress, Segmenter, SupportBank};
use crate::shown;
use answer::Regions;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use config::Config;
use project::{Annotation, Key, Project, Sent, Task};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use source::Source;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::time::timeout;
use utoipa::ToSchema;

/// Examples of each label: the newest annotations.
const MOST_SHOTS: usize = 8;
/// Projects that are remembered; those that were not used for the longest time go.
const MOST_PROJECTS: usize = 32;
/// Tasks of one request.
const MOST_TASKS: usize = 1000;

/// Label Studio waits 3 s for the answer of `/setup`.
const SETUP: Duration = Duration::from_secs(2);

/// What is known of projects.
pub struct Projects {
    source: Source,
    /// By their numbers, the last used at the end.
    all: Mutex<Vec<(String, Project)>>,
}

impl Projects {
    pub fn new(options: Option<LabelStudio>, most: usize) -> Projects {
        Projects { source: Source::new(options, most), all: Mutex::default() }
    }

    /// Does something with a project, which is made where it is not known.
    fn with<T>(&self, id: &str, act: impl FnOnce(&mut Project) -> T) -> T {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.iter().position(|(own, _)| own == id).map(|at| all.remove(at));
        all.push(known.unwrap_or_else(|| (id.to_owned(), Project::default())));
        let extra = all.len().saturating_sub(MOST_PROJECTS);
        all.drain(..extra);
        let last = all.len() - 1;
        act(&mut all[last].1)
    }
}

/// A project that connects.
#[derive(Deserialize, ToSchema)]
#[schema(as = StudioSetup)]
pub struct Setup {
    /// Its number: 7, "7" or "7.1700000000".
    project: Value,
    /// The labeling configuration, XML.
    schema: String,
    /// For its pictures and annotations.
    access_token: Option<String>,
}

/// What is known of a project.
#[derive(Serialize, ToSchema)]
pub struct Version {
    /// Changes with the annotations.
    model_version: String,
}

/// What predictions are asked for.
#[derive(Deserialize, ToSchema)]
#[schema(as = StudioTasks)]
pub struct Asked {
    #[schema(min_items = 1, max_items = 1000)]
    tasks: Vec<Task>,
    /// Its number: 7, "7" or "7.1700000000".
    project: Value,
    /// XML.
    label_config: String,
    params: Option<Params>,
}

#[derive(Deserialize, ToSchema)]
pub struct Params {
    context: Option<Context>,
}

/// What a user has drawn with a smart tool.
#[derive(Deserialize, ToSchema)]
pub struct Context {
    /// Regions.
    #[serde(default)]
    result: Value,
}

/// Predictions.
#[derive(Serialize, ToSchema)]
pub struct Predictions {
    /// One for each task; an empty list where its picture could not be had.
    results: Vec<Value>,
    model_version: String,
}

/// What happened.
#[derive(Deserialize, ToSchema)]
#[schema(as = StudioEvent)]
pub struct Event {
    /// `ANNOTATION_CREATED`, say.
    action: String,
    /// Its number, or an object with `id`.
    #[serde(default)]
    project: Value,
    #[serde(default)]
    annotation: Option<Sent>,
    #[serde(default)]
    annotations: Vec<Sent>,
    #[serde(default)]
    task: Option<Task>,
}

/// That it was heard.
#[derive(Serialize, ToSchema)]
pub struct Heard {
    /// `ok`
    result: &'static str,
}

/// The number of a project, which comes as 7, "7", "7.1700000000", or in an object: digits alone.
fn number(project: &Value) -> Result<String, Problem> {
    let text = match project.get("id").unwrap_or(project) {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        _ => String::new(),
    };
    let digits = text.split('.').next().unwrap_or_default();
    match (1..=20).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        true => Ok(digits.to_owned()),
        false => Err(Problem::bad("the project has no number")),
    }
}

/// Whether a project's labels can be answered, and the version of what is known of it (Label Studio).
#[utoipa::path(post, path = "/setup", request_body = Setup, responses(
    (status = 200, description = "They can", body = Version), (status = "default", response = Refused)))]
pub async fn setup(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    let upload = body::read(&app, &headers, body).await?;
    let Setup { project, schema, access_token } = parse(&upload.bytes)?;
    let id = number(&project)?;
    Config::new(&schema)?;
    app.projects.with(&id, |project| {
        if let Some(token) = access_token.filter(|token| token.bytes().all(|byte| byte.is_ascii_graphic())) {
            project.token = (!token.is_empty()).then_some(token);
        }
    });
    // Tasks with a prediction of this version are not asked for again: it must know of new annotations.
    let _ = timeout(SETUP, read(&app, &id)).await;
    let version = app.projects.with(&id, |project| project.version());
    Ok(json(StatusCode::OK, text(&Version { model_version: version })?))
}

/// What happened to a project's annotations (Label Studio).
#[utoipa::path(post, path = "/webhook", request_body = Event, responses(
    (status = 201, description = "It was heard", body = Heard), (status = "default", response = Refused)))]
pub async fn webhook(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    let upload = body::read(&app, &headers, body).await?;
    let event: Event = parse(&upload.bytes)?;
    let all = event.annotation.iter().chain(&event.annotations);
    match event.action.as_str() {
        "ANNOTATION_CREATED" | "ANNOTATION_UPDATED" | "ANNOTATIONS_CREATED" => {
            app.projects.with(&number(&event.project)?, |project| match &event.task {
                Some(task) => all.for_each(|sent| project.take(sent, &task.data)),
                // Of several tasks only their numbers come: all is read again.
                None => project.asked = None,
            });
        }
        "ANNOTATION_DELETED" | "ANNOTATIONS_DELETED" => {
            app.projects.with(&number(&event.project)?, |project| all.for_each(|sent| project.remove(sent.id)));
        }
        "START_TRAINING" => app.projects.with(&number(&event.project)?, |project| project.asked = None),
        // Of tasks and projects nothing is kept.
        _ => {}
    }
    Ok(json(StatusCode::CREATED, text(&Heard { result: "ok" })?))
}

/// What is found in tasks by their project's annotations; with a context, what its marks mean (Label Studio).
#[utoipa::path(post, path = "/predict", request_body = Asked, responses(
    (status = 200, description = "The predictions", body = Predictions),
    (status = 503, response = Busy), (status = "default", response = Refused)))]
pub async fn predict(State(app): State<Arc<App>>, entered: Entered) -> Result<Response, Problem> {
    let Entered { upload, ticket, .. } = entered;
    let Asked { tasks, project, label_config, params } = app.blocking(move || parse(&upload.bytes)).await?;
    if tasks.is_empty() || tasks.len() > MOST_TASKS {
        return Err(Problem::bad(format!("there are {} tasks, and must be 1 to {MOST_TASKS}", tasks.len())));
    }
    let run = Run { app, ticket, id: number(&project)?, config: Arc::new(Config::new(&label_config)?) };
    let marks = params.and_then(|params| params.context).map(|context| context.result);
    let (results, model_version) = match marks.filter(|marks| marks.as_array().is_some_and(|all| !all.is_empty())) {
        Some(marks) => (vec![run.marked(&tasks[0], marks).await?], run.version()),
        None => run.found(&tasks).await?,
    };
    Ok(json(StatusCode::OK, text(&Predictions { results, model_version })?))
}

/// Reads all annotations of a project where that is due. It goes on where nobody waits any more.
async fn read(app: &Arc<App>, id: &str) {
    let now = app.projects.with(id, |project| (project.is_due(), project.revision(), project.token.clone()));
    let (is_due, began, token) = now;
    if !is_due || !app.projects.source.is_known() {
        return;
    }
    let (asking, id) = (app.clone(), id.to_owned());
    let read = app.fetching(move || {
        let started = Instant::now();
        let tasks = asking.projects.source.annotations(&id, token.as_deref());
        let tasks = tasks.and_then(|bytes| parse::<Vec<Task>>(&bytes));
        asking.projects.with(&id, |project| {
            project.asked = Some((Instant::now(), started.elapsed()));
            match tasks {
                Ok(tasks) => project.read(&tasks, began),
                Err(problem) => log::warn!("the annotations of project {id} cannot be read: {}", problem.detail),
            }
        });
        Ok(())
    });
    // It has told what went wrong.
    let _ = read.await;
}

/// One request for predictions.
struct Run {
    app: Arc<App>,
    ticket: Ticket<Work>,
    id: String,
    config: Arc<Config>,
}

impl Run {
    fn version(&self) -> String {
        self.app.projects.with(&self.id, |project| project.version())
    }

    /// A mask of what was drawn in the task's picture.
    async fn marked(&self, task: &Task, marks: Value) -> Result<Value, Problem> {
        let picture = self.picture(self.address(&task.data)?).await?;
        let (config, version) = (self.config.clone(), self.version());
        let made = self.app.blocking(move || {
            let regions = drawn(&marks);
            let mask = mask(&regions, &picture).map_err(Problem::bad)?;
            let label = regions.iter().flat_map(|region| &region.labels).find(|label| config.labels.contains(label));
            // Where nothing is labelled, the only label, or the first one, is meant.
            let label = label.or(config.labels.first()).cloned().unwrap_or_default();
            Regions::new(&config).of_mask(&mask, &label)?.prediction(&version)
        });
        made.await
    }

    /// Predictions of all tasks, and their version. A task whose picture cannot be had gets none; where that is so of all, it is a problem.
    async fn found(&self, tasks: &[Task]) -> Result<(Vec<Value>, String), Problem> {
        read(&self.app, &self.id).await;
        let banks = self.banks().await?;
        let version = self.version();
        let (mut results, mut problem) = (Vec::new(), None);
        for task in tasks {
            match self.task(task, &banks, &version).await {
                Ok(prediction) => results.push(prediction),
                // No fault of this task.
                Err(other) if other.status.is_server_error() && other.status != StatusCode::BAD_GATEWAY => {
                    return Err(other);
                }
                Err(other) => {
                    log::warn!("project {}: a task gets no prediction: {}", self.id, other.detail);
                    results.push(json!([]));
                    problem = Some(other);
                }
            }
        }
        match problem {
            Some(problem) if results.iter().all(Value::is_array) => Err(problem),
            _ => Ok((results, version)),
        }
    }

    /// Labels that have examples, and their banks.
    async fn banks(&self) -> Result<Vec<(String, Arc<SupportBank>)>, Problem> {
        let labels = &self.config.labels;
        let shots = self.app.banks.most_examples().checked_div(labels.len()).unwrap_or(0).clamp(1, MOST_SHOTS);
        let mut all = Vec::new();
        for label in labels {
            let known: Vec<(Key, Arc<Annotation>)> = self.app.projects.with(&self.id, |project| {
                project.labelled(label).map(|(key, annotation)| (key, annotation.clone())).collect()
            });
            let (mut keys, mut examples) = (Vec::new(), Vec::new());
            for (key, annotation) in known {
                if examples.len() == shots {
                    break;
                }
                if let Some(example) = self.example(&key, &annotation).await {
                    keys.push(key);
                    examples.push(example);
                }
            }
            if !examples.is_empty() {
                all.push((label.clone(), self.bank(label, keys, examples).await?));
            }
        }
        Ok(all)
    }

    /// The example that an annotation makes for a label, as it was made before or anew. None where it makes none, which is told once.
    async fn example(&self, key: &Key, annotation: &Arc<Annotation>) -> Option<Arc<Example>> {
        let known = self.app.projects.with(&self.id, |project| project.examples.get(key).cloned());
        if let Some(example) = known {
            return example;
        }
        let made = self.make(&key.1, annotation).await;
        let (example, lasts) = match made {
            Ok(example) => (Some(Arc::new(example)), true),
            Err(problem) => {
                log::warn!("annotation {} of project {} is no example: {}", key.0, self.id, problem.detail);
                // A picture that could not be fetched may be there the next time.
                (None, problem.status == StatusCode::BAD_REQUEST)
            }
        };
        if lasts {
            self.app.projects.with(&self.id, |project| project.examples.insert(key.clone(), example.clone()));
        }
        example
    }

    async fn make(&self, label: &str, annotation: &Arc<Annotation>) -> Result<Example, Problem> {
        let address = annotation.address(&self.config.field);
        let address = address.ok_or_else(|| self.no_picture())?.to_owned();
        let picture = self.picture(address).await?;
        let (app, annotation, label) = (self.app.clone(), annotation.clone(), label.to_owned());
        let made = self.app.blocking(move || {
            let regions = annotation.regions.iter().filter(|region| region.labels.contains(&label));
            let mask = mask(regions, &picture).map_err(Problem::bad)?;
            // As the network sees it: many are kept.
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
        let bank = Arc::new(on_device(&self.app, &self.ticket, Steps::new(), encode).await?);
        self.app.projects.with(&self.id, |project| project.banks.insert(label.to_owned(), (keys, bank.clone())));
        Ok(bank)
    }

    async fn task(&self, task: &Task, banks: &[(String, Arc<SupportBank>)], version: &str) -> Result<Value, Problem> {
        let picture = self.picture(self.address(&task.data)?).await?;
        let Query { small, size } = Query::new(&self.app, &picture);
        drop(picture);
        let mut found = Vec::new();
        if !banks.is_empty() {
            let of_labels: Vec<Arc<SupportBank>> = banks.iter().map(|(_, bank)| bank.clone()).collect();
            let segment = move |segmenter: &Segmenter, progress: Progress| {
                let banks: Vec<&SupportBank> = of_labels.iter().map(|bank| &**bank).collect();
                segmenter.segment_classes(&banks, &small, progress)
            };
            found = on_device(&self.app, &self.ticket, Steps::new(), segment).await?;
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
        Problem::bad(format!("the task has no address of a picture in its field {}", shown::text(&self.config.field)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn projects_are_called_by_their_numbers() {
        for project in [json!(7), json!("7"), json!("7.1700000000"), json!({"id": 7, "title": "x"})] {
            assert_eq!(number(&project).unwrap(), "7");
        }
        for project in
            [json!(null), json!(""), json!("../7"), json!(-7), json!("7/.."), json!({"title": "7"}), json!([7])]
        {
            assert!(number(&project).is_err(), "{project}");
        }
        let projects = Projects::new(None, 100);
        let token = || Some("t".to_owned());
        (0..MOST_PROJECTS + 3).for_each(|id| projects.with(&id.to_string(), |project| project.token = token()));
        let is_known = |id: &str| projects.with(id, |project| project.token == token());
        assert!(is_known("4") && !is_known("1"));
    }
}
