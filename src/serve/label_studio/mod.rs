//! The protocol of Label Studio's machine learning backends: a project's own annotations are the examples
//! ([labelstud.io/guide/ml_create](https://labelstud.io/guide/ml_create)).
//!
//! Annotations arrive by the webhook that Label Studio creates with the connection, or are read from its API at the address of
//! `--label-studio`. They are kept as received: pictures are fetched and banks made when predictions are requested.

mod answer;
mod config;
mod project;
mod reading;
mod run;
mod source;

use super::LabelStudio;
use super::answer::{json, text};
use super::api::parse;
use super::app::App;
use super::body;
use super::describe::{Busy, Refused};
use super::guard::Client;
use super::problem::Problem;
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use config::Config;
use project::{Annotation, Project, Sent, Task, fields};
use run::Run;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use source::Source;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::timeout;
use utoipa::ToSchema;

/// Most projects to keep; the least recently used go.
const MOST_PROJECTS: usize = 16;
/// Most tasks in a request.
const MOST_TASKS: usize = 1000;

/// Longest answer of `/setup`: Label Studio waits 3 s.
const SETUP: Duration = Duration::from_secs(2);

/// The known projects.
pub struct Projects {
    source: Source,
    /// By number, the most recently used last.
    all: Mutex<Vec<(String, Project)>>,
}

impl Projects {
    pub fn new(options: Option<LabelStudio>, most: usize) -> Projects {
        Projects { source: Source::new(options, most), all: Mutex::default() }
    }

    /// Drops banks of the least recently used projects until all hold at most `most` examples.
    fn trim(&self, most: usize) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let mut shots: usize = all.iter().map(|(_, project)| project.shots()).sum();
        let others = all.len().saturating_sub(1);
        for (_, project) in all.iter_mut().take(others) {
            if shots > most {
                shots -= project.shots();
                project.banks.clear();
            }
        }
    }

    /// Runs `act` on a project, which is created if needed.
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
    /// Token for its pictures and annotations.
    access_token: Option<String>,
}

/// The version of a project's model.
#[derive(Serialize, ToSchema)]
pub struct Version {
    /// Changes with the annotations.
    model_version: String,
}

/// A task to predict. Other fields are ignored.
#[derive(Deserialize, ToSchema)]
#[schema(as = StudioTask)]
pub struct Searched {
    #[serde(default)]
    data: Value,
}

/// A request for predictions.
#[derive(Deserialize, ToSchema)]
#[schema(as = StudioTasks)]
pub struct Asked {
    #[schema(min_items = 1, max_items = 1000)]
    tasks: Vec<Searched>,
    /// Its number: 7, "7" or "7.1700000000".
    project: Value,
    /// The labeling configuration, XML.
    label_config: String,
    params: Option<Params>,
}

#[derive(Deserialize, ToSchema)]
pub struct Params {
    context: Option<Context>,
}

/// A user's marks, drawn with a smart tool.
#[derive(Deserialize, ToSchema)]
pub struct Context {
    /// Regions.
    #[serde(default)]
    result: Value,
}

/// Predictions.
#[derive(Serialize, ToSchema)]
pub struct Predictions {
    /// One for each task; an empty list if its picture could not be fetched.
    #[schema(value_type = Vec<Value>)]
    results: Vec<Box<RawValue>>,
    model_version: String,
}

/// A webhook's event.
#[derive(Deserialize, ToSchema)]
#[schema(as = StudioEvent)]
pub struct Event {
    /// For example `ANNOTATION_CREATED`.
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

/// The answer to an event.
#[derive(Serialize, ToSchema)]
pub struct Heard {
    /// `ok`
    result: &'static str,
}

/// The digits of a project's number, which comes as 7, "7", "7.1700000000", or in an object.
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

/// Checks a project's labeling configuration and returns the model's version (Label Studio).
#[utoipa::path(post, path = "/setup", request_body = Setup, responses(
    (status = 200, description = "The configuration is supported", body = Version), (status = "default", response = Refused)))]
