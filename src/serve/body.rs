//! Bodies of requests, bounded in size, in time, and all together.

use super::app::App;
use super::problem::Problem;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::header::{CONTENT_LENGTH, EXPECT};
use axum::http::{HeaderMap, StatusCode};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// A client may be silent so long.
const SILENCE: Duration = Duration::from_secs(15);
/// A whole body may take so long.
const WHOLE: Duration = Duration::from_secs(300);
/// What is too large is read and dropped so long: a client that still writes would not see the answer.
const LINGER: Duration = Duration::from_secs(2);
/// Bodies of so many times the largest one may be in memory together, beside one for each place in the queue.
const MORE: usize = 4;

/// A body in memory.
pub struct Upload {
    pub bytes: Vec<u8>,
    _counted: Counted,
}

/// Bytes that count among all uploads.
struct Counted {
    all: Arc<AtomicUsize>,
    own: usize,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.all.fetch_sub(self.own, Ordering::Relaxed);
    }
}

/// The body of a request.
///
/// # Errors
/// A body that is too large, too slow, or cut off, and too many of them at once.
pub async fn read(app: &App, headers: &HeaderMap, mut body: Body) -> Result<Upload, Problem> {
    let most = app.options.max_upload;
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > most as u64) {
        // Who asks first has sent nothing yet.
        if !headers.contains_key(EXPECT) {
            linger(&mut body).await;
        }
        return Err(too_large(most));
    }
    let mut counted = Counted { all: app.uploads.clone(), own: 0 };
    let all = most.saturating_mul(app.options.queue.saturating_add(MORE));
    let mut bytes = Vec::new();
    let end = Instant::now() + WHOLE;
    loop {
        let next = timeout_at(end.min(Instant::now() + SILENCE), frame(&mut body)).await;
        let slow = |_| Problem::new(StatusCode::REQUEST_TIMEOUT, "the request's body comes too slowly");
        let data = match next.map_err(slow)? {
            None => break,
            Some(Ok(data)) => data,
            Some(Err(())) => return Err(Problem::bad("the request's body is cut off or malformed")),
        };
        if bytes.len() + data.len() > most {
            drop((bytes, counted));
            linger(&mut body).await;
            return Err(too_large(most));
        }
        if counted.all.fetch_add(data.len(), Ordering::Relaxed) + data.len() > all {
            counted.own += data.len();
            return Err(Problem::busy("too many uploads at once; ask again later", 1));
        }
        counted.own += data.len();
        bytes.extend_from_slice(&data);
    }
    Ok(Upload { bytes, _counted: counted })
}

fn too_large(most: usize) -> Problem {
    let detail = format!("the request's body is larger than {most} bytes, which is the most that this server takes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
}

/// Data of the body; nothing at its end.
async fn frame(body: &mut Body) -> Option<Result<Bytes, ()>> {
    loop {
        match poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await? {
            // Trailers say nothing to us.
            Ok(frame) => match frame.into_data() {
                Ok(data) => return Some(Ok(data)),
                Err(_) => continue,
            },
            Err(_) => return Some(Err(())),
        }
    }
}

async fn linger(body: &mut Body) {
    let rest = async { while let Some(Ok(_)) = frame(body).await {} };
    let _ = timeout(LINGER, rest).await;
}
