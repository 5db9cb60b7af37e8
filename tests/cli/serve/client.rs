//! A server in its own process, and a client on the standard library's sockets.

use crate::command::{Place, repository};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A server that ends with the test.
pub struct Server {
    pub child: Child,
    pub address: String,
    pub err: Arc<Mutex<String>>,
    _place: Place,
}

/// The answer to a request.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// In lower case.
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// Expects a problem with this status whose text contains `part`.
    #[track_caller]
    pub fn refused(&self, status: u16, part: &str) {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, status, "{text}");
        assert!(self.head.contains("application/problem+json"), "{}", self.head);
        let problem = self.json();
        assert_eq!(problem["status"], status);
        assert!(problem["detail"].as_str().unwrap().contains(part), "{part:?} is not in {text}");
    }
}

impl Server {
    /// Starts a server with the model `bug` and these additional flags.
    pub fn start(flags: &[&str]) -> Server {
        Server::of(&[], flags)
    }

    /// Like the above, for a network with a given picture size.
    pub fn of(size: &[&str], flags: &[&str]) -> Server {
        let place = Place::new();
        std::fs::create_dir(place.path("banks")).unwrap();
        let (support, mask) = (example("support.png"), example("support_mask.png"));
        let encode = ["bank", "encode", "-q", "-o", "banks/bug.bank", "--name", "lady bug", "--support"];
        let files = [support.to_str().unwrap(), "--mask", mask.to_str().unwrap()];
        place.run(&[&encode[..], &files, size].concat()).expect(0, &[]);
        let args = [&["serve", "--listen", "127.0.0.1:0", "--banks", "banks"], size, flags].concat();
        let mut child = place.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let err = Arc::new(Mutex::new(String::new()));
        let (heard, mut stderr) = (err.clone(), BufReader::new(child.stderr.take().unwrap()));
        std::thread::spawn(move || {
            let mut line = String::new();
            while stderr.read_line(&mut line).is_ok_and(|n| n > 0) {
                heard.lock().unwrap().push_str(&std::mem::take(&mut line));
            }
        });
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address =
            line.trim().strip_prefix("http://").unwrap_or_else(|| panic!("{}", err.lock().unwrap())).to_owned();
        Server { child, address, err, _place: place }
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        stream
    }

    /// Sends a request without waiting for its answer.
    pub fn send(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> TcpStream {
        let mut stream = self.connect();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        // A server that refuses need not read everything.
        let _ = stream.write_all(body);
        stream
    }

    pub fn ask(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
        read(self.send(method, path, headers, body))
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "", b"")
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path, "Content-Type: application/json\r\n", body.to_string().as_bytes())
    }

    /// The value of a line of /metrics.
    pub fn metric(&self, name: &str) -> f64 {
        let text = String::from_utf8(self.get("/metrics").body).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Waits until stderr contains `part`.
    #[track_caller]
    pub fn says(&self, part: &str) {
        until(|| self.err.lock().unwrap().contains(part), part);
    }

    /// Waits until the queue has that many requests; false if a fast device has finished some by then.
    #[track_caller]
    pub fn works(&self, places: f64) -> bool {
        let done = || self.metric("diffews_work_seconds_count") > 0.0;
        until(|| self.metric("diffews_queue_length") >= places || done(), "the queue is longer");
        !done()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[track_caller]
pub fn until(so: impl Fn() -> bool, what: &str) {
    let started = Instant::now();
    while !so() {
        assert!(started.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub fn read(mut stream: TcpStream) -> Answer {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    let at = all.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or_else(|| panic!("no answer: {all:?}"));
    let head = String::from_utf8(all[..at].to_vec()).unwrap().to_ascii_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head, body: all[at + 4..].to_vec() }
}

pub fn example(name: &str) -> PathBuf {
    repository().join("examples/0").join(name)
}

pub fn base64(name: &str) -> String {
    STANDARD.encode(std::fs::read(example(name)).unwrap())
}