pub async fn setup(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    let upload = body::read(&app, &headers, body).await?;
    let read = app.blocking(move || {
        let Setup { project, schema, access_token } = parse(&upload.bytes)?;
        let id = number(&project)?;
        Config::new(&schema)?;
        Ok((id, access_token))
    });
    let (id, token) = read.await?;
    if let Some(token) = token.filter(|token| token.bytes().all(|byte| byte.is_ascii_graphic())) {
        app.projects.with(&id, |project| project.token = (!token.is_empty()).then_some(token));
    }
    // Label Studio does not request tasks with a prediction of this version again, so the version must include new annotations.
    let _ = timeout(SETUP, reading::all(&app, &id)).await;
    let model_version = app.projects.with(&id, |project| project.version());
    Ok(json(StatusCode::OK, text(&Version { model_version })?))
}

/// Receives changes of a project's annotations (Label Studio).
#[utoipa::path(post, path = "/webhook", request_body = Event, responses(
    (status = 201, description = "The event was received", body = Heard), (status = "default", response = Refused)))]
pub async fn webhook(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    let upload = body::read(&app, &headers, body).await?;
    let hearing = app.clone();
    let heard = app.blocking(move || {
        let event: Event = parse(&upload.bytes)?;
        hearing.projects.handle_event(&event)
    });
    heard.await?;
    Ok(json(StatusCode::CREATED, text(&Heard { result: "ok" })?))
}

impl Projects {
    fn handle_event(&self, event: &Event) -> Result<(), Problem> {
        let all = || event.annotation.iter().chain(&event.annotations);
        match event.action.as_str() {
            "ANNOTATION_CREATED" | "ANNOTATION_UPDATED" | "ANNOTATIONS_CREATED" => {
                let id = number(&event.project)?;
                match &event.task {
                    Some(task) => {
                        let fields = fields(&task.data);
                        let made: Vec<_> = all().map(|sent| (sent.id, Annotation::new(sent, &fields))).collect();
                        let take = |project: &mut Project| made.into_iter().for_each(|(id, one)| project.take(id, one));
                        self.with(&id, take);
                    }
                    // Events of several tasks hold only their numbers.
                    None => self.with(&id, Project::reset),
                }
            }
            "ANNOTATION_DELETED" | "ANNOTATIONS_DELETED" => {
                self.with(&number(&event.project)?, |project| all().for_each(|sent| project.remove(sent.id)));
            }
            "START_TRAINING" => self.with(&number(&event.project)?, Project::reset),
            // Events of tasks and projects are ignored.
            _ => {}
        }
        Ok(())
    }
}

/// Predicts tasks from their project's annotations; with a context, makes a mask from its marks (Label Studio).
#[utoipa::path(post, path = "/predict", request_body = Asked, responses(
    (status = 200, description = "The predictions", body = Predictions),
    (status = 503, response = Busy), (status = "default", response = Refused)))]
pub async fn predict(
    State(app): State<Arc<App>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    // Counts toward all uploads until the end.
    let upload = body::read(&app, &headers, body).await?;
    let read = app.blocking(move || {
        let asked: Asked = parse(&upload.bytes)?;
        let config = Config::new(&asked.label_config)?;
        let id = number(&asked.project)?;
        Ok((asked, config, id, upload))
    });
    let (Asked { tasks, params, .. }, config, id, _upload) = read.await?;
    if tasks.is_empty() || tasks.len() > MOST_TASKS {
        return Err(Problem::bad(format!("there are {} tasks; send 1 to {MOST_TASKS}", tasks.len())));
    }
    let run = Run::new(app.clone(), client, id, config);
    let marks = params.and_then(|params| params.context).map(|context| context.result);
    let (results, model_version) = match marks.filter(|marks| marks.as_array().is_some_and(|all| !all.is_empty())) {
        Some(marks) => (vec![run.marked(&tasks[0], marks).await?], run.version()),
        None => run.found(&tasks).await?,
    };
    let written = app.blocking(move || text(&Predictions { results, model_version }));
    Ok(json(StatusCode::OK, written.await?))
}

/// Serializes a value.
fn raw(value: &impl Serialize) -> Result<Box<RawValue>, Problem> {
    serde_json::value::to_raw_value(value).map_err(|error| Problem::internal(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
