//! Request bodies, with limits on size, time and total memory.

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

/// Longest silence of a client.
const SILENCE: Duration = Duration::from_secs(15);
/// Longest time for a whole body.
const WHOLE: Duration = Duration::from_secs(300);
/// How long a body that is too large is read and dropped: a client that still writes would not see the answer.
const LINGER: Duration = Duration::from_secs(2);
/// Bodies in memory together may have this many times the largest size, besides one for each place in the queue.
const MORE: usize = 4;

/// A body in memory.
pub struct Upload {
    pub bytes: Vec<u8>,
    _counted: Counted,
}

/// Bytes that count toward the total of all uploads.
struct Counted {
    all: Arc<AtomicUsize>,
    own: usize,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.all.fetch_sub(self.own, Ordering::Relaxed);
    }
}

/// Reads the body of a request.
///
/// # Errors
/// A body that is too large, too slow or cut off; too many uploads at once.
pub async fn read(app: &App, headers: &HeaderMap, mut body: Body) -> Result<Upload, Problem> {
    let most = app.options.max_upload;
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > most as u64) {
        // A client that sends Expect has not sent the body yet.
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
        let slow = |_| Problem::new(StatusCode::REQUEST_TIMEOUT, "the request's body arrives too slowly");
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
            return Err(Problem::busy("too many uploads at once; try again later", 1));
        }
        counted.own += data.len();
        bytes.extend_from_slice(&data);
    }
    Ok(Upload { bytes, _counted: counted })
}

fn too_large(most: usize) -> Problem {
    let detail = format!("the request's body is larger than {most} bytes, the most that this server accepts");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
}

/// The next data of the body; `None` at its end.
async fn frame(body: &mut Body) -> Option<Result<Bytes, ()>> {
    loop {
        match poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await? {
            // Trailers are ignored.
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
