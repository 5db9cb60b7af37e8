//! Progress as server-sent events.

use super::client::{Server, base64, read, until};
use serde_json::{Value, json};
use std::io::Read;

const EVENTS: &str = "Accept: text/event-stream\r\n";

/// The events of an answer: names and data.
fn events(body: &[u8]) -> Vec<(String, Value)> {
    let text = String::from_utf8(body.to_vec()).unwrap();
    let data: String = text.split("\r\n").filter(|line| usize::from_str_radix(line, 16).is_err()).collect();
    let event = |part: &str| {
        let (name, data) = part.strip_prefix("event: ")?.split_once("\ndata: ")?;
        Some((name.to_owned(), serde_json::from_str(data).unwrap()))
    };
    data.split("\n\n").filter_map(event).collect()
}

fn by_examples() -> Value {
    let shown = json!({"image": base64("support.png"), "mask": base64("support_mask.png")});
    json!({"examples": [shown], "image": base64("query.png")})
}

#[test]
fn steps_come_before_the_answer() {
    let server = Server::start(&[]);
    let segment = |headers: &str, body: &Value| server.ask("POST", "/v1/segment", headers, body.to_string().as_bytes());
    let answer = segment(EVENTS, &by_examples());
    assert!(answer.status == 200 && answer.head.contains("content-type: text/event-stream"), "{answer:?}");
    let told = events(&answer.body);
    let ((last, found), steps) = told.split_last().unwrap();
    assert_eq!((last.as_str(), &steps[0]), ("done", &("step".to_owned(), json!({"stage": "wait", "done": 0.0}))));
    assert!(
        steps.len() > 1 && steps.iter().all(|(name, step)| name == "step" && step["done"].is_number()),
        "{steps:?}"
    );
    let at_once = segment("", &by_examples()).json();
    assert_eq!((&found["mask"], &found["score"]), (&at_once["mask"], &at_once["score"]));

    // Errors found before the device runs have a status of their own.
    segment(EVENTS, &json!({"image": base64("query.png")})).refused(400, "no example");
    let banks =
        server.ask("POST", "/v1/banks", EVENTS, json!({"examples": by_examples()["examples"]}).to_string().as_bytes());
    let made = events(&banks.body).pop().unwrap();
    assert_eq!((made.0.as_str(), &made.1["examples"]), ("done", &json!(1)));
}

#[test]
fn closing_a_stream_stops_its_work() {
    let server = Server::of(&super::SLOW, &[]);
    let body = by_examples().to_string();
    let mut streams: Vec<_> = (0..4).map(|_| server.send("POST", "/v1/segment", EVENTS, body.as_bytes())).collect();
    // The head and the first event.
    streams.iter_mut().for_each(|stream| stream.read_exact(&mut [0; 64]).unwrap());
    let all_wait = server.works(4.0);
    drop(streams);
    until(|| server.metric("diffews_queue_length") == 0.0, "the queue is empty");
    if all_wait {
        // The running one was stopped or had just finished; the others never started.
        let ended = || server.metric("diffews_work_left_total") + server.metric("diffews_work_seconds_count");
        until(|| ended() >= 1.0, "the device has stopped");
        assert_eq!(ended(), 1.0);
    }
    assert_eq!(read(server.send("POST", "/v1/segment", "", body.as_bytes())).status, 200);
}

#[test]
fn marks_make_masks() {
    let server = Server::start(&[]);
    let mask = |body: Value| server.post("/v1/masks", &body);
    let made = mask(json!({"image": base64("support.png"), "boxes": [[60, 120, 230, 250]]}));
    assert_eq!(made.status, 200, "{made:?}");
    let made = made.json();
    let segment = |example: Value| {
        server.post("/v1/segment", &json!({"examples": [example], "image": base64("query.png")})).json()["mask"].clone()
    };
    let by_mask = segment(json!({"image": base64("support.png"), "mask": made["mask"]}));
    assert_eq!(by_mask, segment(json!({"image": base64("support.png"), "boxes": [[60, 120, 230, 250]]})));
    mask(json!({"image": base64("support.png")})).refused(400, "");
    mask(json!({"image": base64("support.png"), "mask": base64("support_mask.png")})).refused(400, "has a mask");
}
