//! docs/commands.md matches the program's help.

use crate::command::{Place, repository};
use std::fmt::Write;

const HEAD: &str = "\
# Commands

Every command with all its flags, as `--help` prints it. `DIFFEWS_WRITE=1 cargo test --release --test cli reference` writes this page.
";

/// The help of a command, and its subcommands.
fn help(place: &Place, command: &[String]) -> (String, Vec<String>) {
    let words: Vec<&str> = command.iter().map(String::as_str).chain(["--help"]).collect();
    // Help shows the values of variables.
    let run = place.run_with(&[("COLUMNS", "200")], &words).expect(0, &[]);
    let list = run.out.split("\nCommands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap_or_default();
    let names = list.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let names = names.filter(|name| !name.is_empty() && *name != "help").map(str::to_owned).collect();
    (run.out, names)
}

fn describe(place: &Place, command: &[String], out: &mut String) {
    let (text, names) = help(place, command);
    let title = if command.is_empty() { String::new() } else { format!(" {}", command.join(" ")) };
    let text: Vec<&str> = text.lines().map(str::trim_end).collect();
    writeln!(out, "\n## diffews-wgpu{title}\n\n```text\n{}\n```", text.join("\n").trim()).unwrap();
    for name in names {
        describe(place, &[command, &[name]].concat(), out);
    }
}

#[test]
fn the_page_of_commands_is_what_help_says() {
    let place = Place::new();
    let mut page = HEAD.to_owned();
    describe(&place, &[], &mut page);
    for command in ["infer", "bank encode", "bank merge", "model fetch", "serve", "conformance report"] {
        assert!(page.contains(&format!("\n## diffews-wgpu {command}\n")), "{command}");
    }
    let path = repository().join("docs/commands.md");
    if std::env::var_os("DIFFEWS_WRITE").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = page.lines().zip(kept.lines()).find(|(new, old)| new != old);
    assert!(
        page == kept,
        "docs/commands.md is not what --help says ({differs:?}): write it anew, as its first lines say"
    );
}
