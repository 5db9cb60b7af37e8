//! README.md and docs/guide.md: runs their commands as written.

use crate::command::{Place, lines, repository};
use std::path::Path;

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => drop(std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}

/// The commands of the blocks marked `sh`, with continued lines joined.
fn commands(text: &str) -> Vec<String> {
    let blocks = text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let joined = blocks.map(|block| block.replace("\\\n", " ")).collect::<String>();
    joined.lines().map(str::to_owned).collect()
}

/// Runs a page's commands in an empty folder that has the examples.
fn run(page: &str) -> Place {
    let place = Place::new();
    copy(&repository().join("examples"), &place.path("examples"));
    let commands = commands(&std::fs::read_to_string(repository().join(page)).unwrap());
    assert!(commands.len() >= 6, "{commands:?}");
    for command in &commands {
        let (command, file) = command.split_once(" > ").map_or((command.as_str(), None), |(c, f)| (c, Some(f)));
        let mut words = command.split_whitespace();
        assert_eq!(words.next(), Some("diffews-wgpu"), "{command}");
        let run = place.run(&words.collect::<Vec<_>>()).expect(0, &[]);
        if let Some(file) = file {
            place.write(file.trim(), run.out.as_bytes());
        }
    }
    place
}

#[test]
fn the_guides_commands_do_what_it_says() {
    let place = run("docs/guide.md");
    // The guide's statements about the results.
    let found: Vec<bool> = lines(&std::fs::read_to_string(place.path("found.jsonl")).unwrap())
        .iter()
        .map(|answer| answer["found"].as_bool().unwrap())
        .collect();
    assert_eq!(found, [true, true, true, false]);
    let coco: serde_json::Value = serde_json::from_slice(&std::fs::read(place.path("lemons.json")).unwrap()).unwrap();
    assert_eq!((coco["images"].as_array().unwrap().len(), &coco["categories"][0]["name"]), (4, &"lemon".into()));
    for file in ["results/crate_1_mask.png", "results/crate_4_overlay.png", "lemon.bank", "made_mask.png"] {
        assert!(place.path(file).exists(), "{file}");
    }
}

#[test]
fn the_readmes_commands_make_what_its_pictures_show() {
    let place = run("README.md");
    for file in
        ["found/crate_1_mask.png", "lemon_mask.png", "lemons_overlay.png", "banked/crate_3_overlay.png", "labels.png"]
    {
        assert!(place.path(file).exists(), "{file}");
    }
}
