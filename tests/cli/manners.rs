//! Conventions that shells and systems expect of a command.

use crate::command::{Place, names};
use std::fs;

#[test]
fn completions_know_every_verb() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = place.run(&["completions", shell]).expect(0, &[]).out;
        for word in ["infer", "conformance", "completions", "kv-sample", "model", "fetch"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    place.run(&["completions", "dos"]).expect(2, &["bash", "zsh"]);
}

#[test]
fn each_verb_has_a_page() {
    let place = Place::new();
    place.run(&["man", "share/man1"]).expect(0, &["share/man1: "]);
    let dir = place.path("share/man1");
    let pages = names(&dir);
    for name in ["", "-infer", "-bank", "-bank-encode", "-model-fetch", "-eval-merge", "-man"] {
        assert!(pages.contains(&format!("diffews-wgpu{name}.1")), "{name}: {pages:?}");
    }
    for page in &pages {
        let text = fs::read_to_string(dir.join(page)).unwrap();
        assert!(text.contains(".TH") && text.contains(".SH SYNOPSIS") && !text.contains('\u{1b}'), "{page}");
    }
    let infer = fs::read_to_string(dir.join("diffews-wgpu-infer.1")).unwrap();
    assert!(infer.contains(".nf") && infer.contains("kv\\-sample") && infer.contains("cat_mask.png"), "{infer}");
    place.run(&["man", "share/man1"]).expect(1, &["diffews-wgpu", "--force"]);
    place.run(&["man", "share/man1", "--force"]).expect(0, &[]);
    place.run(&["man", "q.png"]).expect(1, &["q.png"]);
}
