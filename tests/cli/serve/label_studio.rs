//! Label Studio's side of the protocol, as its versions 1.14 to 1.23 speak it (`label_studio/ml/api_connector.py`, `webhooks/utils.py`).

use super::client::{Answer, Server, example, read};
use diffews_wgpu::formats::label_studio::brush;
use diffews_wgpu::formats::read::label_studio::{drawn, mask};
use diffews_wgpu::image_io::Region;
use diffews_wgpu::{Mask, open_image};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

const CONFIG: &str = r#"<View><Image name="image" value="$image"/><BrushLabels name="tag" toName="image">
    <Label value="bug"/><Label value="bee"/></BrushLabels></View>"#;
const PROJECT: &str = "7.1700000000";

/// Paths and their contents.
type Files = Vec<(&'static str, Vec<u8>)>;

/// Stands in for Label Studio: serves files by path to clients with the token.
struct Studio {
    url: String,
    files: Arc<Mutex<Files>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Studio {
    fn start(files: Files) -> Studio {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let files = Arc::new(Mutex::new(files));
        let (heard, known) = (asked.clone(), files.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                let mut head = Vec::new();
                for line in BufReader::new(stream.try_clone().unwrap()).lines() {
                    match line {
                        Ok(line) if !line.is_empty() => head.push(line.to_lowercase()),
                        _ => break,
                    }
                }
                let path = head.first().and_then(|line| line.split(' ').nth(1)).unwrap_or("").to_owned();
                heard.lock().unwrap().push(path.clone());
                let has_token = head.contains(&"authorization: token t0ken".to_owned());
                let files = known.lock().unwrap();
                let (status, body) = match files.iter().find(|(own, _)| path == own.to_lowercase()) {
                    _ if !has_token => ("401 Unauthorized", &b""[..]),
                    Some((_, bytes)) => ("200 OK", &bytes[..]),
                    None => ("404 Not Found", &b""[..]),
                };
                let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
                let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
            }
        });
        Studio { url, files, asked }
    }

    /// Sets the project's export.
    fn exports(&self, all: Value) {
        let export = "/api/projects/7/export?exportType=JSON";
        let mut files = self.files.lock().unwrap();
        files.retain(|(path, _)| *path != export);
        files.push((export, all.to_string().into_bytes()));
    }
}

fn file(name: &str) -> Vec<u8> {
    std::fs::read(example(name)).unwrap()
}

/// The example's mask as an annotation's result.
fn annotated() -> Value {
    let grey = image::open(example("support_mask.png")).unwrap().into_luma8();
    let mask = Mask::new(256, 256, grey.pixels().map(|pixel| pixel.0[0] > 127).collect()).unwrap();
    let rle = brush(&Region::of(&mask)).unwrap();
    json!([{
        "id": "a", "from_name": "tag", "to_name": "image", "type": "brushlabels",
        "original_width": 256, "original_height": 256, "image_rotation": 0,
        "value": {"format": "rle", "rle": rle, "brushlabels": ["bug"]},
    }])
}

fn webhook(action: &str, with: Value) -> Value {
    let mut body = json!({"action": action, "project": {"id": 7, "title": "bugs"}});
    body.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
    body
}

fn predict(tasks: Value, context: Value) -> Value {
    let params = json!({"login": null, "password": null, "context": context});
    json!({"tasks": tasks, "project": PROJECT, "label_config": CONFIG, "params": params})
}

fn setup(server: &Server) -> Answer {
    let body =
        json!({"project": PROJECT, "schema": CONFIG, "hostname": "http://evil.example", "access_token": "t0ken"});
    server.post("/setup", &body)
}

fn connected(studio: &Studio) -> Server {
    let server = Server::start(&["--precision", "f32", "--label-studio", &studio.url]);
    assert_eq!(setup(&server).status, 200);
    server
}

/// The mask of a prediction's regions.
fn found(prediction: &Value) -> Vec<bool> {
    let picture = open_image(example("query.png")).unwrap();
    mask(&drawn(&prediction["result"]), &picture).unwrap().foreground().to_vec()
}

