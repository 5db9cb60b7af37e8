//! A server for weights, whose behaviour a test defines.

// Each of its users needs only a part.
#![allow(dead_code)]

use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Including the query string.
    pub path: String,
    /// The first byte of the range, if there is one.
    pub from: Option<usize>,
}

/// An answer.
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Bytes after which the connection ends.
    pub cut: Option<usize>,
    /// Repeats the body without end.
    pub endless: bool,
}

impl Reply {
    pub fn of(status: u16, body: impl Into<Vec<u8>>) -> Reply {
        let body = body.into();
        let length = ("Content-Length".to_owned(), body.len().to_string());
        Reply { status, headers: vec![length], body, cut: None, endless: false }
    }

    pub fn with(mut self, name: &str, value: impl ToString) -> Reply {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    pub fn cut(self, bytes: usize) -> Reply {
        Reply { cut: Some(bytes), ..self }
    }

    fn send(&self, stream: &mut TcpStream) -> std::io::Result<()> {
        let mut head = format!("HTTP/1.1 {} Test\r\nConnection: close\r\n", self.status);
        for (name, value) in self.headers.iter().filter(|(name, _)| !self.endless || name != "Content-Length") {
            head += &format!("{name}: {value}\r\n");
        }
        stream.write_all((head + "\r\n").as_bytes())?;
        stream.write_all(&self.body[..self.cut.unwrap_or(self.body.len())])?;
        if !self.endless {
            return Ok(());
        }
        // Until the client disconnects.
        loop {
            stream.write_all(&self.body)?;
        }
    }
}

/// Runs until the process ends.
pub struct Server {
    /// `http://127.0.0.1:PORT`.
    pub address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// `answer` receives each request and its number.
    pub fn start(mut answer: impl FnMut(&Asked, usize) -> Reply + Send + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let log = Arc::new(Mutex::new(Vec::new()));
        let asked = log.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let Some(asked) = read(&mut stream) else { continue };
                let n = {
                    let mut all = log.lock().unwrap();
                    all.push(asked.clone());
                    all.len() - 1
                };
                // A client that has gone is no failure of the server.
                let _ = answer(&asked, n).send(&mut stream);
            }
        });
        Server { address, asked }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// The start offsets requested for files whose paths end in `end`.
    pub fn starts(&self, end: &str) -> Vec<usize> {
        self.asked().iter().filter(|asked| asked.path.ends_with(end)).map(|asked| asked.from.unwrap_or(0)).collect()
    }
}

fn read(stream: &mut TcpStream) -> Option<Asked> {
    let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
    while !text.windows(4).any(|w| w == b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(n) if n > 0 => text.extend_from_slice(&buffer[..n]),
            _ => return None,
        }
    }
    let text = String::from_utf8(text).unwrap();
    let path = text.split(' ').nth(1).unwrap().to_owned();
    let range =
        text.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("range: bytes=").map(str::to_owned));
    Some(Asked { path, from: range.map(|range| range.trim_end_matches('-').parse().unwrap()) })
}

/// Contents of a repository, by path.
#[derive(Clone, Default)]
pub struct Files(pub BTreeMap<String, Vec<u8>>);

impl Files {
    fn hash(bytes: &[u8]) -> String {
        Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub fn modelscope(&self) -> serde_json::Value {
        let file = |(path, bytes): (&String, &Vec<u8>)| serde_json::json!({"Path": path, "Name": path, "Size": bytes.len(), "Sha256": Files::hash(bytes), "Type": "blob"});
        let mut all: Vec<serde_json::Value> = self.0.iter().map(file).collect();
        all.push(serde_json::json!({"Path": "incontext", "Size": 0, "Sha256": "", "Type": "tree"}));
        serde_json::json!({"Code": 200, "Data": {"Files": all}, "Success": true})
    }

    pub fn hugging_face(&self) -> serde_json::Value {
        let file = |(path, bytes): (&String, &Vec<u8>)| {
            let mut file = serde_json::json!({"type": "file", "oid": "0", "size": bytes.len(), "path": path});
            if path.ends_with(".safetensors") {
                file["lfs"] = serde_json::json!({"oid": Files::hash(bytes), "size": bytes.len(), "pointerSize": 134});
            }
            file
        };
        self.0.iter().map(file).collect()
    }

    /// Answers as a correct server does, for repository `o/n` in either layout.
    pub fn answer(&self, asked: &Asked) -> Reply {
        if asked.path.contains("/api/v1/models/") {
            return Reply::of(200, self.modelscope().to_string());
        }
        if asked.path.contains("/api/models/") {
            return Reply::of(200, self.hugging_face().to_string());
        }
        let path = asked.path.split("/resolve/").nth(1).and_then(|rest| rest.split_once('/')).map(|(_, path)| path);
        match (path.and_then(|path| self.0.get(path)), asked.from) {
            (None, _) => Reply::of(404, "none"),
            (Some(bytes), None) => Reply::of(200, bytes.clone()),
            (Some(bytes), Some(from)) if from >= bytes.len() => Reply::of(416, ""),
            (Some(bytes), Some(from)) => {
                let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
                Reply::of(206, &bytes[from..]).with("Content-Range", range)
            }
        }
    }
}
