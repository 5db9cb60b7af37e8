//! The API of this program itself: banks made of examples, and segmentation with all that is known of it.

use super::answer::{self, Query, Wanted, json};
use super::app::App;
use super::banks::Held;
use super::body;
use super::entered::Entered;
use super::events::{self, Done};
use super::pictures::{self, Shown};
use super::problem::Problem;
use super::worker::on_device;
use crate::image_io::BoundingBox;
use crate::segment::{Example, Progress, Segmentation, Segmenter};
use crate::settings::{MaskRule, Threshold};
use crate::shown;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Examples of one request.
const MOST_EXAMPLES: usize = 64;
/// Bytes of a bank's name.
const MOST_NAME: usize = 200;

/// `POST /v1/banks`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewBank<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    examples: Vec<Shown<'a>>,
}

/// `POST /v1/segment`
#[derive(Deserialize)]
struct Asked<'a> {
    /// A bank or a model; or else `examples`.
    #[serde(borrow)]
    bank: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    examples: Vec<Shown<'a>>,
    #[serde(borrow)]
    image: Cow<'a, str>,
    /// Whether the map before the threshold is wanted, too.
    #[serde(default)]
    map: bool,
    /// Whether the outlines of objects are wanted, too.
    #[serde(default)]
    polygons: bool,
    #[serde(flatten)]
    wanted: Wanted,
}

/// What a query is asked for.
enum By {
    Bank(Arc<Held>),
    Examples(Vec<Example>),
}

/// A segmentation, checked and read.
struct Task {
    by: By,
    query: Query,
    asked: Told,
}

/// What a client wants to be told.
struct Told {
    wanted: Wanted,
    rule: MaskRule,
    map: bool,
    polygons: bool,
    warnings: Vec<String>,
}

/// JSON of a request.
pub fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|_| Problem::bad("the request's body is not UTF-8"))?;
    let told = |error: serde_json::Error| {
        Problem::bad(format!("the request's JSON is not as it should be: {}", shown::text(&error.to_string())))
    };
    serde_json::from_str(text).map_err(told)
}

/// `GET /health`: that it answers, and with what.
pub async fn health(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    if app.is_over() {
        return Err(Problem::busy("the server is ending", 1));
    }
    let text = json!({
        "status": "healthy", "version": env!("CARGO_PKG_VERSION"), "queue": app.queue.len(), "loaded_models": app.banks.models().count(),
    });
    Ok(json(StatusCode::OK, text.to_string()))
}

/// `GET /metrics`
pub async fn metrics(State(app): State<Arc<App>>) -> Response {
    let mut response = app.told().into_response();
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// `GET /v1/banks`
pub async fn banks(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    Ok(json(StatusCode::OK, answer::text(&json!({"banks": app.banks.all()}))?))
}

/// `DELETE /v1/banks/{id}`
pub async fn remove(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    match app.banks.remove(&id) {
        true => Ok(StatusCode::NO_CONTENT),
        false if app.banks.model(&id).is_some() => {
            Err(Problem::new(StatusCode::FORBIDDEN, "this bank is of a file, and stays"))
        }
        false => Err(unknown(&id)),
    }
}

fn unknown(id: &str) -> Problem {
    let id = shown::text(id);
    let detail = format!("there is no bank {id}; it may have made room for others: POST /v1/banks makes it again");
    Problem::new(StatusCode::NOT_FOUND, detail)
}

/// `POST /v1/banks`
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
        let internal = |error: serde_json::Error| Problem::internal(error.to_string());
        let mut about = serde_json::to_value(held.about(false)).map_err(internal)?;
        about["warnings"] = json!(warnings);
        let location = Some(format!("/v1/banks/{}", held.id));
        Ok(Done { status: StatusCode::CREATED, text: about.to_string(), location })
    };
    events::answer(events, encode).await
}

