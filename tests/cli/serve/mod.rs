//! `serve` as its clients see it.

mod client;
mod events;
mod label_studio;

use crate::command::Place;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use client::{Answer, Server, base64, example, read, until};
use serde_json::{Value, json};
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

fn predict() -> Value {
    json!({"model": "bug", "image": format!("data:image/png;base64,{}", base64("query.png")), "params": {"iou_threshold": 0.1}})
}

/// The mask that the command writes for the same query.
fn by_the_command(flags: &[&str]) -> image::GrayImage {
    let place = Place::new();
    let [support, mask, query] = ["support.png", "support_mask.png", "query.png"].map(example);
    let [support, mask, query] = [&support, &mask, &query].map(|path| path.to_str().unwrap());
    let args = [
        "infer",
        "-q",
        "--support",
        support,
        "--mask",
        mask,
        "--query",
        query,
        "--precision",
        "f32",
        "--output",
        "m.png",
    ];
    place.run(&[&args[..], flags].concat()).expect(0, &[]);
    image::open(place.path("m.png")).unwrap().into_luma8()
}

#[test]
fn annotation_tools_get_polygons() {
    let server = Server::start(&[]);
    let health = server.get("/health");
    assert_eq!((health.status, health.json()["status"].as_str()), (200, Some("healthy")));
    let models = server.get("/v1/models").json();
    assert_eq!((&models["success"], &models["data"]["bug"]["display_name"]), (&json!(true), &json!("lady bug")));
    assert_eq!(server.get("/v1/models/bug/info").json()["data"]["examples"], 1);
    // The client hides what is not named here.
    assert_eq!(models["data"]["bug"]["widgets"][0], json!({"name": "button_run"}));
    let found = server.post("/v1/predict", &predict()).json();
    assert_eq!((&found["success"], &found["data"]["replace"]), (&json!(true), &Value::Null));
    let points = |params: Value| {
        let mut body = predict();
        body["params"] = params;
        server.post("/v1/predict", &body).json()["data"]["shapes"][0]["points"].as_array().unwrap().len()
    };
    assert!(points(json!({"epsilon_factor": 0.0001})) > points(json!({"epsilon_factor": 0.02})));
    let shape = &found["data"]["shapes"][0];
    assert_eq!((&shape["label"], &shape["shape_type"]), (&json!("lady bug"), &json!("polygon")));
    assert!(shape["points"].as_array().unwrap().len() > 3 && shape["score"].as_f64().unwrap() > 0.0, "{shape}");
    // A minimum size and a minimum score that nothing reaches.
    for params in [json!({"min_area": 1e8}), json!({"min_score": 1.0})] {
        let mut body = predict();
        body["params"] = params;
        assert_eq!(server.post("/v1/predict", &body).json()["data"]["shapes"], json!([]));
    }
    let metrics = String::from_utf8(server.get("/metrics").body).unwrap();
    assert!(metrics.contains("diffews_requests_total{route=\"/v1/predict\",status=\"200\"} 5"), "{metrics}");
    assert!(metrics.contains("diffews_work_seconds_count 5"), "{metrics}");
    server.says("127.0.0.1 \"POST /v1/predict\" 200 ");
}

