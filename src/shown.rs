//! Foreign text made fit for messages: on one line, of limited length, without characters that move the cursor or reorder text.

use std::path::Path;

/// Most characters of a foreign name or value in a message; a tensor's full name has about 80.
const MOST_CHARS: usize = 160;
/// Characters kept from the end of longer text.
const TAIL: usize = 40;
/// Most dimensions of a shape in a message; weights have four.
const MOST_DIMENSIONS: usize = 8;

/// Most tensors in a message; `model verify` lists more.
pub const MOST_TENSORS: usize = 10;

/// A name, a value or a parser's words: escaped, and shortened in the middle.
pub fn text(from: &str) -> String {
    let long = from.chars().count();
    if long <= MOST_CHARS {
        return whole(from);
    }
    let head: String = from.chars().take(MOST_CHARS - TAIL).collect();
    let tail: String = from.chars().skip(long - TAIL).collect();
    format!("{}[... {} characters ...]{}", whole(&head), long - MOST_CHARS, whole(&tail))
}

/// Escapes text without shortening it.
pub fn whole(from: &str) -> String {
    let mut out = String::with_capacity(from.len());
    for c in from.chars() {
        if c.is_control() || is_invisible(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

/// A path in full, escaped.
pub fn path(from: &Path) -> String {
    whole(&from.display().to_string())
}

/// A shape as `[1, 2, 3]`, shortened if it has very many dimensions.
pub fn shape(dimensions: &[usize]) -> String {
    match dimensions.get(..MOST_DIMENSIONS) {
        Some(first) if dimensions.len() > MOST_DIMENSIONS => {
            let first: Vec<String> = first.iter().map(usize::to_string).collect();
            format!("[{}, ... {} dimensions]", first.join(", "), dimensions.len())
        }
        _ => format!("{dimensions:?}"),
    }
}

/// The first `most` of `lines`, and how many more there are.
pub fn first<T: ToString>(lines: &[T], most: usize) -> Vec<String> {
    let mut out: Vec<String> = lines.iter().take(most).map(T::to_string).collect();
    if let Some(more @ 1..) = lines.len().checked_sub(most) {
        out.push(format!("and {more} more"));
    }
    out
}

/// How to see all tensors, to follow a list of `most`.
pub fn where_all(most: usize) -> &'static str {
    if most <= MOST_TENSORS { "; `model verify` lists them" } else { "" }
}

/// Invisible characters that change how text is shown: direction marks, joiners, line and paragraph separators.
pub fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_files_say_stays_on_one_line_and_has_an_end() {
        assert_eq!(text("conv_in.weight"), "conv_in.weight");
        assert_eq!(text("a\nerror: b\u{202e}\u{1b}[1m"), "a\\nerror: b\\u{202e}\\u{1b}[1m");
        let long = text(&format!("{}END", "x".repeat(5_000_000)));
        assert!(long.len() < 250 && long.ends_with("END") && long.contains("4999843 characters"), "{long}");
        assert_eq!(text(&"é".repeat(MOST_CHARS)), "é".repeat(MOST_CHARS));
        assert_eq!(path(Path::new("a\rb")), "a\\rb");
        assert_eq!((shape(&[]), shape(&[1, 2])), ("[]".to_owned(), "[1, 2]".to_owned()));
        assert_eq!(shape(&vec![1; 5_000_000]), "[1, 1, 1, 1, 1, 1, 1, 1, ... 5000000 dimensions]");
        assert_eq!(first(&[1, 2, 3], 3), ["1", "2", "3"]);
        assert_eq!(first(&[1, 2, 3, 4], 2), ["1", "2", "and 2 more"]);
    }
}