/// Reads examples, one after the other, as long as their client is there.
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
        // As the network sees them: pictures in full size would wait in the queue.
        let small =
            Example::new(app.framing.picture(example.image(), app.size), app.framing.mask(example.mask(), app.size));
        all.push(small.map_err(|error| Problem::from(&error))?);
        warnings.extend(told);
    }
    Ok((all, warnings))
}

/// `POST /v1/segment`
pub async fn segment(State(app): State<Arc<App>>, entered: Entered) -> Result<Response, Problem> {
    let Entered { upload, ticket, events } = entered;
    let (reading, gone) = (app.clone(), ticket.gone());
    let task = app.blocking(move || Task::read(&reading, &upload.bytes, &gone)).await?;
    let compute = async move |steps| {
        let Task { by, query: Query { small, size }, asked } = task;
        let compute = move |segmenter: &Segmenter, progress: Progress| match by {
            By::Bank(held) => segmenter.segment_with(&held.bank, &small, progress),
            By::Examples(examples) => {
                let bank = segmenter.encode_with(&examples, progress)?;
                segmenter.segment_with(&bank, &small, progress)
            }
        };
        let found = on_device(&app, &ticket, steps, compute).await?;
        let writing = app.clone();
        Ok(Done::ok(app.blocking(move || asked.told(&writing, found, size)).await?))
    };
    events::answer(events, compute).await
}

impl Told {
    /// What was found in a query of `size`, as JSON.
    fn told(&self, app: &App, found: Segmentation, size: (u32, u32)) -> Result<String, Problem> {
        let seconds: f64 = found.times().iter().map(|(_, seconds)| seconds).sum();
        let precision = found.precision().name();
        let found = self.wanted.found(app, found.into_map(), size, self.rule)?;
        let mut objects: Vec<Value> = found
            .objects
            .iter()
            .map(|object| json!({"area": object.area, "box": corners(object.bounding_box), "score": object.score}))
            .collect();
        if self.polygons {
            for outline in self.wanted.outlines(&found.objects)? {
                let Some(object) = objects.get_mut(outline.object) else { continue };
                match &mut object["polygons"] {
                    Value::Array(all) => all.push(json!(outline.points)),
                    other => *other = json!([outline.points]),
                }
            }
        }
        let map = self.map.then(|| {
            let map = found.map.map_at(size.0, size.1);
            let levels: Vec<u8> = map.iter().map(|v| (v.clamp(0.0, 1.0) * 255.0 + 0.5) as u8).collect();
            pictures::grey_png(&levels, size)
        });
        let threshold = match self.rule.threshold {
            Threshold::Relative(value) => json!({"relative": value}),
            Threshold::Absolute(value) => json!({"absolute": value}),
        };
        answer::text(&json!({
            "width": size.0,
            "height": size.1,
            "found": found.mask.bounding_box().is_some(),
            "score": found.score,
            "box": found.mask.bounding_box().map(corners),
            "foreground_fraction": found.mask.foreground_fraction(),
            "objects": objects,
            "mask": pictures::mask_png(&found.mask)?,
            "map": map.transpose()?,
            "peak": found.map.peak(),
            "threshold": threshold,
            "min_score": self.rule.min_score,
            "precision": precision,
            "seconds": seconds,
            "warnings": self.warnings,
        }))
    }
}

/// `POST /v1/masks`: the mask that marks make, before an example is made of it.
pub async fn mask(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    let upload = body::read(&app, &headers, body).await?;
    let text = app.blocking(move || {
        let mask = parse::<Shown>(&upload.bytes)?.mask_of_marks()?;
        let (width, height) = mask.size();
        answer::text(&json!({"width": width, "height": height, "mask": pictures::mask_png(&mask)?}))
    });
    Ok(json(StatusCode::OK, text.await?))
}

/// Left, top, right, bottom.
fn corners(b: BoundingBox) -> [u32; 4] {
    [b.x, b.y, b.x + b.width, b.y + b.height]
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
        Ok(Task { by, query, asked: Told { wanted, rule, map, polygons, warnings } })
    }
}