#[test]
fn annotations_become_examples() {
    let export = json!([{"id": 1, "data": {"image": "/data/upload/7/support.png"},
        "annotations": [{"id": 11, "result": annotated(), "was_cancelled": false}]}]);
    let files = vec![
        ("/data/upload/7/support.png", file("support.png")),
        ("/data/upload/7/query.png", file("query.png")),
        ("/api/projects/8/export?exportType=JSON", export.to_string().into_bytes()),
    ];
    let studio = Studio::start(files);
    studio.exports(json!([]));
    let server = connected(&studio);
    let before = setup(&server).json()["model_version"].clone();
    let tasks = json!([{"id": 2, "project": 7, "data": {"image": "/data/upload/7/query.png"}}]);
    let empty = server.post("/predict", &predict(tasks.clone(), Value::Null)).json();
    assert_eq!((&empty["results"][0]["result"], &empty["model_version"]), (&json!([]), &before));

    let task = json!({"id": 1, "data": {"image": "/data/upload/7/support.png"}});
    let annotation = json!({"id": 10, "result": annotated()});
    studio.exports(json!([{"id": 1, "data": task["data"], "annotations": [annotation]}]));
    let created = webhook("ANNOTATION_CREATED", json!({"annotation": annotation, "task": task}));
    assert_eq!(server.post("/webhook", &created).status, 201);
    let after = setup(&server).json()["model_version"].clone();
    assert_ne!(before, after);
    let answer = server.post("/predict", &predict(tasks.clone(), Value::Null)).json();
    let prediction = &answer["results"][0];
    assert_eq!((&prediction["model_version"], &answer["model_version"]), (&after, &after));
    assert!(prediction["score"].as_f64().unwrap() > 0.3, "{}", prediction["score"]);
    let region = &prediction["result"][0];
    assert_eq!(
        (&region["type"], &region["from_name"], &region["to_name"]),
        (&json!("brushlabels"), &json!("tag"), &json!("image"))
    );
    assert_eq!((&region["value"]["brushlabels"], &region["original_width"]), (&json!(["bug"]), &json!(256)));
    // The command's result, without regions too small to be deleted by hand.
    let by_the_command: Vec<bool> =
        super::by_the_command(&["--min-area", "7"]).pixels().map(|p| p.0[0] > 127).collect();
    assert!(found(prediction) == by_the_command);
    // The example was fetched once.
    server.post("/predict", &predict(tasks.clone(), Value::Null));
    let fetched = studio.asked.lock().unwrap().iter().filter(|path| path.ends_with("support.png")).count();
    assert_eq!(fetched, 1);

    // Another project reads annotations from before it was connected.
    let mut other = predict(tasks.clone(), Value::Null);
    other["project"] = json!("8.1");
    server.post("/setup", &json!({"project": "8.1", "schema": CONFIG, "access_token": "t0ken"}));
    assert!(found(&server.post("/predict", &other).json()["results"][0]) == by_the_command);

    studio.exports(json!([]));
    assert_eq!(
        server.post("/webhook", &webhook("ANNOTATIONS_DELETED", json!({"annotations": [{"id": 10}]}))).status,
        201
    );
    let none = server.post("/predict", &predict(tasks, Value::Null)).json();
    assert_eq!(none["results"][0]["result"], json!([]));
    assert_eq!(server.get("/health").status, 200);
}

#[test]
fn smart_tools_get_masks_of_marks() {
    let studio = Studio::start(vec![("/q.png", file("support.png"))]);
    let server = connected(&studio);
    // Around the lady bug's body.
    let value = json!({"x": 8.0, "y": 55.0, "width": 26.0, "height": 33.0, "rotation": 0, "brushlabels": ["bee"]});
    let marks = json!({"result": [{"type": "rectangle", "from_name": "r", "to_name": "image", "value": value}]});
    let tasks = json!([{"id": 2, "data": {"image": "/q.png"}}]);
    let answer = server.post("/predict", &predict(tasks.clone(), marks)).json();
    let region = &answer["results"][0]["result"][0];
    assert_eq!((&region["type"], &region["value"]["brushlabels"]), (&json!("brushlabels"), &json!(["bee"])));
    let truth = image::open(example("support_mask.png")).unwrap().into_luma8();
    let truth: Vec<bool> = truth.pixels().map(|pixel| pixel.0[0] > 127).collect();
    let made = mask(&drawn(&answer["results"][0]["result"]), &open_image(example("support.png")).unwrap()).unwrap();
    let both =
        |join: fn(bool, bool) -> bool| truth.iter().zip(made.foreground()).filter(|(a, b)| join(**a, **b)).count();
    let iou = both(|a, b| a && b) as f64 / both(|a, b| a || b) as f64;
    assert!(iou > 0.6, "{iou}");
    let nowhere = json!({"result": [{"type": "keypointlabels", "value": {"x": 500.0, "y": 50.0}}]});
    server.post("/predict", &predict(tasks, nowhere)).refused(400, "");
}

