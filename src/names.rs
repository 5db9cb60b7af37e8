//! File names in formats that allow only UTF-8.

use std::fmt::Write;
use std::path::Path;

/// The exact name of a file that is not UTF-8: its bytes, percent-encoded except for ASCII letters,
/// digits and `-._~/`. `None` for a UTF-8 name. (On Windows the bytes are WTF-8.)
pub fn percent_encoded(path: &Path) -> Option<String> {
    if path.to_str().is_some() {
        return None;
    }
    let mut out = String::new();
    for &byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => out.push(byte.into()),
            // Writing to a string cannot fail.
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
    Some(out)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn what_is_no_utf_8_is_kept_in_its_bytes() {
        let encoded = |bytes: &[u8]| percent_encoded(Path::new(OsStr::from_bytes(bytes)));
        assert_eq!(encoded("é 100%.png".as_bytes()), None);
        assert_eq!(encoded(b"in/q\xff %.png").unwrap(), "in/q%FF%20%25.png");
    }
}
