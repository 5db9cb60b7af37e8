//! Answers: plain, or with progress as server-sent events.

use super::answer::json;
use super::problem::Problem;
use crate::segment::Stage;
use axum::body::{Body, Bytes};
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use serde_json::json;
use std::convert::Infallible;
use std::fmt::Display;
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

/// Shortest time between two progress events. Steps between them are skipped, so slow clients do not lag.
const PACE: Duration = Duration::from_millis(100);
/// Time without a step after which a comment is sent, because proxies close silent connections.
const SILENCE: Duration = Duration::from_secs(10);

const EVENTS: &str = "text/event-stream";

/// The progress of a request: its stage, and how much of it is done.
pub struct Steps(watch::Sender<(Option<Stage>, f64)>);

impl Steps {
    /// Progress of waiting work.
    pub fn new() -> Steps {
        Steps(watch::Sender::new((None, 0.0)))
    }

    pub fn at(&self, stage: Stage, done: f64) {
        self.0.send_replace((Some(stage), done));
    }
}

/// A successful answer.
pub struct Done {
    pub status: StatusCode,
    /// JSON on one line.
    pub text: String,
    /// Address of the new resource.
    pub location: Option<String>,
}

impl Done {
    pub fn ok(text: String) -> Done {
        Done { status: StatusCode::OK, text, location: None }
    }
}

/// Whether a client accepts events.
pub fn wanted(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).any(|value| value.contains(EVENTS))
}

/// The answer of `work`; with `events`, its progress comes first and a problem is an event.
pub async fn answer<F>(events: bool, work: impl FnOnce(Steps) -> F) -> Result<Response, Problem>
where
    F: Future<Output = Result<Done, Problem>> + Send + 'static,
{
    let steps = Steps::new();
    if events {
        let told = steps.0.subscribe();
        return Ok(stream(told, work(steps)));
    }
    let Done { status, text, location } = work(steps).await?;
    let mut response = json(status, text);
    if let Some(Ok(place)) = location.map(HeaderValue::try_from) {
        response.headers_mut().insert(LOCATION, place);
    }
    Ok(response)
}

/// State of a stream of events.
struct State<F> {
    told: watch::Receiver<(Option<Stage>, f64)>,
    /// `None` once the end was sent.
    work: Option<Pin<Box<F>>>,
    first: bool,
}

/// Events of `work`, which is dropped if the client leaves.
fn stream<F>(told: watch::Receiver<(Option<Stage>, f64)>, work: F) -> Response
where
    F: Future<Output = Result<Done, Problem>> + Send + 'static,
{
    let state = State { told, work: Some(Box::pin(work)), first: true };
    let events = unfold(state, async |mut state| {
        let text = state.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(text)), state))
    });
    let mut response = Body::from_stream(events).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(EVENTS));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx would buffer the events.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

impl<F: Future<Output = Result<Done, Problem>>> State<F> {
    async fn next(&mut self) -> Option<String> {
        let mut work = self.work.take()?;
        // The first event is sent at once, later ones after a pause that merges steps.
        let pause = if std::mem::take(&mut self.first) { Duration::ZERO } else { PACE };
        let told = &mut self.told;
        let step = async {
            sleep(pause).await;
            match pause.is_zero() {
                true => true,
                false => told.changed().await.is_ok(),
            }
        };
        let text = tokio::select! {
            biased;
            done = work.as_mut() => return Some(last(done)),
            true = step => {
                let (stage, done) = *self.told.borrow_and_update();
                let stage = stage.map_or_else(|| "wait".to_owned(), |stage| stage.to_string());
                event("step", json!({"stage": stage, "done": done}))
            }
            () = sleep(SILENCE) => ":\n\n".to_owned(),
        };
        self.work = Some(work);
        Some(text)
    }
}

fn last(done: Result<Done, Problem>) -> String {
    match done {
        Ok(Done { text, .. }) => event("done", text),
        Err(problem) => event("problem", problem.json()),
    }
}

/// One event; JSON has no line breaks outside of its strings, and those are escaped.
fn event(name: &str, data: impl Display) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}
