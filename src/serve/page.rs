//! The files of the page, embedded from `web/`.

use axum::body::Bytes;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

/// The page loads nothing from other servers and runs no foreign scripts.
const POLICY: &str =
    "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const PNG: &str = "image/png";

/// A file's address, media type and content.
type Asset = (&'static str, &'static str, &'static [u8]);

macro_rules! scripts {
    ($($name:literal)*) => {
        [$((concat!("/dist/", $name), SCRIPT, include_bytes!(concat!("../../web/dist/", $name)) as &[u8])),*]
    };
}

macro_rules! examples {
    ($($name:literal)*) => {
        [$((concat!("/examples/", $name), PNG, include_bytes!(concat!("../../examples/", $name)) as &[u8])),*]
    };
}

const STATIC: [Asset; 2] = [
    ("/", HTML, include_bytes!("../../web/index.html")),
    ("/page.css", "text/css; charset=utf-8", include_bytes!("../../web/page.css")),
];
const SCRIPTS: [Asset; 9] =
    scripts!("board.js" "dom.js" "engine.js" "files.js" "mask.js" "page.js" "picture.js" "result.js" "server.js");
const EXAMPLES: [Asset; 9] = examples!(
    "0/support.png" "0/support_mask.png" "0/query.png"
    "1/support.png" "1/support_mask.png" "1/query.png"
    "2/support.png" "2/support_mask.png" "2/query.png"
);

pub fn all() -> impl Iterator<Item = &'static Asset> {
    STATIC.iter().chain(&SCRIPTS).chain(&EXAMPLES)
}

/// Whether this address belongs to the page, which needs no key: it reveals nothing about users' pictures.
pub fn has(path: &str) -> bool {
    all().any(|(own, ..)| *own == path)
}

pub fn answer(kind: &'static str, bytes: &'static [u8]) -> Response {
    let headers = [(CONTENT_TYPE, kind), (CONTENT_SECURITY_POLICY, POLICY), (CACHE_CONTROL, "no-cache")];
    let headers = headers.map(|(name, value)| (name, HeaderValue::from_static(value)));
    (headers, Bytes::from_static(bytes)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn no_script_is_forgotten() {
        let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("web/dist");
        let files = std::fs::read_dir(dist).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        // Scripts that compute in the browser are not needed with a server.
        let own = ["assets.js", "conformance.js", "gpu.js", "local.js", "remote.js", "worker.js"];
        for file in files.filter(|file| file.ends_with(".js") && !own.contains(&file.as_str())) {
            assert!(has(&format!("/dist/{file}")), "{file} is in no list of src/serve/page.rs");
        }
    }
}
