//! burn or candle as a child process of `tools/peers/peers.py`: answers lines of JSON on standard input with a line each
//! (docs/performance.md, "Peers").
//!
//!     diffews-peers burn|candle

mod of_burn;
mod of_candle;

use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

/// An operation with its inputs on the peer: runs a number of times and waits, and returns its result.
struct Ready {
    run: Box<dyn FnMut(usize)>,
    result: Box<dyn Fn() -> Vec<f32>>,
}

/// An operation as the driver requests it.
struct Row<'a>(&'a Value);

impl Row<'_> {
    fn op(&self) -> &str {
        self.0["op"].as_str().unwrap_or_default()
    }

    fn dim(&self, name: &str) -> usize {
        self.0["dims"][name].as_u64().unwrap_or_else(|| panic!("no {name}")) as usize
    }

    fn eps(&self) -> f64 {
        self.0["eps"].as_f64().expect("no eps")
    }

    /// Values of an input and its shape.
    fn tensor(&self, name: &str) -> (Vec<f32>, Vec<usize>) {
        let tensor = &self.0["tensors"][name];
        let bytes = std::fs::read(tensor["file"].as_str().expect("no file")).expect("cannot read an input");
        let values = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        let sides = tensor["shape"].as_array().expect("no shape");
        (values, sides.iter().map(|n| n.as_u64().expect("no number") as usize).collect())
    }
}

trait Peer {
    /// The device and versions, for the report.
    fn about(&self) -> Value;
    /// Ways to compute an operation; empty if the peer has no such operation.
    fn variants(&self, op: &str) -> &'static [&'static str];
    fn prepare(&self, row: &Row, variant: &str) -> Ready;
}

/// A sample has as many runs as take 20 ms, but at most 32, as in `bench`.
fn samples(ready: &mut Ready, seconds: f64) -> Vec<f64> {
    let timed = |ready: &mut Ready, copies: usize| {
        let started = Instant::now();
        (ready.run)(copies);
        started.elapsed().as_secs_f64() / copies as f64
    };
    let started = Instant::now();
    let first = timed(ready, 1);
    let copies = ((0.02 / first).ceil() as usize).clamp(1, 32);
    let mut found = if copies == 1 { vec![first] } else { vec![] };
    while found.is_empty() || started.elapsed().as_secs_f64() < seconds {
        found.push(timed(ready, copies));
    }
    found
}

fn answer(peer: &dyn Peer, prepared: &mut HashMap<String, Ready>, asked: &Value) -> Value {
    let variant = asked["variant"].as_str().unwrap_or_default();
    match asked["do"].as_str() {
        Some("variants") => json!({ "variants": peer.variants(asked["op"].as_str().unwrap_or_default()) }),
        Some("prepare") => {
            let mut ready = peer.prepare(&Row(&asked["row"]), variant);
            // The first run compiles, and some peers then try several kernels.
            (ready.run)(1);
            let started = Instant::now();
            (ready.run)(1);
            let seconds = started.elapsed().as_secs_f64();
            let bytes: Vec<u8> = (ready.result)().iter().flat_map(|v| v.to_le_bytes()).collect();
            std::fs::write(asked["out"].as_str().expect("no out"), bytes).expect("cannot write the result");
            prepared.insert(variant.into(), ready);
            json!({ "seconds": seconds })
        }
        Some("time") => {
            let seconds = asked["seconds"].as_f64().unwrap_or(1.0);
            json!({ "samples": samples(prepared.get_mut(variant).expect("not prepared"), seconds) })
        }
        Some("drop") => {
            prepared.clear();
            json!({})
        }
        _ => json!({ "error": "unknown request" }),
    }
}

fn main() {
    let peer: Box<dyn Peer> = match std::env::args().nth(1).as_deref() {
        Some("burn") => Box::new(of_burn::Burn::new()),
        Some("candle") => Box::new(of_candle::Candle),
        _ => panic!("diffews-peers burn|candle"),
    };
    let say = |value: Value| {
        println!("{value}");
        std::io::stdout().flush().expect("nobody listens");
    };
    say(peer.about());
    let mut prepared = HashMap::new();
    for line in std::io::stdin().lock().lines() {
        let asked: Value = serde_json::from_str(&line.expect("nobody asks")).expect("no JSON");
        let answered = catch_unwind(AssertUnwindSafe(|| answer(&*peer, &mut prepared, &asked)));
        say(answered.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            json!({ "error": text.unwrap_or("a panic without a message") })
        }));
    }
}
