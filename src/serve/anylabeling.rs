//! The protocol of X-AnyLabeling-Server: each bank of a file is one of its models.

use super::answer::{self, Query, Wanted, json};
use super::app::App;
use super::banks::Held;
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
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::sync::Arc;

/// A prediction as it is asked for. Clients send more in `params` than we know.
#[derive(Deserialize)]
struct Asked<'a> {
    #[serde(borrow)]
    model: Cow<'a, str>,
    #[serde(borrow)]
    image: Cow<'a, str>,
    params: Option<Wanted>,
}

/// The same, checked and read.
struct Task {
    held: Arc<Held>,
    query: Query,
    wanted: Wanted,
    rule: MaskRule,
}

/// `GET /v1/models`: an object of all models by their names.
pub async fn models(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let data: Map<String, Value> = app.banks.models().map(|held| (held.id.clone(), about(&app, held))).collect();
    Ok(json(StatusCode::OK, json!({"success": true, "data": data}).to_string()))
}

/// `GET /v1/models/{id}/info`
pub async fn info(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Response, Problem> {
    let held = app.banks.model(&id).ok_or_else(|| unknown(&id))?;
    Ok(json(StatusCode::OK, json!({"success": true, "data": about(&app, &held)}).to_string()))
}

/// The client shows these of its controls, with these values, and hides all others; without `button_run` nobody could ask.
fn widgets(app: &App) -> Value {
    json!([
        {"name": "button_run"},
        {"name": "input_conf"},
        {"name": "edit_conf", "value": app.rule.min_score},
        {"name": "toggle_preserve_existing_annotations", "value": false},
        {"name": "mask_fineness_slider"},
        {"name": "mask_fineness_value_label"},
    ])
}

fn about(app: &App, held: &Held) -> Value {
    json!({
        "model_id": held.id,
        "display_name": held.label,
        "batch_processing_mode": "default",
        "widgets": widgets(app),
        "params": {},
        "examples": held.bank.shots(),
        "network": app.model,
    })
}

fn unknown(id: &str) -> Problem {
    let detail = format!("there is no model {}; GET /v1/models lists them", shown::text(id));
    Problem::new(StatusCode::NOT_FOUND, detail)
}

/// `POST /v1/predict`
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
            let found = wanted.found(&writing, map, size, rule)?;
            let shape = |outline: answer::Outline| {
                json!({
                    "label": held.label,
                    "shape_type": "polygon",
                    "points": outline.points,
                    "score": found.objects.get(outline.object).and_then(|object| object.score),
                    "group_id": outline.is_part.then_some(outline.object + 1),
                })
            };
            let shapes: Vec<Value> = wanted.outlines(&found.objects)?.into_iter().map(shape).collect();
            // Whether what was there before stays is its user's affair.
            answer::text(&json!({"success": true, "data": {"shapes": shapes, "description": "", "replace": null}}))
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
