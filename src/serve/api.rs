//! This program's own API: banks from examples, and segmentation with all results.

use super::answer::{self, Query, Wanted, json};
use super::app::App;
use super::banks::{About, Held};
use super::body;
use super::describe::{Busy, Events, Refused};
use super::entered::Entered;
use super::events::{self, Done};
use super::pictures::{self, Shown};
use super::problem::Problem;
use super::result::{ResultOptions, SegmentResult};
use super::worker::on_device;
use crate::segment::{Example, Progress, Segmenter};
use crate::shown;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use utoipa::ToSchema;

/// Most examples in a request.
const MOST_EXAMPLES: usize = 64;
/// Longest name of a bank, in bytes.
const MOST_NAME: usize = 200;

/// The server's state.
#[derive(Serialize, ToSchema)]
pub struct Health {
    /// `healthy`
    status: &'static str,
    version: &'static str,
    /// Requests in the queue.
    queue: usize,
    /// Banks loaded from files.
    loaded_models: usize,
}

/// All banks.
#[derive(Serialize, ToSchema)]
pub struct AllBanks {
    banks: Vec<About>,
}

/// The examples to encode.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewBank<'a> {
    /// Label of the examples; `thing` by default.
    #[serde(borrow)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 200)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    #[schema(min_items = 1, max_items = 64)]
    examples: Vec<Shown<'a>>,
}

/// A new bank.
#[derive(Serialize, ToSchema)]
pub struct MadeBank {
    #[serde(flatten)]
    about: About,
    /// Warnings about its masks.
    warnings: Vec<String>,
}

/// The mask made from marks.
#[derive(Serialize, ToSchema)]
pub struct MadeMask {
    width: u32,
    height: u32,
    /// PNG in base64, 255 for foreground.
    mask: String,
}

/// A picture to segment, and the bank or examples to use.
#[derive(Deserialize, ToSchema)]
pub struct Asked<'a> {
    /// A bank or a model; alternative to `examples`.
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    bank: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    #[schema(max_items = 64)]
    examples: Vec<Shown<'a>>,
    /// A picture's file in base64, which may be a data URL.
    #[serde(borrow)]
    #[schema(value_type = String, min_length = 1)]
    image: Cow<'a, str>,
    /// Whether to return the map before the threshold, too.
    #[serde(default)]
    map: bool,
    /// Whether to return outlines of objects, too.
    #[serde(default)]
    polygons: bool,
    #[serde(flatten)]
    wanted: Wanted,
}

/// A query, and what the client wants of it.
enum By {
    Bank(Arc<Held>),
    Examples(Vec<Example>),
}

/// A checked and decoded request.
struct Task {
    by: By,
    query: Query,
    options: ResultOptions,
}

/// Parses a request's JSON.
pub fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|_| Problem::bad("the request's body is not UTF-8"))?;
    let told = |error: serde_json::Error| {
        Problem::bad(format!("the request's JSON is invalid: {}", shown::text(&error.to_string())))
    };
    serde_json::from_str(text).map_err(told)
}

/// Reports that the server is running.
#[utoipa::path(get, path = "/health", security(()), responses(
    (status = 200, description = "It is running", body = Health), (status = "default", response = Refused)))]
pub async fn health(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    if app.is_over() {
        return Err(Problem::busy("the server is ending", 1));
    }
    let health = Health {
        status: "healthy",
        version: env!("CARGO_PKG_VERSION"),
        queue: app.queue.len(),
        loaded_models: app.banks.models().count(),
    };
    Ok(json(StatusCode::OK, answer::text(&health)?))
}

/// Metrics for Prometheus.
#[utoipa::path(get, path = "/metrics", responses(
    (status = 200, description = "Metrics in Prometheus' text format", body = String), (status = "default", response = Refused)))]
pub async fn metrics(State(app): State<Arc<App>>) -> Response {
    let mut response = app.metrics_text().into_response();
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// Lists all banks: loaded from files, or made by requests.
#[utoipa::path(get, path = "/v1/banks", responses(
    (status = 200, description = "The banks", body = AllBanks), (status = "default", response = Refused)))]
pub async fn banks(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    Ok(json(StatusCode::OK, answer::text(&AllBanks { banks: app.banks.all() })?))
}

/// Drops a bank that a request made.
#[utoipa::path(delete, path = "/v1/banks/{id}", params(("id" = String, Path, description = "The bank")), responses(
    (status = 204, description = "The bank was deleted"), (status = "default", response = Refused)))]
pub async fn remove(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    match app.banks.remove(&id) {
        true => Ok(StatusCode::NO_CONTENT),
        false if app.banks.model(&id).is_some() => {
            Err(Problem::new(StatusCode::FORBIDDEN, "this bank was loaded from a file and cannot be deleted"))
        }
        false => Err(unknown(&id)),
    }
}

fn unknown(id: &str) -> Problem {
    let id = shown::text(id);
    let detail =
        format!("there is no bank {id}; it may have been dropped to make room: create it again with POST /v1/banks");
    Problem::new(StatusCode::NOT_FOUND, detail)
}

/// Encodes examples once for any number of queries. The least recently used banks make room for new ones.
#[utoipa::path(post, path = "/v1/banks", request_body = NewBank, responses(
    (status = 201, description = "The bank", body = MadeBank, headers(("Location" = String))),
    (status = 200, response = Events), (status = 503, response = Busy), (status = "default", response = Refused)))]
