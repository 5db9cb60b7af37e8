//! Malicious servers.

use crate::bed::{Bed, SIZE, UNET, bytes, files};
use crate::server::Reply;
use diffews_wgpu::fetch::FetchError;
use serde_json::json;

/// The error for a list of files.
fn told(list: impl Fn() -> Reply + Send + 'static) -> FetchError {
    let bed = Bed::of(files(), move |asked, _| asked.path.contains("/api/").then(&list));
    let error = bed.fetch().unwrap_err();
    assert!(bed.names().is_empty(), "{:?}", bed.names());
    error
}

#[test]
fn paths_that_lead_elsewhere() {
    for path in [
        "../unet/config.json",
        "/unet/config.json",
        "unet/../../config.json",
        "C:\\unet\\config.json",
        "unet//config.json",
        "unet/./config.json",
    ] {
        let mut all = files();
        all.0.insert(path.into(), bytes(1, 10));
        let error = told(move || Reply::of(200, all.modelscope().to_string()));
        assert!(matches!(error, FetchError::Listing { .. }), "{path}: {error}");
    }
    let mut twice = files();
    twice.0.insert("UNET/config.json".into(), bytes(1, 10));
    assert!(matches!(told(move || Reply::of(200, twice.modelscope().to_string())), FetchError::Listing { .. }));
}

#[test]
fn lists_that_are_none_or_have_no_end() {
    for body in ["", "{", "[]", "null", "{\"Data\": {}}", "<html>", "{\"Data\": {\"Files\": [{\"Path\": 1}]}}"] {
        assert!(matches!(told(move || Reply::of(200, body)), FetchError::Listing { .. }), "{body}");
    }
    let error = told(|| Reply { endless: true, ..Reply::of(200, vec![b'['; 1 << 16]) });
    assert!(matches!(&error, FetchError::Network { reason, .. } if reason.contains("more than")), "{error}");
    let bed = Bed::of(files(), |asked, n| {
        let page = json!([{"path": format!("f{n}"), "size": 1, "type": "file"}]).to_string();
        asked.path.contains("/api/").then(|| Reply::of(200, page).with("Link", format!("</api/x?{n}>; rel=\"next\"")))
    });
    let go_on = &mut |_: &diffews_wgpu::fetch::Progress| std::ops::ControlFlow::Continue(());
    let error = bed.fetch_as("o/n", go_on).unwrap_err();
    assert!(matches!(&error, FetchError::Listing { reason, .. } if reason.contains("20 pages")), "{error}");
    let bed = Bed::of(files(), |asked, _| {
        asked.path.contains("/api/").then(|| Reply::of(200, "[]").with("Link", "<http://127.0.0.2/x>; rel=\"next\""))
    });
    let error = bed.fetch_as("o/n", go_on).unwrap_err();
    assert!(matches!(&error, FetchError::Listing { reason, .. } if reason.contains("another server")), "{error}");
}

#[test]
fn redirects_have_an_end_and_lead_to_http() {
    let bed = Bed::of(files(), |asked, n| {
        asked.path.contains("unet").then(|| Reply::of(302, "").with("Location", format!("/unet/{n}")))
    });
    let error = bed.fetch().unwrap_err();
    assert!(matches!(error, FetchError::Network { .. }), "{error}");
    assert!(bed.server.asked().len() < 20);
    for place in ["file:///etc/passwd", "ftp://127.0.0.1/x", "javascript:x", ""] {
        let bed = Bed::of(files(), move |asked, _| {
            asked.path.ends_with(UNET).then(|| Reply::of(302, "").with("Location", place))
        });
        let error = bed.fetch().unwrap_err();
        assert!(matches!(error, FetchError::Network { .. }), "{place}: {error}");
    }
}

#[test]
fn bodies_and_heads_without_an_end() {
    let endless = |status| Reply { endless: true, ..Reply::of(status, vec![0; 1 << 16]) };
    let bed = Bed::of(files(), move |asked, _| asked.path.ends_with(UNET).then(|| endless(200)));
    assert!(matches!(bed.fetch(), Err(FetchError::Changed { .. })));
    assert!(std::fs::metadata(bed.path(UNET).with_extension("safetensors.part")).unwrap().len() <= SIZE as u64);
    let bed = Bed::of(files(), move |asked, _| asked.path.ends_with(UNET).then(|| endless(404)));
    assert!(matches!(bed.fetch(), Err(FetchError::Network { .. })));
    let bed =
        Bed::of(files(), move |asked, _| asked.path.ends_with(UNET).then(|| endless(302).with("Location", "/unet/x")));
    assert!(matches!(bed.fetch(), Err(FetchError::Network { .. })));
    let bed = Bed::of(files(), move |asked, _| {
        asked.path.ends_with(UNET).then(|| Reply::of(200, "").with("X", "x".repeat(1 << 20)))
    });
    assert!(matches!(bed.fetch(), Err(FetchError::Network { .. })));
}

#[test]
fn an_index_that_names_files_elsewhere() {
    let mut all = files();
    all.0.remove(UNET);
    let index = r#"{"weight_map": {"a": "../../m.safetensors"}}"#;
    all.0.insert(format!("{UNET}.index.json"), index.into());
    let bed = Bed::of(all, |_, _| None);
    assert!(matches!(bed.fetch(), Err(FetchError::Weights(_))));
}
