//! Fetches pictures of tasks and annotations of projects from Label Studio, and nothing else: no request names a server.

use super::super::LabelStudio;
use super::super::pictures;
use super::super::problem::Problem;
use crate::shown;
use axum::http::StatusCode;
use serde::Deserialize;
use std::io::Read;
use std::time::Duration;
use ureq::Agent;
use ureq::http::Uri;
use ureq::http::header::LOCATION;

/// Timeout for a whole answer.
const WHOLE: Duration = Duration::from_secs(30);
const MOST_REDIRECTS: u32 = 5;
/// Largest export of annotations, in multiples of the largest picture.
const EXPORTS: usize = 8;

/// A client of Label Studio, with its key.
pub struct Source {
    agent: Agent,
    options: Option<LabelStudio>,
    most: usize,
}

impl Source {
    /// `most` is the largest picture in bytes.
    pub fn new(options: Option<LabelStudio>, most: usize) -> Source {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // Redirects are followed here, to allowed servers only.
            .max_redirects(0)
            .timeout_global(Some(WHOLE))
            .user_agent(concat!("diffews-wgpu/", env!("CARGO_PKG_VERSION")))
            .build();
        Source { agent: config.into(), options, most }
    }

    /// Whether the address of Label Studio is known.
    pub fn is_known(&self) -> bool {
        self.options.is_some()
    }

    /// The bytes of a picture that a task names: a data URL, a path of Label Studio, or an address on an allowed server.
    /// `token` comes from Label Studio; our own key takes precedence.
    pub fn picture(&self, address: &str, token: Option<&str>) -> Result<Vec<u8>, Problem> {
        if address.starts_with("data:") {
            return pictures::bytes("the task's picture", address);
        }
        let refused = |reason: &str| {
            let name = shown::text(address);
            Err(Problem::new(StatusCode::FORBIDDEN, format!("the task's picture {name} is not fetched: {reason}")))
        };
        let Some(options) = &self.options else {
            return refused("this server does not know the address of Label Studio");
        };
        if address.starts_with('/') && !address.starts_with("//") {
            return self.get(&format!("{}{address}", options.url), token, self.most);
        }
        match address.parse::<Uri>().ok().as_ref().and_then(origin) {
            Some(of) if self.allows(&of) => self.get(address, token, self.most),
            Some(of) => {
                refused(&format!("this server was not started with permission to fetch from {}", shown::text(&of)))
            }
            None => refused("it is not an http or https address; let Label Studio serve buckets and folders"),
        }
    }

    /// Whether fetching from a server is allowed.
    fn allows(&self, of: &str) -> bool {
        let options = self.options.as_ref();
        options
            .is_some_and(|options| own(options).as_deref() == Some(of) || options.pictures_from.iter().any(|o| o == of))
    }

    /// A project's tasks with annotations, in Label Studio's export format.
    pub fn annotations(&self, project: &str, token: Option<&str>) -> Result<Vec<u8>, Problem> {
        let options =
            self.options.as_ref().ok_or_else(|| Problem::internal("the address of Label Studio is not set"))?;
        // `project` has digits only: see `number`.
        let address = format!("{}/api/projects/{project}/export?exportType=JSON", options.url);
        self.get(&address, token, self.most.saturating_mul(EXPORTS))
    }

    /// The key for Label Studio; it is sent to no other server.
    fn key<'a>(&'a self, address: &str, token: Option<&'a str>) -> Option<&'a str> {
        let options = self.options.as_ref()?;
        let is_own = address.strip_prefix(&options.url).is_some_and(|rest| rest.starts_with('/'));
        options.key.as_deref().or(token).filter(|_| is_own)
    }

    /// Fetches an address; follows redirects to allowed servers.
    fn get(&self, address: &str, token: Option<&str>, most: usize) -> Result<Vec<u8>, Problem> {
        let failed = |reason: String| {
            let address = shown::text(address);
            Problem::new(StatusCode::BAD_GATEWAY, format!("{address} cannot be fetched: {reason}"))
        };
        let mut at = address.to_owned();
        let mut redirects = 0;
        let answer = loop {
            let mut request = self.agent.get(&at);
            if let Some(key) = self.key(&at, token) {
                request = request.header("Authorization", self.authorization(key)?);
            }
            let answer = request.call().map_err(|error| failed(error.to_string()))?;
            match answer.status().as_u16() {
                200 => break answer,
                301..=303 | 307 | 308 if redirects < MOST_REDIRECTS => {
                    let to = answer.headers().get(LOCATION).and_then(|to| to.to_str().ok());
                    at = to
                        .and_then(|to| redirect_target(&at, to))
                        .ok_or_else(|| failed("its server redirects to an invalid address".into()))?;
                    let of = at.parse::<Uri>().ok().as_ref().and_then(origin).filter(|of| self.allows(of));
                    of.ok_or_else(|| failed("its server redirects to a server that is not allowed".into()))?;
                    redirects += 1;
                }
                status => return Err(failed(format!("the server answers with {status}"))),
            }
        };
        let mut bytes = Vec::new();
        let read = answer.into_body().into_reader().take(most as u64 + 1).read_to_end(&mut bytes);
        read.map_err(|error| failed(error.to_string()))?;
        match bytes.len() > most {
            true => Err(failed(format!("it has more than {most} bytes"))),
            false => Ok(bytes),
        }
    }

