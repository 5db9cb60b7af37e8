//! Checks that each kind of fault is found.

use std::process::Command;

/// The output of replaying the target `planted` on an input, and whether there was no finding.
fn replayed(input: &str) -> (String, bool) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("input");
    std::fs::write(&file, input).unwrap();
    let out = Command::new(env!("CARGO_BIN_EXE_diffews_fuzz")).args(["replay", "planted"]).arg(&file).output().unwrap();
    let code = out.status.code().unwrap();
    assert!(code < 2, "{}", String::from_utf8_lossy(&out.stderr));
    (String::from_utf8(out.stdout).unwrap(), code == 0)
}

#[test]
fn sound_inputs_are_no_findings() {
    let (said, sound) = replayed("right");
    assert!(sound && said.contains(": accepted"), "{said}");
    let (said, sound) = replayed("wrong");
    assert!(sound && said.contains("not accepted"), "{said}");
    let (said, sound) = replayed("allowed");
    assert!(sound, "{said}");
}

#[test]
fn planted_faults_are_findings() {
    for (input, kind) in [
        ("panic", "panic: tools/fuzz/src"),
        ("abort", "abort: signal: 6"),
        ("too much", "abort: signal: 6"),
        ("memory", "memory: 419"),
        ("slow", "slow: "),
    ] {
        let (said, sound) = replayed(input);
        assert!(!sound && said.contains(kind), "{input}: {said}");
    }
}

#[test]
fn what_the_library_catches_is_listed_only() {
    let (said, sound) = replayed("caught");
    assert!(sound && said.contains("caught: tools/fuzz/src"), "{said}");
}
