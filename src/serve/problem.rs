//! What is answered where something is wrong: a JSON problem (RFC 9457).

use crate::Error;
use crate::gpu::GpuError;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use utoipa::ToSchema;

/// What is wrong (RFC 9457).
#[derive(ToSchema)]
#[schema(as = Problem)]
#[expect(dead_code, reason = "it describes what `Problem::json` writes")]
pub struct Described {
    /// `about:blank`: the status says it all.
    r#type: String,
    title: String,
    status: u16,
    /// One line for people.
    detail: String,
}

/// Why a request is not answered as was asked.
#[derive(Clone, Debug)]
pub struct Problem {
    pub status: StatusCode,
    /// One line for people.
    pub detail: String,
    /// Seconds after which it may do.
    pub retry_after: Option<u64>,
}

impl Problem {
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Problem {
        Problem { status, detail: detail.into(), retry_after: None }
    }

    /// A request that cannot be understood.
    pub fn bad(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, detail)
    }

    /// Later it may do.
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
