//! YOLO's segmentation labels: a text file for each picture, `class x1 y1 x2 y2 ...` for each instance, from 0 to 1
//! ([docs.ultralytics.com/datasets/segment](https://docs.ultralytics.com/datasets/segment/)).

use super::run_file::json;
use super::{Category, FormatError, Picture, Tolerance, joined, outlines, place_of};
use crate::shown;
use std::fmt::Write;

/// The text of a picture's file; empty if there are no instances, as is usual in such data sets. Classes are indices in
/// `categories`, from 0. An instance is one line: its parts and holes are joined there and back ([`joined`]), as Ultralytics' own converter
/// joins parts. x is divided by the picture's width and y by its height, rounded to six decimals.
///
/// # Errors
/// [`FormatError::Category`] for an instance of another class.
pub fn labels(picture: &Picture, categories: &[Category], tolerance: Tolerance) -> Result<String, FormatError> {
    let (width, height) = picture.size();
    let share = |of: u32, all: u32| (f64::from(of) / f64::from(all) * 1e6).round() / 1e6;
    let mut text = String::new();
    for instance in picture.instances() {
        let polygons = outlines(&instance.region, tolerance);
        let line = joined(polygons.iter().flat_map(|p| [&p.outer].into_iter().chain(&p.holes)));
        let _ = write!(text, "{}", place_of(categories, instance, picture)?);
        for [x, y] in line {
            let _ = write!(text, " {} {}", share(x, width), share(y, height));
        }
        text.push('\n');
    }
    Ok(text)
}

/// `classes.txt`: one name per line.
///
/// # Errors
/// [`FormatError::Name`] for an empty name, and for one with a line break or another control character.
pub fn classes(categories: &[Category]) -> Result<String, FormatError> {
    let mut text = String::new();
    for Category { name, .. } in categories {
        let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
        if name.is_empty() || name.contains(breaks) {
            return Err(FormatError::Name { name: shown::text(name), reason: "cannot be a line of classes.txt" });
        }
        text.push_str(name);
        text.push('\n');
    }
    Ok(text)
}

/// `data.yaml`: the directories of the data set's pictures relative to `path`, and the classes by number.
pub fn data_yaml(path: &str, train: &str, val: &str, categories: &[Category]) -> String {
    let (path, train, val) = (quoted(path), quoted(train), quoted(val));
    let mut text = format!("path: {path}\ntrain: {train}\nval: {val}\nnames:\n");
    for (index, category) in categories.iter().enumerate() {
        let _ = writeln!(text, "  {index}: {}", quoted(&category.name));
    }
    text
}

/// A string in YAML's double quotes: JSON's, with further escapes for characters that YAML does not print or treats as line breaks.
fn quoted(text: &str) -> String {
    let mut out = String::new();
    for c in json(&text).chars() {
        match c {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::tests::{HOSTILE, pets};

    fn categories() -> Vec<Category> {
        [(2, HOSTILE), (1, "cat")].map(|(id, name)| Category { id, name: name.into() }).to_vec()
    }

    #[test]
    fn an_instance_is_a_line() {
        let text = labels(&pets("a"), &categories(), Tolerance::EXACT).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        // Outline, hole, other part, and two repeated corners for each path.
        let numbers: Vec<f64> = lines[0].split(' ').map(|n| n.parse().unwrap()).collect();
        assert_eq!((numbers[0], numbers.len()), (1.0, 1 + 2 * (4 + 6 + 6)));
        assert!(numbers[1..].iter().all(|n| (0.0..=1.0).contains(n)));
        assert_eq!(lines[1], "0 0.5 0.75 0.666667 0.75 0.666667 1 0.5 1");
        let none = Picture::new(1, "a", (3, 3), vec![]).unwrap();
        assert_eq!(labels(&none, &[], Tolerance::EXACT).unwrap(), "");
        assert!(labels(&pets("a"), &categories()[..1], Tolerance::EXACT).is_err());
    }

    #[test]
    fn names_are_lines_or_quoted() {
        assert_eq!(classes(&categories()[1..]).unwrap(), "cat\n");
        assert!(matches!(classes(&categories()), Err(FormatError::Name { .. })));
        let yaml = data_yaml(".", "images", "images", &categories());
        assert_eq!(yaml.lines().count(), 6, "{yaml}");
        assert!(yaml.ends_with("  0: \"a \\\"b\\\" \\\\ 'c'\\n\\u0085\\u2028\\u007f: é 猫 😀\"\n  1: \"cat\"\n"));
    }
}