#[test]
fn banks_are_made_and_used() {
    let server = Server::start(&["--max-banks", "2"]);
    let shown = json!({"image": base64("support.png"), "mask": base64("support_mask.png")});
    let made = server.post("/v1/banks", &json!({"name": "bug", "examples": [shown]}));
    assert_eq!(made.status, 201, "{}", String::from_utf8_lossy(&made.body));
    let id = made.json()["id"].as_str().unwrap().to_owned();
    assert!(made.head.contains(&format!("location: /v1/banks/{id}")) && made.json()["bytes"].as_u64() > Some(0));
    let asked = json!({"bank": id, "image": base64("query.png"), "map": true, "polygons": true});
    let by_bank = server.post("/v1/segment", &asked).json();
    let picture =
        |text: &Value| image::load_from_memory(&STANDARD.decode(text.as_str().unwrap()).unwrap()).unwrap().into_luma8();
    assert_eq!(picture(&by_bank["mask"]), by_the_command(&[]));
    assert_eq!(picture(&by_bank["map"]).dimensions(), picture(&by_bank["mask"]).dimensions());
    assert!(by_bank["found"] == true && by_bank["objects"][0]["polygons"][0].as_array().unwrap().len() > 3);
    let inline = server.post("/v1/segment", &json!({"examples": [shown], "image": base64("query.png")})).json();
    assert_eq!((&inline["mask"], &inline["map"]), (&by_bank["mask"], &Value::Null));
    // Marks instead of a mask.
    let boxed = json!({"image": base64("support.png"), "boxes": [[10, 10, 100, 100]]});
    let second = server.post("/v1/banks", &json!({"examples": [boxed]}));
    assert_eq!(second.status, 201, "{}", String::from_utf8_lossy(&second.body));
    // The first bank was used before the second was made, so the first one is dropped.
    assert_eq!(server.post("/v1/banks", &json!({"examples": [shown]})).status, 201);
    server.post("/v1/segment", &asked).refused(404, "there is no bank");
    let all = server.get("/v1/banks").json();
    assert_eq!(all["banks"].as_array().unwrap().len(), 3, "{all}");
    let second = second.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(server.ask("DELETE", &format!("/v1/banks/{second}"), "", b"").status, 204);
    server.ask("DELETE", &format!("/v1/banks/{second}"), "", b"").refused(404, "no bank");
    server.ask("DELETE", "/v1/banks/bug", "", b"").refused(403, "cannot be deleted");
    assert_eq!((server.metric("diffews_banks"), server.metric("diffews_upload_bytes")), (1.0, 0.0));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let server = Server::start(&["--max-upload", "1MiB"]);
    let raw = |body: &[u8]| server.ask("POST", "/v1/predict", "", body);
    raw(b"").refused(400, "JSON");
    raw(b"{\"model\": \"bug\"").refused(400, "JSON");
    raw(&[0xff, 0xfe]).refused(400, "UTF-8");
    raw(format!("{{\"x\": {}", "[".repeat(100_000)).as_bytes()).refused(400, "JSON");
    let with = |key: &str, value: Value| {
        let mut body = predict();
        body[key] = value;
        server.post("/v1/predict", &body)
    };
    with("model", json!("cat")).refused(404, "no model cat");
    with("model", json!("../../etc/passwd")).refused(404, "no model");
    with("image", Value::Null).refused(400, "JSON");
    with("image", json!("")).refused(400, "no picture");
    with("image", json!("%%%")).refused(400, "not base64");
    with("image", json!("/etc/passwd")).refused(400, "");
    with("image", json!(STANDARD.encode("no picture at all"))).refused(400, "image: ");
    with("params", json!({"threshold": 2})).refused(400, "from 0 to 1");
    with("params", json!({"tolerance": -1})).refused(400, "tolerance");
    with("params", json!({"epsilon_factor": -1})).refused(400, "tolerance");
    with("params", json!({"min_area": "much"})).refused(400, "JSON");
    with("params", json!({"min_area": -1})).refused(400, "min_area");
    let segment = |body: Value| server.post("/v1/segment", &body);
    segment(json!({"bank": "none", "image": base64("query.png")})).refused(404, "no bank none");
    segment(json!({"image": base64("query.png")})).refused(400, "no example");
    let bank = |shown: Value| server.post("/v1/banks", &json!({"examples": [shown]}));
    bank(json!({"image": base64("support.png")})).refused(400, "example 0");
    bank(json!({"image": base64("support.png"), "boxes": [[5, 5, 1, 1]]})).refused(400, "a box must be");
    bank(json!({"image": base64("support.png"), "boxes": [[5, 5, 4_000_000_000_u32, 9]]})).refused(400, "example 0");
    for point in ["[1e39, 1]", "[-1e38, 1e38]", "[1, 1], [1e30, 1e30]"] {
        let strokes = format!("[{{\"points\": [{point}], \"width\": 1e38}}]");
        let body = format!("{{\"examples\": [{{\"image\": \"{}\", \"strokes\": {strokes}}}]}}", base64("support.png"));
        server.ask("POST", "/v1/banks", "", body.as_bytes()).refused(400, "");
    }
    bank(json!({"image": base64("support.png"), "mask": base64("support_mask.png"), "boxes": [[1, 1, 5, 5]]}))
        .refused(400, "give one of them");
    bank(json!({"image": base64("support.png"), "mask": "x", "path": "/etc/passwd"})).refused(400, "path");

    for path in ["/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/dist/../../Cargo.toml", "/v1", "//"] {
        server.get(path).refused(404, "nothing at this address");
    }
    server.get("/v1/models/..%2f..%2fetc%2fpasswd/info").refused(404, "no model");
    server.get("/v1/predict").refused(405, "other methods");

    let large = vec![b' '; 3 << 20];
    raw(&large).refused(413, "larger than 1048576 bytes");
    // In chunks, without a length; and with a client that asks before it sends.
    let mut stream = server.connect();
    write!(
        stream,
        "POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    .unwrap();
    for _ in 0..48 {
        let _ = write!(stream, "10000\r\n{}\r\n", " ".repeat(1 << 16));
    }
    read(stream).refused(413, "larger than");
    let mut stream = server.connect();
    write!(stream, "POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 9000000\r\nExpect: 100-continue\r\n\r\n").unwrap();
    read(stream).refused(413, "larger than");
    assert_eq!(server.get("/health").status, 200);
    assert_eq!(server.metric("diffews_upload_bytes"), 0.0);
}

#[test]
fn pages_of_others_and_other_names_are_refused() {
    let server = Server::start(&["--allow-origin", "https://example.org"]);
    let ask = |headers: &str| server.ask("GET", "/v1/models", headers, b"");
    let own = format!("Origin: http://{}\r\n", server.address);
    assert_eq!(ask(&own).status, 200);
    let allowed = ask("Origin: https://example.org\r\n");
    assert!(allowed.status == 200 && allowed.head.contains("access-control-allow-origin: https://example.org"));
    ask("Origin: https://evil.example\r\n").refused(403, "origin");
    let before = server.ask(
        "OPTIONS",
        "/v1/predict",
        "Origin: https://example.org\r\nAccess-Control-Request-Method: POST\r\n",
        b"",
    );
    assert!(before.status == 204 && before.head.contains("access-control-allow-headers"), "{before:?}");
    let mut stream = server.connect();
    write!(stream, "GET /v1/models HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n").unwrap();
    read(stream).refused(421, "localhost");
    let page = server.get("/");
    assert!(page.status == 200 && page.head.contains("content-security-policy"), "{page:?}");
    let page = String::from_utf8(page.body).unwrap();
    for part in ["<canvas", "dist/page.js", "page.css", "<label"] {
        assert!(page.contains(part), "{part}");
    }
    assert!(server.get("/dist/page.js").head.contains("text/javascript"));
    assert!(server.get("/examples/0/support.png").body.starts_with(b"\x89PNG"));
    assert_eq!(server.get("/openapi.json").json()["openapi"], "3.1.0");
}

#[test]
fn a_key_is_needed_beyond_this_machine() {
    let place = Place::new();
    place.write("key", b"  s3cret\n");
    place.write("empty", b"\n");
    place.run(&["serve", "--listen", "0.0.0.0:0"]).expect(2, &["--api-key-file"]);
    place.run(&["serve", "--api-key-file", "empty"]).expect(2, &["empty", "visible"]);
    place.run(&["serve", "--api-key-file", "none"]).expect(2, &["none"]);
    place.run(&["serve", "--banks", "none"]).expect(2, &["--banks none"]);
    place.run(&["serve", "--banks", "."]).expect(2, &["no *.bank"]);
    place.run(&["serve", "--allow-origin", "example.org"]).expect(2, &["origin"]);
    let server = Server::start(&["--api-key-file", place.path("key").to_str().unwrap()]);
    assert_eq!(server.get("/health").status, 200);
    for headers in ["", "Token: wrong\r\n", "Authorization: Bearer s3cre\r\n"] {
        server.ask("GET", "/v1/models", headers, b"").refused(401, "API key");
    }
    for headers in ["Token: s3cret\r\n", "X-API-Key: s3cret\r\n", "Authorization: Bearer s3cret\r\n"] {
        assert_eq!(server.ask("GET", "/v1/models", headers, b"").status, 200);
    }
    server.get("/metrics").refused(401, "API key");
    assert!(!server.err.lock().unwrap().contains("s3cret"));
    // The port is taken.
    place.run(&["serve", "--listen", &server.address]).expect(2, &["cannot listen there"]);
}

/// Large enough to keep a CPU driver busy for some time.
const SLOW: [&str; 2] = ["--size", "256"];

#[test]
fn a_full_queue_says_when_to_come_again() {
    let server = Server::of(&SLOW, &["--queue", "1"]);
    let body = predict().to_string();
    let mut waiting: Vec<TcpStream> = (0..8).map(|_| server.send("POST", "/v1/predict", "", body.as_bytes())).collect();
    let answers: Vec<Answer> = waiting.drain(..).map(read).collect();
    let (done, refused): (Vec<&Answer>, Vec<&Answer>) = answers.iter().partition(|answer| answer.status == 200);
    assert!(!done.is_empty() && !refused.is_empty(), "{answers:?}");
    for answer in refused {
        answer.refused(503, "too many");
        assert!(answer.head.contains("retry-after: "), "{}", answer.head);
    }
    until(|| server.metric("diffews_queue_length") == 0.0, "the queue is empty");
    assert_eq!(server.post("/v1/predict", &predict()).status, 200);
}

#[test]
fn who_goes_away_is_forgotten() {
    let server = Server::of(&SLOW, &[]);
    let body = predict().to_string();
    let gone: Vec<TcpStream> = (0..5).map(|_| server.send("POST", "/v1/predict", "", body.as_bytes())).collect();
    let all_wait = server.works(5.0);
    drop(gone);
    server.says("\"POST /v1/predict\" 499 - ");
    until(|| server.metric("diffews_queue_length") == 0.0, "the queue is empty");
    assert_eq!(server.post("/v1/predict", &predict()).status, 200);
    // Waiting requests were not computed, and the running one was stopped.
    if all_wait {
        let [done, left] = ["seconds_count", "left_total"].map(|name| server.metric(&format!("diffews_work_{name}")));
        assert!(done == 1.0 && left == 1.0, "{done} done, {left} left");
    }
}

#[cfg(unix)]
#[test]
fn what_runs_is_finished_at_the_end() {
    let mut server = Server::of(&SLOW, &[]);
    let body = predict().to_string();
    let idle = server.connect();
    let asked: Vec<TcpStream> = (0..2).map(|_| server.send("POST", "/v1/predict", "", body.as_bytes())).collect();
    server.works(2.0);
    crate::command::signal(&server.child, nix::sys::signal::Signal::SIGTERM);
    for stream in asked {
        let answer = read(stream);
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let started = Instant::now();
    let status = server.child.wait().unwrap();
    assert_eq!(status.code(), Some(0), "{}", server.err.lock().unwrap());
    assert!(started.elapsed() < Duration::from_secs(20));
    assert!(TcpStream::connect(&server.address).is_err());
    drop(idle);
}
