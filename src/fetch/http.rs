//! HTTP requests: answers, failures, and whether to retry.

use super::FetchError;
use super::address::MAX_ADDRESS;
use std::io::{self, Read};
use std::time::Duration;
use ureq::http::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderName, LINK, LOCATION, RETRY_AFTER};
use ureq::{Agent, Body, http};

/// Most redirects to follow: Hugging Face needs one or two.
const MAX_REDIRECTS: u32 = 6;
const MAX_HEADER: usize = 64 << 10;
/// Timeout for connecting and for the first byte of an answer.
const FIRST: Duration = Duration::from_secs(60);
/// Timeout between bytes.
const NEXT: Duration = Duration::from_secs(60);
/// Timeout for a page of a list.
const PAGE: Duration = Duration::from_secs(120);
/// Longest wait that a server may request.
const MAX_WAIT: Duration = Duration::from_secs(60);

pub(super) struct Client(Agent);

/// A failed request.
pub(super) struct Failure {
    pub reason: String,
    /// Whether a retry may succeed.
    pub passes: bool,
    /// The wait that the server requests.
    pub wait: Option<Duration>,
}

impl Failure {
    fn permanent(reason: impl Into<String>) -> Failure {
        Failure { reason: reason.into(), passes: false, wait: None }
    }

    /// A connection that broke.
    pub fn broken(error: &io::Error) -> Failure {
        Failure { reason: format!("the connection broke: {error}"), passes: true, wait: None }
    }

    pub fn truncated(held: u64, size: u64) -> Failure {
        Failure { reason: format!("the connection ended after {held} of {size} bytes"), passes: true, wait: None }
    }

    pub fn of(self, address: &str) -> FetchError {
        FetchError::Network { address: address.to_owned(), reason: self.reason }
    }
}

impl From<ureq::Error> for Failure {
    fn from(error: ureq::Error) -> Failure {
        use ureq::Error::{ConnectionFailed, HostNotFound, Io, Timeout};
        let passes = match &error {
            // Untrusted certificates give this error, and a retry does not help.
            Io(error) => error.kind() != io::ErrorKind::InvalidData,
            _ => matches!(error, ConnectionFailed | HostNotFound | Timeout(_)),
        };
        Failure { reason: error.to_string(), passes, wait: None }
    }
}

/// The bytes of a file that an answer holds.
pub(super) enum ContentRange {
    /// All bytes; their number, if known.
    Whole(Option<u64>),
    /// Bytes from `start` on; the file's size, if known.
    From { start: u64, total: Option<u64> },
    /// An invalid range.
    Invalid,
}

/// An answer with a body.
pub(super) struct Answer {
    pub range: ContentRange,
    body: Body,
}

impl Answer {
    pub fn reader(self) -> impl Read {
        self.body.into_reader()
    }
}

fn text(answer: &http::Response<Body>, name: HeaderName) -> Option<&str> {
    answer.headers().get(name)?.to_str().ok()
}

/// Parses `bytes 5-9/10`.
fn content_range(text: &str) -> Option<ContentRange> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (start, end) = range.split_once('-')?;
    let (start, end): (u64, u64) = (start.parse().ok()?, end.parse().ok()?);
    let total: Option<u64> = if total == "*" { None } else { Some(total.parse().ok()?) };
    (start <= end && total.is_none_or(|total| end < total)).then_some(ContentRange::From { start, total })
}

/// Resolves a redirect from `from` to `to`: a full http address, or a path on the same server.
fn redirected(from: &str, to: &str) -> Option<String> {
    let (scheme, rest) = from.split_once("://")?;
    let host = rest.split('/').next()?;
    if to.is_empty() || to.len() > MAX_ADDRESS || !to.bytes().all(|b| b.is_ascii_graphic()) {
        return None;
    }
    if to.starts_with("https://") || to.starts_with("http://") {
        return Some(to.to_owned());
    }
    match to.strip_prefix("//") {
        Some(other) => Some(format!("{scheme}://{other}")),
        None => to.starts_with('/').then(|| format!("{scheme}://{host}{to}")),
    }
}