    /// A legacy token is sent as it is. A personal token, which has three parts, is exchanged for a short-lived one.
    fn authorization(&self, key: &str) -> Result<String, Problem> {
        #[derive(Deserialize)]
        struct Access {
            access: String,
        }
        let url = match &self.options {
            Some(options) if key.split('.').count() == 3 => format!("{}/api/token/refresh", options.url),
            _ => return Ok(format!("Token {key}")),
        };
        let failed = |reason: String| {
            Problem::new(StatusCode::BAD_GATEWAY, format!("Label Studio does not accept the personal token: {reason}"))
        };
        let body = serde_json::json!({"refresh": key}).to_string();
        let answer = self.agent.post(&url).header("Content-Type", "application/json").send(body);
        let answer = answer.map_err(|error| failed(error.to_string()))?;
        if answer.status() != 200 {
            return Err(failed(format!("it answers with {}", answer.status().as_u16())));
        }
        let read = answer.into_body().into_with_config().limit(1 << 16).read_to_string();
        let read = read.map_err(|error| failed(error.to_string()))?;
        let access: Access = serde_json::from_str(&read).map_err(|error| failed(error.to_string()))?;
        Ok(format!("Bearer {}", access.access))
    }
}

/// Resolves a redirect from `from` to `to`: a full http address, or a path on the same server.
fn redirect_target(from: &str, to: &str) -> Option<String> {
    if to.starts_with("http://") || to.starts_with("https://") {
        return Some(to.to_owned());
    }
    let of = from.parse::<Uri>().ok().as_ref().and_then(origin)?;
    (to.starts_with('/') && !to.starts_with("//")).then(|| format!("{of}{to}"))
}

/// Scheme, host and port of an http address.
pub fn origin(address: &Uri) -> Option<String> {
    let scheme = address.scheme_str().filter(|scheme| ["http", "https"].contains(scheme))?;
    let authority = address.authority()?;
    // Credentials before an @ can make one server look like another.
    (!authority.as_str().contains('@')).then(|| format!("{scheme}://{authority}").to_ascii_lowercase())
}

fn own(options: &LabelStudio) -> Option<String> {
    options.url.parse::<Uri>().ok().as_ref().and_then(origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_request_names_a_server() {
        let refused = |address: &str, options: Option<LabelStudio>, part: &str| {
            let problem = Source::new(options, 100).picture(address, None).unwrap_err();
            assert!(problem.status == 403 && problem.detail.contains(part), "{address}: {}", problem.detail);
        };
        // Nothing listens there: an attempt to fetch fails with another error than a refusal.
        let known = || {
            let pictures_from = vec!["http://127.0.0.1:3".into()];
            Some(LabelStudio { url: "http://127.0.0.1:1/ls".into(), key: None, pictures_from })
        };
        refused("/data/upload/1/a.png", None, "does not know the address");
        for (address, part) in [
            ("http://127.0.0.1:2/a.png", "permission to fetch from http://127.0.0.1:2"),
            ("http://127.0.0.1:1@evil.example/a.png", "not an http or https address"),
            ("//evil.example/a.png", "not an http or https address"),
            ("file:///etc/passwd", "not an http or https address"),
            ("s3://bucket/a.png", "let Label Studio serve"),
            ("ftp://127.0.0.1:1/a", "not an http or https address"),
            ("a.png", "not an http or https address"),
        ] {
            refused(address, known(), part);
        }
        for address in ["/data/upload/1/a.png", "http://127.0.0.1:1/a.png", "http://127.0.0.1:3/a.png"] {
            assert_eq!(Source::new(known(), 100).picture(address, None).unwrap_err().status, 502, "{address}");
        }
        // Only its own addresses get the token.
        let source = Source::new(known(), 100);
        assert_eq!(source.key("http://127.0.0.1:1/ls/data/a.png", Some("t")), Some("t"));
        for other in [
            "http://127.0.0.1:1/other",
            "http://127.0.0.1:1/lsx",
            "http://127.0.0.1:3/ls/a.png",
            "http://127.0.0.1:1@evil.example/ls/",
        ] {
            assert_eq!(source.key(other, Some("t")), None, "{other}");
        }
        assert_eq!(redirect_target("http://a:1/x/y", "/z").as_deref(), Some("http://a:1/z"));
        assert!(
            redirect_target("http://a:1/x", "//evil.example/").is_none()
                && redirect_target("http://a/x", "file:///etc").is_none()
        );
        assert_eq!(Source::new(None, 100).picture("data:image/png;base64,aGk=", None).unwrap(), b"hi");
    }
}
