//! Signals, and files that never arrive.

use crate::command::{Place, infer, picture, signal};
use nix::fcntl::{OFlag, open};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

fn start(place: &Place, args: &[&str]) -> Child {
    place.command(&infer(args)).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Expects the exit code within the time limit.
#[track_caller]
fn ends(mut child: Child, code: i32, says: &[&str]) {
    let started = Instant::now();
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if started.elapsed() > Duration::from_secs(60) => {
                child.kill().unwrap();
                panic!("it does not end");
            }
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    };
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    println!("after {:.1} s", started.elapsed().as_secs_f64());
    assert_eq!(status.code(), Some(code), "{err}");
    for part in says {
        assert!(err.contains(part), "{part:?} is not in: {err}");
    }
}

#[test]
fn sigterm_has_its_own_code_and_says_how_to_go_on() {
    let place = Place::new();
    fs::create_dir(place.path("in")).unwrap();
    for i in 0..20 {
        picture(60, 50).save(place.path(&format!("in/{i:02}.png"))).unwrap();
    }
    for (which, code) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130)] {
        let mut child = start(&place, &["--query", "in", "--output", "out", "--size", "256", "--skip-existing"]);
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        signal(&child, which);
        ends(child, code, &["interrupted", "queries are done", "run the same command"]);
    }
}

/// A pipe without a writer blocks its reader for ever. The other query's result is printed, and a signal ends the process.
#[test]
fn a_pipe_that_nobody_writes_to_does_not_hold_the_process() {
    let place = Place::new();
    let pipe = place.path("pipe.png");
    mkfifo(&pipe, Mode::S_IRWXU).unwrap();
    let mut child = start(&place, &["--size", "256", "--query", "q.png", "pipe.png"]);
    // Opening fails until there is a reader.
    let started = Instant::now();
    let held = loop {
        match open(&pipe, OFlag::O_WRONLY | OFlag::O_NONBLOCK, Mode::empty()) {
            Ok(held) => break held,
            Err(error) if started.elapsed() > Duration::from_secs(600) => {
                child.kill().unwrap();
                panic!("nobody reads the pipe: {error}");
            }
            Err(_) => {}
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.starts_with("q.png"), "{first}");
    signal(&child, Signal::SIGTERM);
    ends(child, 143, &["interrupted", "1 of 2 queries are done", "--skip-existing"]);
    drop(held);
}

/// A file that was a picture when the folder was listed may be a pipe when it is read.
#[test]
fn a_pipe_in_place_of_a_listed_picture_is_refused() {
    let place = Place::new();
    fs::create_dir(place.path("in")).unwrap();
    for i in 0..16 {
        picture(60, 50).save(place.path(&format!("in/{i:02}.png"))).unwrap();
    }
    let mut child = start(&place, &["--query", "in", "--output", "out"]);
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    out.read_line(&mut first).unwrap();
    fs::remove_file(place.path("in/15.png")).unwrap();
    mkfifo(&place.path("in/15.png"), Mode::S_IRWXU).unwrap();
    assert_eq!(out.lines().count(), 14);
    ends(child, 6, &["in/15.png: cannot be read: is not a regular file", "1 of 16 queries failed"]);
}

/// The estimate comes before the work.
#[test]
fn a_long_run_on_a_cpu_is_announced() {
    let place = Place::new();
    let all: serde_json::Value = serde_json::from_str(&place.run(&["devices", "--json"]).expect(0, &[]).out).unwrap();
    let chosen = all.as_array().unwrap().iter().find(|a| a["chosen"] == true).unwrap();
    if chosen["device_type"] != "Cpu" {
        return;
    }
    let mut child = start(&place, &["--query", "q.png", "--size", "1024"]);
    let mut err = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("TFLOP") && err.read_line(&mut said).unwrap() > 0 {}
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(said.contains("TFLOP for each query, about") && said.contains("--size"), "{said}");
    assert_eq!(said.matches("note: no GPU found").count(), 1, "{said}");
    // Naming the adapter silences the note.
    let named = place.infer(&["--query", "q.png", "--size", "16", "--adapter", chosen["name"].as_str().unwrap()]);
    assert!(!named.expect(0, &[]).err.contains("no GPU found"));
}