impl Client {
    /// `secure`: https only, redirects included.
    pub fn new(secure: bool) -> Client {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .https_only(secure)
            // Redirects are followed here: the client would first read the answer's body, which may never end.
            .max_redirects(0)
            .max_response_header_size(MAX_HEADER)
            .user_agent(concat!("diffews-wgpu/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(FIRST))
            .timeout_connect(Some(FIRST))
            .timeout_recv_response(Some(FIRST))
            .timeout_per_read(Some(NEXT))
            .build();
        Client(config.into())
    }

    fn ask(&self, address: &str, from: u64, whole: Option<Duration>) -> Result<http::Response<Body>, Failure> {
        let mut address = address.to_owned();
        for _ in 0..=MAX_REDIRECTS {
            let mut request = self.0.get(&address).config().timeout_global(whole).build();
            if from > 0 {
                request = request.header("Range", format!("bytes={from}-"));
            }
            let answer = request.call()?;
            if !matches!(answer.status().as_u16(), 301..=303 | 307 | 308) {
                return Self::check_status(answer);
            }
            let next = text(&answer, LOCATION).and_then(|to| redirected(&address, to));
            address = next.ok_or_else(|| Failure::permanent("the server redirects to an invalid address"))?;
        }
        Err(Failure::permanent(format!("the server redirects more than {MAX_REDIRECTS} times")))
    }

    fn check_status(answer: http::Response<Body>) -> Result<http::Response<Body>, Failure> {
        let status = answer.status().as_u16();
        match status {
            200 | 206 | 416 => Ok(answer),
            408 | 425 | 429 | 500 | 502..=504 => {
                let seconds = text(&answer, RETRY_AFTER).and_then(|text| text.trim().parse().ok());
                let wait = seconds.map(Duration::from_secs).map(|wait| wait.min(MAX_WAIT));
                Err(Failure { reason: format!("the server answers with {status}"), passes: true, wait })
            }
            404 => Err(Failure::permanent("the server does not have it (404)")),
            401 | 403 => Err(Failure::permanent(format!("the server denies access ({status})"))),
            _ => Err(Failure::permanent(format!("the server answers with {status}"))),
        }
    }

    /// Requests a file's bytes from `from` on.
    pub fn file(&self, address: &str, from: u64) -> Result<Answer, Failure> {
        let answer = self.ask(address, from, None)?;
        let range = match answer.status().as_u16() {
            200 => ContentRange::Whole(text(&answer, CONTENT_LENGTH).and_then(|text| text.parse().ok())),
            206 => text(&answer, CONTENT_RANGE).and_then(content_range).unwrap_or(ContentRange::Invalid),
            _ => ContentRange::Invalid,
        };
        Ok(Answer { range, body: answer.into_body() })
    }

    /// A page of a list of at most `most` bytes, and the address of the next one.
    pub fn page(&self, address: &str, most: u64) -> Result<(Vec<u8>, Option<String>), Failure> {
        let answer = self.ask(address, 0, Some(PAGE))?;
        if answer.status() != 200 {
            return Err(Failure::permanent(format!("the server answers with {}", answer.status().as_u16())));
        }
        let next = text(&answer, LINK).and_then(next_page).map(str::to_owned);
        let mut bytes = Vec::new();
        let read = answer.into_body().into_reader().take(most + 1).read_to_end(&mut bytes);
        read.map_err(|error| Failure::broken(&error))?;
        if bytes.len() as u64 > most {
            return Err(Failure::permanent(format!("the list has more than {most} bytes, the limit")));
        }
        Ok((bytes, next))
    }
}

/// Finds `<ADDRESS>; rel="next"` among several links.
fn next_page(text: &str) -> Option<&str> {
    let mut links = text.split(',').filter_map(|link| link.trim().strip_prefix('<')?.split_once('>'));
    links.find(|(_, rest)| rest.contains("rel=\"next\"")).map(|(address, _)| address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_lead_to_http_alone() {
        let to = |to| redirected("https://h:1/a/b?c", to);
        assert_eq!(to("/x?y").as_deref(), Some("https://h:1/x?y"));
        assert_eq!(to("//g/x").as_deref(), Some("https://g/x"));
        assert_eq!(to("http://g/x").as_deref(), Some("http://g/x"));
        for bad in ["", "x", "file:///x", "ftp://h/x", "/a b", "/\u{e9}", "javascript:x"] {
            assert_eq!(to(bad), None, "{bad}");
        }
    }

    #[test]
    fn ranges_are_taken_as_they_are_written_or_not_at_all() {
        assert!(matches!(content_range("bytes 5-9/10"), Some(ContentRange::From { start: 5, total: Some(10) })));
        assert!(matches!(content_range("bytes 5-9/*"), Some(ContentRange::From { start: 5, total: None })));
        for bad in [
            "",
            "bytes",
            "bytes */10",
            "bytes 9-5/10",
            "bytes 5-10/10",
            "bytes -1-2/3",
            "bytes 5-9",
            "items 5-9/10",
            "bytes 5-9/-",
        ] {
            assert!(content_range(bad).is_none(), "{bad}");
        }
        assert_eq!(next_page("<https://h/1>; rel=\"prev\", </2?c=3>; rel=\"next\""), Some("/2?c=3"));
        assert_eq!(next_page("https://h/1; rel=next"), None);
    }
}
