//! Error answers: JSON problems (RFC 9457).

use crate::Error;
use crate::gpu::GpuError;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use utoipa::ToSchema;

/// A problem (RFC 9457).
#[derive(ToSchema)]
#[schema(as = Problem)]
#[expect(dead_code, reason = "it describes what `Problem::json` writes")]
pub struct Described {
    /// Always `about:blank`: the status gives the kind of problem.
    r#type: String,
    title: String,
    status: u16,
    /// One line for people.
    detail: String,
}

/// Why a request failed.
#[derive(Clone, Debug)]
pub struct Problem {
    pub status: StatusCode,
    /// One line for people.
    pub detail: String,
    /// Seconds after which the client may retry.
    pub retry_after: Option<u64>,
}

impl Problem {
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Problem {
        Problem { status, detail: detail.into(), retry_after: None }
    }

    /// 400: an invalid request.
    pub fn bad(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 503: the client may retry after `seconds`.
    pub fn busy(detail: impl Into<String>, seconds: u64) -> Problem {
        Problem { retry_after: Some(seconds), ..Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail) }
    }

    pub fn internal(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    }

    pub fn json(&self) -> Value {
        let title = self.status.canonical_reason().unwrap_or("Problem");
        json!({"type": "about:blank", "title": title, "status": self.status.as_u16(), "detail": self.detail})
    }
}

impl From<&Error> for Problem {
    fn from(error: &Error) -> Problem {
        let detail = error.to_string();
        match error {
            Error::Image(_) | Error::Format(_) | Error::Usage(_) => Problem::bad(detail),
            Error::Plan(_) | Error::Gpu(GpuError::OutOfMemory { .. }) => {
                Problem::new(StatusCode::INSUFFICIENT_STORAGE, detail)
            }
            Error::Interrupted => Problem::busy("the server is ending", 1),
            _ => Problem::internal(detail),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.json().to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
