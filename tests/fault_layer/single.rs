//! One query, with a fault in each of its calls.

use crate::bed::{Bed, golden, infer};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// One picture to a mask and a map.
fn args() -> Vec<String> {
    let query = golden().join("odd/query.png");
    infer(&[query.to_str().unwrap()], &["--output", "m.png", "--probability", "p.npy", "--force"])
}

fn strs(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}

/// The permitted ends of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// The right result: the device is opened again, or the fault is harmless.
    Right,
    /// The right result, or none and an error.
    RightOrRefused,
    /// No result, and the message that the driver does not run its submissions.
    Disbelieved,
}

const KINDS: [(&str, &str, End); 7] = [
    ("lost", "submit", End::Right),
    ("lost", "wait", End::Right),
    ("timeout", "wait", End::Right),
    ("oom", "submit", End::RightOrRefused),
    ("oom", "allocate", End::RightOrRefused),
    ("fail", "map", End::RightOrRefused),
    ("drop", "submit", End::Disbelieved),
];

#[test]
fn each_call_fails_once_and_nothing_wrong_is_written() {
    let args = args();
    let whole = Bed::new();
    let sound = whole.run("none", &strs(&args));
    assert_eq!(sound.code, 0, "{}", sound.err);
    let (mask, map) = (whole.read("m.png"), whole.read("p.npy"));
    let mut faults = Vec::new();
    for (kind, call, end) in KINDS {
        let calls = sound.calls.get(call).copied().unwrap_or(0);
        assert!(calls > 0, "a run without {call}: {:?}", sound.calls);
        faults.extend((0..calls).map(|n| (format!("{kind}@{call}:{n}"), end)));
    }
    let next = AtomicUsize::new(0);
    let (hits, retries) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || {
        let bed = Bed::new();
        while let Some((fault, end)) = faults.get(next.fetch_add(1, Ordering::SeqCst)) {
            for name in bed.names() {
                std::fs::remove_file(bed.path(&name)).unwrap();
            }
            let run = bed.run(fault, &strs(&args));
            // The number of waits depends on speed.
            hits.fetch_add(usize::from(run.hit), Ordering::SeqCst);
            retries.fetch_add(usize::from(run.err.contains("retrying")), Ordering::SeqCst);
            match run.code {
                0 => {
                    assert!(!run.hit || *end != End::Disbelieved, "{fault}: was not noticed");
                    assert_eq!(bed.names(), ["m.png", "p.npy"], "{fault}");
                    assert!(bed.read("m.png") == mask && bed.read("p.npy") == map, "{fault}: another result");
                }
                4 if *end == End::Disbelieved => {
                    assert!(run.err.contains("has not run all that was submitted"), "{fault}: {}", run.err);
                    assert_eq!(bed.names(), [""; 0], "{fault}");
                }
                1 | 4 => {
                    assert!(run.hit && *end == End::RightOrRefused, "{fault}: exit {}: {}", run.code, run.err);
                    assert_eq!(bed.names(), [""; 0], "{fault}: exit {}", run.code);
                }
                code => panic!("{fault}: exit {code}: {}", run.err),
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, |n| n.get()).min(8) {
            scope.spawn(work);
        }
    });
    let (hits, retries) = (hits.into_inner(), retries.into_inner());
    println!("{} faults, {hits} happened, {retries} runs were tried again", faults.len());
    // Three kinds of faults hit each submission; one of them leads to a retry.
    let submissions = sound.calls["submit"];
    assert!(hits * 10 >= 3 * submissions * 8 && retries * 10 >= submissions * 8, "{hits} {retries}");
}

/// If the device is lost again and again, an error names the stage, and no mask is written.
#[test]
fn a_device_that_stays_lost_is_named() {
    let args = args();
    for fault in ["lost@submit:5+", "lost@wait:5+"] {
        let bed = Bed::new();
        let run = bed.run(fault, &strs(&args));
        assert!(run.code == 1 && run.hit, "{fault}: exit {}: {}", run.code, run.err);
        for part in ["warning: ", "opening the device again and retrying", "device lost", "failed on"] {
            assert!(run.err.contains(part), "{fault}: {part:?} is not in {}", run.err);
        }
        assert_eq!(run.err.matches("retrying").count(), 1, "{fault}: {}", run.err);
        assert_eq!(bed.names(), [""; 0]);
    }
}

/// One SIGTERM ends a process that waits for a hanging device.
#[test]
fn a_signal_ends_a_wait_for_a_device_that_hangs() {
    let args = args();
    for fault in ["hang@submit:3", "hang@submit:30"] {
        let bed = Bed::new();
        let (run, took) = bed.terminated(fault, &strs(&args));
        assert!([130, 143].contains(&run.code), "{fault}: exit {}: {}", run.code, run.err);
        assert!(run.err.contains("interrupted"), "{fault}: {}", run.err);
        assert!(took < Duration::from_secs(4), "{fault}: {took:?}");
        assert_eq!(bed.names(), [""; 0]);
    }
}
