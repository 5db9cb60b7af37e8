//! All links between the pages work, and the book contains every page.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Pages written for people; programs write docs/results.
fn pages() -> Vec<PathBuf> {
    let mut all = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = entry.file_name().unwrap().to_string_lossy().into_owned();
            let skipped = ["target", "node_modules", "results", "demo", "shared", "venv"].contains(&name.as_str());
            if entry.is_dir() && !skipped && !name.starts_with('.') {
                folders.push(entry);
            } else if name.ends_with(".md") && !name.ends_with(".in.md") {
                all.push(entry);
            }
        }
    }
    all
}

/// Lines outside of code blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut code = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !code && !fence
    })
}

/// Anchors of headings, as GitHub and mdBook form them.
fn anchors(text: &str) -> Vec<String> {
    let slug = |line: &str| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    prose(text).filter(|line| line.starts_with('#')).map(slug).collect()
}

/// The targets of a page's links and pictures.
fn links(text: &str) -> Vec<String> {
    let of =
        |line: &str| line.split("](").skip(1).filter_map(|rest| rest.split(')').next().map(str::to_owned)).collect();
    prose(text).flat_map(|line| -> Vec<String> { of(line) }).collect()
}

#[test]
fn links_lead_somewhere() {
    let texts: BTreeMap<PathBuf, String> =
        pages().into_iter().map(|page| (page.clone(), fs::read_to_string(page).unwrap())).collect();
    assert!(texts.len() > 15);
    let mut broken = Vec::new();
    let mut checked = 0;
    for (page, text) in &texts {
        for link in links(text).iter().filter(|link| !link.contains("://") && !link.starts_with("mailto:")) {
            let (path, anchor) =
                link.split_once('#').map_or((link.as_str(), None), |(path, anchor)| (path, Some(anchor)));
            let to = match path.is_empty() {
                true => page.clone(),
                false => page.parent().unwrap().join(path),
            };
            checked += 1;
            let here = page.strip_prefix(root()).unwrap().display();
            match to.canonicalize() {
                Err(_) => broken.push(format!("{here}: {link}: no such file")),
                Ok(to) => {
                    let known =
                        |anchor: &str| texts.get(&to).is_none_or(|text| anchors(text).iter().any(|a| a == anchor));
                    if anchor.is_some_and(|anchor| !known(anchor)) {
                        broken.push(format!("{here}: {link}: no such heading"));
                    }
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(checked > 100, "{checked}");
}

#[test]
fn the_book_has_every_page() {
    let summary = fs::read_to_string(root().join("docs/SUMMARY.md")).unwrap();
    let listed = links(&summary);
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".md") && name != "SUMMARY.md" {
            assert!(listed.contains(&name), "docs/{name} is not in docs/SUMMARY.md");
        }
    }
}

#[test]
fn the_first_pages_are_short() {
    for (page, most) in [("README.md", 90), ("weights/nano/README.md", 70)] {
        let lines = fs::read_to_string(root().join(page)).unwrap().lines().count();
        assert!(lines <= most, "{page} has {lines} lines, but the limit is {most}");
    }
}

#[test]
fn headings_have_the_names_that_github_gives_them() {
    let text = "# Marks in place of a mask\n```\n# no heading\n```\n## `--fit`: pad, crop & squash\n";
    assert_eq!(anchors(text), ["marks-in-place-of-a-mask", "--fit-pad-crop--squash"]);
}
