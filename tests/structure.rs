//! Rooms look down: their `use` lines and paths name no room that the plan below puts above them.

use std::fs;
use std::path::{Path, PathBuf};

/// From top to bottom. A room may use those below it; rooms in one row do not use each other.
const ROOMS: &[&[&str]] = &[
    &["cli", "main"],
    &["eval", "conformance", "bench", "fetch", "serve"],
    &["segment"],
    &["formats"],
    &["tune"],
    &["twins"],
    &["check"],
    &["model"],
    &["kernels"],
    &["cache"],
    &["gpu"],
    &["plan"],
    &["weights", "image_io"],
    &["shader"],
    &["settings"],
    &["files"],
    &["names", "panics", "q8", "shown", "threads"],
];

/// Downward steps that are not permitted.
const NEVER: &[(&str, &[&str])] = &[
    (
        "formats",
        &["tune", "twins", "check", "model", "kernels", "cache", "gpu", "plan", "weights", "shader", "settings"],
    ),
    (
        "fetch",
        &[
            "segment", "formats", "tune", "twins", "check", "model", "kernels", "cache", "gpu", "plan", "image_io",
            "shader", "settings",
        ],
    ),
    ("kernels", &["gpu", "weights", "image_io"]),
    ("model", &["gpu", "image_io"]),
    ("gpu", &["weights", "image_io"]),
    ("plan", &["weights", "image_io", "settings", "files"]),
    ("shader", &["settings", "files", "names", "panics", "shown"]),
];

/// Rooms that may know errors of all kinds: `Error` joins those of every room.
const JOINED: &[&str] = &["eval", "conformance", "bench", "serve", "segment", "model", "cli", "main"];

/// Used only by the command.
const COMMANDS: &[&str] = &["clap", "clap_complete", "clap_mangen", "indicatif", "anyhow", "ctrlc", "env_logger"];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// Errors state facts. Only the command, and messages that only its users read, name flags.
#[test]
fn the_library_names_no_flags() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let others = ["cli", "main.rs", "eval", "conformance"];
    files.retain(|file| !others.iter().any(|room| file.starts_with(root.join(room))));
    assert!(files.len() > 60, "{} files", files.len());
    let is_flag = |line: &str| {
        line.match_indices("--").any(|(at, _)| {
            let before = line[..at].chars().next_back().is_none_or(|c| !c.is_alphanumeric());
            before && line[at + 2..].starts_with(|c: char| c.is_ascii_lowercase())
        })
    };
    assert!(is_flag("\"pass --force\"") && !is_flag("models--x") && !is_flag("a--"));
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let named: Vec<String> = code(&text).lines().filter(|line| is_flag(line)).map(String::from).collect();
        assert!(named.is_empty(), "{}: {named:?}", file.display());
    }
}

/// Code without its comments and unit tests.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    text.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// The names after each `crate::` or `diffews_wgpu::`, including all names of a list in braces.
fn named(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for root in ["crate::", "diffews_wgpu::"] {
        for (at, _) in code.match_indices(root) {
            let rest = &code[at + root.len()..];
            let word = |text: &str| text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            match rest.strip_prefix('{') {
                Some(list) => {
                    // Nested lists contain no rooms.
                    let mut depth = 0;
                    let mut one = String::new();
                    for c in list.chars() {
                        match c {
                            '{' => depth += 1,
                            '}' if depth == 0 => break,
                            '}' => depth -= 1,
                            ',' if depth == 0 => names.push(word(&std::mem::take(&mut one))),
                            _ if depth == 0 => one.push(c),
                            _ => {}
                        }
                    }
                    names.push(word(&one));
                }
                None => names.push(word(rest)),
            }
        }
    }
    names
}

fn floor(room: &str) -> Option<usize> {
    ROOMS.iter().position(|rooms| rooms.contains(&room))
}

/// Names in `code` that `room` must not use.
fn faults(room: &str, code: &str) -> Vec<String> {
    let above = |other: &str| other != room && floor(other).is_some_and(|f| f <= floor(room).unwrap());
    let never = |other: &str| NEVER.iter().any(|(of, others)| *of == room && others.contains(&other));
    let joined = |other: &str| other == "Error" && !JOINED.contains(&room);
    let mut faults: Vec<String> = named(code).into_iter().filter(|n| above(n) || never(n) || joined(n)).collect();
    if !["cli", "main"].contains(&room) {
        let used = |krate: &&&str| code.contains(&format!("use {krate}")) || code.contains(&format!(" {krate}::"));
        faults.extend(COMMANDS.iter().filter(used).map(|krate| krate.to_string()));
    }
    faults
}

#[test]
fn rooms_look_down() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = Vec::new();
    sources(&root, &mut all);
    assert!(all.len() > 100, "only {} files", all.len());
    let mut wrong = Vec::new();
    for path in all {
        let inside = path.strip_prefix(&root).unwrap();
        let room = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        let is_test = inside.iter().any(|part| part.to_str().unwrap().trim_end_matches(".rs").ends_with("tests"));
        // The crate's root, and the errors of all rooms.
        if is_test || ["lib", "error"].contains(&room) {
            continue;
        }
        assert!(floor(room).is_some(), "{}: a room without a place in the plan", inside.display());
        let found = faults(room, &code(&fs::read_to_string(&path).unwrap()));
        wrong.extend(found.into_iter().map(|name| format!("{} names {name}", inside.display())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn steps_upwards_are_seen() {
    assert_eq!(faults("plan", "use crate::kernels::attention;"), ["kernels"]);
    assert_eq!(faults("plan", "use crate::{Error, gpu::{Gpu, kernels}, shader::Kernel};"), ["Error", "gpu"]);
    assert_eq!(faults("model", "fn f(g: &crate::gpu::Gpu) {}"), ["gpu"]);
    assert_eq!(faults("weights", "use crate::image_io::Mask;\nuse clap::Parser;"), ["image_io", "clap"]);
    assert_eq!(faults("kernels", "use crate::plan::Recorder;\nuse crate::shader::Kernel;"), [""; 0]);
    assert_eq!(faults("kernels", &code("// crate::gpu\n#[cfg(test)]\nmod tests {\nuse crate::gpu::Gpu;\n}")), [""; 0]);
}