#[test]
fn what_label_studio_would_not_send_is_refused() {
    let server = Server::start(&[]);
    let mut body = json!({"project": PROJECT, "schema": "<View/>"});
    server.post("/setup", &body).refused(400, "BrushLabels");
    body["project"] = json!("../../etc");
    server.post("/setup", &body).refused(400, "number");
    for path in ["/setup", "/predict", "/webhook"] {
        server.ask("POST", path, "", b"{").refused(400, "JSON");
    }
    server.post("/predict", &predict(json!([]), Value::Null)).refused(400, "0 tasks");
    let task = |image: &str| predict(json!([{"data": {"image": image}}]), Value::Null);
    server.post("/predict", &task("/data/upload/7/a.png")).refused(403, "does not know the address of Label Studio");
    server
        .post("/predict", &task("http://127.0.0.1:9/a.png"))
        .refused(403, "does not know the address of Label Studio");
    server.post("/predict", &predict(json!([{"data": {}}]), Value::Null)).refused(400, "field image");
    server.post("/predict", &task("data:image/png;base64,aGk=")).refused(400, "picture");
    assert_eq!(server.post("/webhook", &json!({"action": "PROJECT_UPDATED"})).status, 201);
    server.post("/webhook", &json!({"action": "ANNOTATION_CREATED", "project": "x"})).refused(400, "number");
    let hostile = webhook(
        "ANNOTATION_CREATED",
        json!({"annotation": {"id": 1, "result": [[], 7, {"type": 9}]}, "task": {"data": 3}}),
    );
    assert_eq!(server.post("/webhook", &hostile).status, 201);
    let bug = json!({"type": "brushlabels", "value": {"rle": [9, 9], "brushlabels": ["bug"]}});
    let damaged =
        json!({"annotation": {"id": 2, "result": [bug]}, "task": {"data": {"image": "data:image/png;base64,aGk="}}});
    assert_eq!(server.post("/webhook", &webhook("ANNOTATION_CREATED", damaged)).status, 201);
    let url = format!("data:image/png;base64,{}", super::base64("query.png"));
    // One broken picture does not affect the others.
    let tasks = json!([{"data": {"image": url}}, {"data": {"image": "/a.png"}}]);
    let answer = server.post("/predict", &predict(tasks, Value::Null));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!((&answer.json()["results"][0]["result"], &answer.json()["results"][1]), (&json!([]), &json!([])));
    server.says("a task gets no prediction");
    server.says("annotation 2 of project 7 gives no example");
    let answer = read(server.send("GET", "/predict", "", b""));
    answer.refused(405, "other methods");
}

#[test]
fn what_cannot_be_read_brings_no_empty_predictions() {
    let studio = Studio::start(vec![("/q.png", file("query.png"))]);
    let server = connected(&studio);
    let tasks = json!([{"id": 2, "data": {"image": "/q.png"}}]);
    // The project is unknown, and its annotations cannot be fetched.
    server.post("/predict", &predict(tasks.clone(), Value::Null)).refused(502, "404");
    // An example whose picture is missing.
    let annotation = json!({"id": 10, "result": annotated()});
    let task = json!({"data": {"image": "/gone.png"}});
    studio.exports(json!([{"data": task["data"], "annotations": [annotation]}]));
    let created = webhook("ANNOTATION_CREATED", json!({"annotation": annotation, "task": task}));
    assert_eq!(server.post("/webhook", &created).status, 201);
    server.post("/predict", &predict(tasks, Value::Null)).refused(502, "404");
}
