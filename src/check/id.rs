//! Ids of cases, for lists, filters and other programs.

/// Turns a title into a part of an id: keeps `[A-Za-z0-9_-]`, with a hyphen for anything else. `64x64x320->5 linear` becomes
/// `64x64x320-5-linear`, and 0.5 becomes `0_5`, because dots separate parts.
pub fn slug(title: &str) -> String {
    let bytes = title.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let mut id = String::new();
    for (at, c) in title.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' => id.push(c),
            '.' if digit(at + 1) => id.push('_'),
            // As in 65,536.
            ',' if at > 0 && digit(at - 1) && (1..4).all(|i| digit(at + i)) => {}
            '-' if digit(at + 1) && (at == 0 || matches!(bytes[at - 1], b' ' | b'(' | b'+')) => id.push_str("minus"),
            _ if id.is_empty() || id.ends_with('-') => {}
            _ => id.push('-'),
        }
    }
    id.truncate(id.trim_end_matches('-').len());
    id
}

/// Whether this can be an id: no commas, colons, spaces, or characters that are special in shells and regular expressions.
pub fn is_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_become_ids() {
        for (title, id) in [
            ("64x64x320->5 3x3 stride 2 pad (0, 1) + residual", "64x64x320-5-3x3-stride-2-pad-0-1-residual"),
            ("33x9x(7+5) groups 3 mean -5", "33x9x-7-5-groups-3-mean-minus5"),
            ("all 65,536 halves (1,2)", "all-65536-halves-1-2"),
            ("apply radius 8 epsilon 4e-5 spread 0.5+0.002", "apply-radius-8-epsilon-4e-5-spread-0_5-0_002"),
            ("tiled-64", "tiled-64"),
            ("-1 \u{e9}\u{202e}:", "minus1"),
            ("", ""),
        ] {
            assert_eq!(slug(title), id);
            assert_eq!(is_id(&slug(title)), !id.is_empty());
        }
        assert!(!is_id("a b") && !is_id("a,b") && !is_id("a:b") && !is_id("\u{e9}"));
    }
}
