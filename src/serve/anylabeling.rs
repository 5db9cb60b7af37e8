//! The protocol of X-AnyLabeling-Server: each bank loaded from a file is a model.

use super::answer::{self, Query, Wanted, json};
use super::app::App;
use super::banks::Held;
use super::describe::{Busy, Refused};
use super::entered::Entered;
use super::events::{self, Done};
use super::pictures;
use super::problem::Problem;
use super::worker::on_device;
use crate::segment::Segmentation;
use crate::settings::MaskRule;
use crate::shown;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

/// A request for a prediction. Clients send further `params`, which are ignored.
#[derive(Deserialize, ToSchema)]
#[schema(as = Prediction)]
pub struct Asked<'a> {
    #[serde(borrow)]
    #[schema(value_type = String)]
    model: Cow<'a, str>,
    /// A picture's file in base64, which may be a data URL.
    #[serde(borrow)]
    #[schema(value_type = String, min_length = 1)]
    image: Cow<'a, str>,
    params: Option<Wanted>,
}

/// An answer in this protocol.
#[derive(Serialize, ToSchema)]
pub struct Success<T> {
    /// Always true.
    success: bool,
    data: T,
}

/// A bank as a model.
#[derive(Serialize, ToSchema)]
pub struct Model {
    model_id: String,
    display_name: String,
    /// `default`: the client may run whole folders.
    batch_processing_mode: &'static str,
    /// Controls that the client shows, and their values.
    widgets: Vec<Widget>,
    examples: usize,
    /// Name of the network.
    network: String,
}

#[derive(Serialize, ToSchema)]
pub struct Widget {
    name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Setting>,
}

#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum Setting {
    Number(f64),
    Switch(bool),
}

/// The prediction.
#[derive(Serialize, ToSchema)]
pub struct Shapes {
    shapes: Vec<Shape>,
    description: &'static str,
    /// Whether to replace existing shapes: null, so that the client decides.
    replace: Option<bool>,
}

#[derive(Serialize, ToSchema)]
pub struct Shape {
    label: String,
    /// `polygon`
    shape_type: &'static str,
    /// x and y in pixels.
    points: Vec<[u32; 2]>,
    score: Option<f32>,
    /// Equal for all parts of an object.
    group_id: Option<usize>,
}

/// A checked and decoded request.
struct Task {
    held: Arc<Held>,
    query: Query,
    wanted: Wanted,
    rule: MaskRule,
}

/// Lists the models for annotation tools by name: banks loaded from files.
#[utoipa::path(get, path = "/v1/models", responses(
    (status = 200, description = "The models", body = Success<BTreeMap<String, Model>>),
    (status = "default", response = Refused)))]
pub async fn models(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let data: BTreeMap<String, Model> = app.banks.models().map(|held| (held.id.clone(), about(&app, held))).collect();
    Ok(json(StatusCode::OK, answer::text(&Success { success: true, data })?))
}

/// Describes a model.
#[utoipa::path(get, path = "/v1/models/{id}/info", params(("id" = String, Path, description = "The model")), responses(
    (status = 200, description = "The model", body = Success<Model>), (status = "default", response = Refused)))]
pub async fn info(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Response, Problem> {
    let held = app.banks.model(&id).ok_or_else(|| unknown(&id))?;
    Ok(json(StatusCode::OK, answer::text(&Success { success: true, data: about(&app, &held) })?))
}

/// The controls that the client shows, with their values; it hides all others. `button_run` sends the request.
fn widgets(app: &App) -> Vec<Widget> {
    let shown = |name| Widget { name, value: None };
    vec![
        shown("button_run"),
        shown("input_conf"),
        Widget { name: "edit_conf", value: Some(Setting::Number(app.rule.min_score)) },
        Widget { name: "toggle_preserve_existing_annotations", value: Some(Setting::Switch(false)) },
        shown("mask_fineness_slider"),
        shown("mask_fineness_value_label"),
    ]
}

fn about(app: &App, held: &Held) -> Model {
    Model {
        model_id: held.id.clone(),
        display_name: held.label.clone(),
        batch_processing_mode: "default",
        widgets: widgets(app),
        examples: held.bank.shots(),
        network: app.model.clone(),
    }
}

fn unknown(id: &str) -> Problem {
    let detail = format!("there is no model {}; GET /v1/models lists them", shown::text(id));
    Problem::new(StatusCode::NOT_FOUND, detail)
}

/// Segments a picture by a model and returns polygons.
#[utoipa::path(post, path = "/v1/predict", request_body = Asked, responses(
    (status = 200, description = "The result; with Accept: text/event-stream, progress first",
        content((Success<Shapes> = "application/json"), (String = "text/event-stream"))),
    (status = 503, response = Busy), (status = "default", response = Refused)))]
pub async fn predict(State(app): State<Arc<App>>, entered: Entered) -> Result<Response, Problem> {
    let Entered { upload, ticket, events } = entered;
    let reading = app.clone();
    let task = app.blocking(move || Task::read(&reading, &upload.bytes)).await?;
    let Task { held, query: Query { small, size }, wanted, rule } = task;
    let compute = async move |steps| {
        let bank = held.clone();
        let segment = move |segmenter: &crate::Segmenter, progress: crate::segment::Progress| {
            segmenter.segment_with(&bank.bank, &small, progress).map(Segmentation::into_map)
        };
        let map = on_device(&app, &ticket, steps, segment).await?;
        let writing = app.clone();
        let text = app.blocking(move || {
            let found = wanted.predict(&writing, map, size, rule)?;
            let shape = |outline: answer::Outline| Shape {
                label: held.label.clone(),
                shape_type: "polygon",
                points: outline.points,
                score: found.objects.get(outline.object).and_then(|object| object.score),
                group_id: outline.is_part.then_some(outline.object + 1),
            };
            let shapes = wanted.outlines(&found.objects)?.into_iter().map(shape).collect();
            // The client's user decides whether existing shapes stay.
            answer::text(&Success { success: true, data: Shapes { shapes, description: "", replace: None } })
        });
        Ok(Done::ok(text.await?))
    };
    events::answer(events, compute).await
}

impl Task {
    fn read(app: &App, bytes: &[u8]) -> Result<Task, Problem> {
        let Asked { model, image, params } = super::api::parse(bytes)?;
        let held = app.banks.model(&model).ok_or_else(|| unknown(&model))?;
        let wanted = params.unwrap_or_default();
        let rule = wanted.rule(app.rule)?;
        let query = Query::new(app, &pictures::picture("image", &image)?.rgb);
        Ok(Task { held, query, wanted, rule })
    }
}