pub async fn make(State(app): State<Arc<App>>, entered: Entered) -> Result<Response, Problem> {
    let Entered { upload, ticket, events } = entered;
    let (reading, gone) = (app.clone(), ticket.gone());
    let read = app.blocking(move || {
        let NewBank { name, examples } = parse(&upload.bytes)?;
        let name = name.map_or_else(|| "thing".to_owned(), |name| name.trim().to_owned());
        if name.is_empty() || name.len() > MOST_NAME || name.chars().any(char::is_control) {
            return Err(Problem::bad(format!("the bank's name must have 1 to {MOST_NAME} bytes in one line")));
        }
        Ok((name, read_examples(&reading, &examples, &gone)?))
    });
    let (name, (examples, warnings)) = read.await?;
    let encode = async move |steps| {
        let encode = move |segmenter: &Segmenter, progress: Progress| segmenter.encode_with(&examples, progress);
        let held = app.banks.keep(name, on_device(&app, &ticket, steps, encode).await?);
        let made = MadeBank { about: held.about(false), warnings };
        let location = Some(format!("/v1/banks/{}", held.id));
        Ok(Done { status: StatusCode::CREATED, text: answer::text(&made)?, location })
    };
    events::answer(events, encode).await
}

/// Decodes examples one by one; stops if the client has gone.
fn read_examples(app: &App, examples: &[Shown], gone: &AtomicBool) -> Result<(Vec<Example>, Vec<String>), Problem> {
    if examples.is_empty() {
        return Err(Problem::bad("there is no example; give a picture with its mask or marks"));
    }
    if examples.len() > MOST_EXAMPLES {
        let detail = format!("{} examples are too many for one request: at most {MOST_EXAMPLES}", examples.len());
        return Err(Problem::bad(detail));
    }
    app.banks.check(examples.len())?;
    let (mut all, mut warnings) = (Vec::new(), Vec::new());
    for (number, shown) in examples.iter().enumerate() {
        if gone.load(Ordering::SeqCst) {
            return Err(Problem::bad("the client has gone"));
        }
        let (example, told) = shown.example(number)?;
        // Scale them down now, so that no pictures of full size wait in the queue.
        let small =
            Example::new(app.framing.picture(example.image(), app.size), app.framing.mask(&example.mask(), app.size));
        all.push(small.map_err(|error| Problem::from(&error))?);
        warnings.extend(told);
    }
    Ok((all, warnings))
}

/// Segments a picture by a bank or by examples.
#[utoipa::path(post, path = "/v1/segment", request_body = Asked, responses(
    (status = 200, description = "The result; with Accept: text/event-stream, progress first",
        content((SegmentResult = "application/json"), (String = "text/event-stream"))),
    (status = 503, response = Busy), (status = "default", response = Refused)))]
pub async fn segment(State(app): State<Arc<App>>, entered: Entered) -> Result<Response, Problem> {
    let Entered { upload, ticket, events } = entered;
    let (reading, gone) = (app.clone(), ticket.gone());
    let task = app.blocking(move || Task::read(&reading, &upload.bytes, &gone)).await?;
    let compute = async move |steps| {
        let Task { by, query: Query { small, size }, options } = task;
        let compute = move |segmenter: &Segmenter, progress: Progress| match by {
            By::Bank(held) => segmenter.segment_with(&held.bank, &small, progress),
            By::Examples(examples) => {
                let bank = segmenter.encode_with(&examples, progress)?;
                segmenter.segment_with(&bank, &small, progress)
            }
        };
        let found = on_device(&app, &ticket, steps, compute).await?;
        let writing = app.clone();
        Ok(Done::ok(app.blocking(move || options.json(&writing, found, size)).await?))
    };
    events::answer(events, compute).await
}

/// Makes a mask from boxes and strokes, as a preview of an example.
#[utoipa::path(post, path = "/v1/masks", request_body = Shown, responses(
    (status = 200, description = "The mask, of the picture's size", body = MadeMask),
    (status = 503, response = Busy), (status = "default", response = Refused)))]
pub async fn mask(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    let upload = body::read(&app, &headers, body).await?;
    let text = app.blocking(move || {
        let mask = parse::<Shown>(&upload.bytes)?.mask_of_marks()?;
        let (width, height) = mask.size();
        answer::text(&MadeMask { width, height, mask: pictures::mask_png(&mask)? })
    });
    Ok(json(StatusCode::OK, text.await?))
}

impl Task {
    fn read(app: &App, bytes: &[u8], gone: &AtomicBool) -> Result<Task, Problem> {
        let Asked { bank, examples, image, map, polygons, wanted } = parse(bytes)?;
        let rule = wanted.rule(app.rule)?;
        let (by, warnings) = match bank {
            Some(_) if !examples.is_empty() => {
                return Err(Problem::bad("bank and examples exclude each other"));
            }
            Some(id) => (By::Bank(app.banks.get(&id).ok_or_else(|| unknown(&id))?), Vec::new()),
            None => {
                let (examples, warnings) = read_examples(app, &examples, gone)?;
                (By::Examples(examples), warnings)
            }
        };
        let query = Query::new(app, &pictures::picture("image", &image)?.rgb);
        Ok(Task { by, query, options: ResultOptions { wanted, rule, map, polygons, warnings } })
    }
}
