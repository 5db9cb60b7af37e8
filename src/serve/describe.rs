//! The API's description: OpenAPI 3.1, generated from the handlers and their types.

use super::problem::Described;
use super::{anylabeling, api, label_studio};
use std::sync::LazyLock;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi, ToResponse};

/// A JSON problem (RFC 9457).
#[derive(ToResponse)]
#[response(description = "A problem", content_type = "application/problem+json")]
#[expect(dead_code, reason = "it describes what Problem answers")]
pub struct Refused(Described);

/// A JSON problem: the queue is full, or the server is ending.
#[derive(ToResponse)]
#[response(description = "The queue is full", content_type = "application/problem+json",
    headers(("Retry-After" = u64, description = "Seconds")))]
#[expect(dead_code, reason = "it describes what Problem answers")]
pub struct Busy(Described);

/// Events `step` with `{"stage": text, "done": 0 to 1}`, and at the end `done` with the answer, or `problem`.
#[derive(ToResponse)]
#[response(
    description = "With Accept: text/event-stream, progress before the answer",
    content_type = "text/event-stream"
)]
#[expect(dead_code, reason = "it describes what events::answer writes")]
pub struct Events(String);

#[derive(OpenApi)]
#[openapi(
    info(
        title = "diffews-wgpu",
        description = "Segment by example. Pictures are files (JPEG, PNG, WebP, BMP, GIF, TIFF) in base64, which may be data URLs. Errors are JSON problems (RFC 9457)."
    ),
    paths(
        api::health, api::metrics, api::banks, api::make, api::remove, api::mask, api::segment,
        anylabeling::models, anylabeling::info, anylabeling::predict,
        label_studio::setup, label_studio::predict, label_studio::webhook,
    ),
    components(schemas(Described), responses(Refused, Busy, Events)),
    modifiers(&Keys),
    security((), ("bearer" = []), ("key" = []), ("token" = []), ("basic" = [])),
)]
struct Description;

/// How clients send the key, if the server needs one.
struct Keys;

impl Modify for Keys {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let components = api.components.get_or_insert_default();
        let http = |scheme| SecurityScheme::Http(HttpBuilder::new().scheme(scheme).build());
        let header = |name: &str| SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new(name)));
        components.add_security_scheme("bearer", http(HttpAuthScheme::Bearer));
        components.add_security_scheme("basic", http(HttpAuthScheme::Basic));
        components.add_security_scheme("key", header("X-API-Key"));
        components.add_security_scheme("token", header("Token"));
    }
}

/// The description as JSON.
pub static OPENAPI: LazyLock<String> = LazyLock::new(|| Description::openapi().to_json().unwrap_or_default());
