//! Access control and logging of all requests.

use super::app::App;
use super::page;
use super::problem::Problem;
use crate::shown;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE,
    AUTHORIZATION, CONTENT_LENGTH, HOST, ORIGIN, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Instant;
use subtle::ConstantTimeEq;

/// Address of a client.
#[derive(Clone, Copy)]
pub struct Client(pub IpAddr);

/// Addresses besides the page that need no key: they reveal nothing about pictures.
const OPEN: [&str; 2] = ["/health", "/openapi.json"];
/// Status of a request whose client left, as in nginx's logs.
const LEFT: u16 = 499;

/// A log line, written when the request ends in any way.
struct Line {
    app: Arc<App>,
    client: Option<IpAddr>,
    method: Method,
    path: String,
    route: String,
    started: Instant,
    ended: Option<(u16, String)>,
}

impl Drop for Line {
    fn drop(&mut self) {
        let (status, bytes) = self.ended.take().unwrap_or((LEFT, "-".into()));
        self.app.metrics.request(&self.route, status);
        let client = self.client.map_or_else(|| "-".into(), |client| client.to_string());
        let seconds = self.started.elapsed().as_secs_f64();
        (self.app.host.log)(&format!("{client} \"{} {}\" {status} {bytes} {seconds:.3}", self.method, self.path));
    }
}

pub async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let mut line = Line {
        client: request.extensions().get::<Client>().map(|client| client.0),
        method: request.method().clone(),
        // The query string may hold secrets, so it is not logged.
        path: shown::text(request.uri().path()),
        route: request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned(),
        started: Instant::now(),
        ended: None,
        app: app.clone(),
    };
    let origin = request.headers().get(ORIGIN).cloned();
    let mut response = match check(&app, &request) {
        Err(problem) => problem.into_response(),
        Ok(()) if request.method() == Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
        Ok(()) => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(origin) = origin.filter(|origin| is_allowed(&app, origin)) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(VARY, HeaderValue::from_static("Origin"));
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, DELETE"));
        let known = HeaderValue::from_static("Authorization, Content-Type, Token, X-API-Key");
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, known);
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
    let length = response.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    let length = length.map(str::to_owned).or_else(|| {
        use axum::body::HttpBody;
        response.body().size_hint().exact().map(|bytes| bytes.to_string())
    });
    line.ended = Some((response.status().as_u16(), length.unwrap_or_else(|| "-".into())));
    response
}

/// Refuses requests by host, origin or key.
fn check(app: &App, request: &Request) -> Result<(), Problem> {
    let headers = request.headers();
    if app.options.key.is_none() && headers.get(HOST).is_some_and(|host| !is_own_name(host)) {
        let detail = "without an API key this server accepts only localhost or an IP address as host name; use one, or set a key";
        return Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, detail));
    }
    if let Some(origin) = headers.get(ORIGIN) {
        if !is_same(origin, headers) && !is_allowed(app, origin) {
            return Err(Problem::new(StatusCode::FORBIDDEN, "pages of this origin may not use this server"));
        }
        // Preflight requests of browsers have no key.
        if request.method() == Method::OPTIONS {
            return Ok(());
        }
    }
    match &app.options.key {
        Some(key) if !is_open(request.uri().path()) && !knows(headers, key) => {
            let detail = "an API key is needed, as Authorization: Bearer KEY, X-API-Key: KEY, Token: KEY or the password of Basic";
            Err(Problem::new(StatusCode::UNAUTHORIZED, detail))
        }
        _ => Ok(()),
    }
}

fn is_open(path: &str) -> bool {
    OPEN.contains(&path) || page::has(path)
}

/// Whether one of the headers holds the key. Compares digests, so the time does not reveal where keys differ.
fn knows(headers: &HeaderMap, key: &str) -> bool {
    let digest = |bytes: &[u8]| Sha256::digest(bytes);
    let want = digest(key.as_bytes());
    let bearer = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes).and_then(|value| {
        let (scheme, rest) = value.split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then(|| rest.trim_ascii())
    });
    // Label Studio can send a name and a password; the name is ignored.
    let basic = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes).and_then(|value| {
        let (scheme, rest) = value.split_at_checked(6)?;
        let pair = scheme.eq_ignore_ascii_case(b"basic ").then(|| STANDARD.decode(rest.trim_ascii()).ok())??;
        let colon = pair.iter().position(|byte| *byte == b':')?;
        Some(pair[colon + 1..].to_vec())
    });
    let others = ["x-api-key", "token"].into_iter().filter_map(|name| headers.get(name)).map(HeaderValue::as_bytes);
    let same = |given: &[u8]| bool::from(digest(given).as_slice().ct_eq(want.as_slice()));
    bearer.into_iter().chain(others).chain(basic.as_deref()).any(same)
}

/// Whether the page is this server's own.
fn is_same(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let host = |value: &HeaderValue| value.to_str().map(str::to_ascii_lowercase).ok();
    let of_page = host(origin).and_then(|origin| Some(origin.split_once("://")?.1.to_owned()));
    of_page.is_some() && of_page == headers.get(HOST).and_then(host)
}

fn is_allowed(app: &App, origin: &HeaderValue) -> bool {
    app.options.origins.iter().any(|allowed| allowed == "*" || allowed.as_bytes() == origin.as_bytes())
}

/// Host names that no website can point to this machine.
fn is_own_name(host: &HeaderValue) -> bool {
    let Ok(host) = host.to_str() else { return false };
    if let Some((address, _)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return address.parse::<Ipv6Addr>().is_ok();
    }
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_others_are_seen() {
        let own = |host: &str| is_own_name(&HeaderValue::from_str(host).unwrap());
        for host in ["localhost", "LOCALHOST:7777", "127.0.0.1:1", "192.168.0.2", "[::1]:7777", "[::1]"] {
            assert!(own(host), "{host}");
        }
        for host in ["", "example.org", "example.org:7777", "localhost.example.org", "[x]:1", "127.0.0.1.nip.io"] {
            assert!(!own(host), "{host}");
        }
    }

    #[test]
    fn keys_come_in_three_headers() {
        let headers = |name: &'static str, value: &str| {
            HeaderMap::from_iter([(axum::http::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())])
        };
        for (name, value) in [
            ("authorization", "Bearer k1"),
            ("authorization", "bearer k1"),
            ("authorization", "Basic eDprMQ=="),
            ("x-api-key", "k1"),
            ("token", "k1"),
        ] {
            assert!(knows(&headers(name, value), "k1"), "{name}: {value}");
        }
        for (name, value) in [
            ("authorization", "k1"),
            ("authorization", "Basic k1"),
            ("authorization", "Basic azE6eA=="),
            ("token", "k12"),
            ("token", ""),
            ("cookie", "k1"),
        ] {
            assert!(!knows(&headers(name, value), "k1"), "{name}: {value}");
        }
    }
}
