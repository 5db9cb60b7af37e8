//! What is fetched of Label Studio: pictures of tasks, and a project's annotations. Nothing else is: no request names a server.

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

/// For a whole answer.
const WHOLE: Duration = Duration::from_secs(30);
const MOST_REDIRECTS: u32 = 5;
/// A project's annotations, of bytes as large as so many pictures.
const EXPORTS: usize = 8;

/// Asks Label Studio, with its key.
pub struct Source {
    agent: Agent,
    options: Option<LabelStudio>,
    most: usize,
}

impl Source {
    /// `most` bytes of a picture are read.
    pub fn new(options: Option<LabelStudio>, most: usize) -> Source {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(MOST_REDIRECTS)
            .timeout_global(Some(WHOLE))
            .user_agent(concat!("diffews-wgpu/", env!("CARGO_PKG_VERSION")))
            .build();
        Source { agent: config.into(), options, most }
    }

    /// Whether it is known where Label Studio is.
    pub fn is_known(&self) -> bool {
        self.options.is_some()
    }

    /// The bytes of a picture that a task names: a data URL, a path of Label Studio, or an address whose server was allowed.
    /// `token` is what Label Studio itself said; a key of ours goes before.
    pub fn picture(&self, address: &str, token: Option<&str>) -> Result<Vec<u8>, Problem> {
        if address.starts_with("data:") {
            return pictures::bytes("the task's picture", address);
        }
        let refused = |reason: &str| {
            let name = shown::text(address);
            Err(Problem::new(StatusCode::FORBIDDEN, format!("the task's picture {name} is not fetched: {reason}")))
        };
        let Some(options) = &self.options else {
            return refused("this server was not told where Label Studio is");
        };
        if address.starts_with('/') && !address.starts_with("//") {
            return self.get(&format!("{}{address}", options.url), self.key(token), self.most);
        }
        match address.parse::<Uri>().ok().as_ref().and_then(origin) {
            Some(of) if Some(&of) == own(options).as_ref() => self.get(address, self.key(token), self.most),
            // Others get no key.
            Some(of) if options.pictures_from.contains(&of) => self.get(address, None, self.most),
            Some(of) => refused(&format!("pictures of {} were not allowed when this server began", shown::text(&of))),
            None => refused("it is no address of http or https; buckets and folders are fetched through Label Studio"),
        }
    }

    /// A project's tasks with annotations, as Label Studio exports them.
    pub fn annotations(&self, project: &str, token: Option<&str>) -> Result<Vec<u8>, Problem> {
        let options = self.options.as_ref().ok_or_else(|| Problem::internal("nobody said where Label Studio is"))?;
        // Digits alone: see `Project`.
        let address = format!("{}/api/projects/{project}/export?exportType=JSON", options.url);
        self.get(&address, self.key(token), self.most.saturating_mul(EXPORTS))
    }

    fn key<'a>(&'a self, token: Option<&'a str>) -> Option<&'a str> {
        self.options.as_ref().and_then(|options| options.key.as_deref()).or(token)
    }

    fn get(&self, address: &str, key: Option<&str>, most: usize) -> Result<Vec<u8>, Problem> {
        let failed = |reason: String| {
            let address = shown::text(address);
            Problem::new(StatusCode::BAD_GATEWAY, format!("{address} cannot be fetched: {reason}"))
        };
        let mut request = self.agent.get(address);
        if let Some(key) = key {
            request = request.header("Authorization", self.authorization(key)?);
        }
        let answer = request.call().map_err(|error| failed(error.to_string()))?;
        if answer.status() != 200 {
            return Err(failed(format!("the server answers with {}", answer.status().as_u16())));
        }
        let mut bytes = Vec::new();
        let read = answer.into_body().into_reader().take(most as u64 + 1).read_to_end(&mut bytes);
        read.map_err(|error| failed(error.to_string()))?;
        match bytes.len() > most {
            true => Err(failed(format!("it has more than {most} bytes"))),
            false => Ok(bytes),
        }
    }

    /// A legacy token is sent as it is. A personal one, which has three parts, is exchanged for one that lives for minutes.
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
            Problem::new(StatusCode::BAD_GATEWAY, format!("Label Studio does not take the personal token: {reason}"))
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

/// Scheme, name and port of an address of http.
pub fn origin(address: &Uri) -> Option<String> {
    let scheme = address.scheme_str().filter(|scheme| ["http", "https"].contains(scheme))?;
    let authority = address.authority()?;
    // Names and passwords before an @ make one server look like another.
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
        // Nobody listens there: what would be fetched is no refusal.
        let known = || {
            let pictures_from = vec!["http://127.0.0.1:3".into()];
            Some(LabelStudio { url: "http://127.0.0.1:1/ls".into(), key: None, pictures_from })
        };
        refused("/data/upload/1/a.png", None, "not told where");
        for (address, part) in [
            ("http://127.0.0.1:2/a.png", "pictures of http://127.0.0.1:2 were not allowed"),
            ("http://127.0.0.1:1@evil.example/a.png", "no address"),
            ("//evil.example/a.png", "no address"),
            ("file:///etc/passwd", "no address"),
            ("s3://bucket/a.png", "through Label Studio"),
            ("ftp://127.0.0.1:1/a", "no address"),
            ("a.png", "no address"),
        ] {
            refused(address, known(), part);
        }
        for address in ["/data/upload/1/a.png", "http://127.0.0.1:1/a.png", "http://127.0.0.1:3/a.png"] {
            assert_eq!(Source::new(known(), 100).picture(address, None).unwrap_err().status, 502, "{address}");
        }
        assert_eq!(Source::new(None, 100).picture("data:image/png;base64,aGk=", None).unwrap(), b"hi");
    }
}
