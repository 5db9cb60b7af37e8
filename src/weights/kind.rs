//! Recognises files that are not what their names say: failed downloads, and weights in other formats.

use crate::shown;

/// Bytes from a file's beginning to look at.
pub(super) const LOOK: usize = 512;

const DOWNLOAD: &str = "download the file itself";
const WANTED: &str = "get the model in the diffusers layout, with safetensors in f32, f16 or bf16";

/// Recognises a wrong file by its first bytes.
fn of_any(start: &[u8]) -> Option<String> {
    let start = &start[..start.len().min(LOOK)];
    let lower: Vec<u8> = start.trim_ascii_start().iter().map(u8::to_ascii_lowercase).collect();
    if start.starts_with(b"version https://git-lfs") {
        return Some(format!("it is a git-lfs pointer; run `git lfs pull` in the clone, or {DOWNLOAD}"));
    }
    if lower.starts_with(b"<!doctype") || lower.starts_with(b"<html") || lower.starts_with(b"<?xml") {
        return Some(format!("it is a web page (a login or an error page?); {DOWNLOAD}"));
    }
    if start.starts_with(&[0x1f, 0x8b])
        || start.starts_with(b"7z\xbc\xaf")
        || start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
    {
        return Some("it is an archive; unpack it first".to_owned());
    }
    None
}

/// Recognises a file that is not safetensors.
pub(super) fn of_weights(start: &[u8]) -> Option<String> {
    if let Some(what) = of_any(start) {
        return Some(what);
    }
    if start.starts_with(b"GGUF") || start.starts_with(b"GGML") || start.starts_with(b"tjgg") {
        return Some(format!("it holds quantised weights (GGUF), which are not supported; {WANTED}"));
    }
    if start.starts_with(b"PK\x03\x04") || matches!(start, [0x80, 2..=5, b'}' | b']' | b'c' | 0x8a | 0x95, ..]) {
        return Some(
            "it is a PyTorch file under another name, and pickle can run code when it is read; rename it to .bin, and this program \
            says how to convert it"
                .to_owned(),
        );
    }
    if start.starts_with(b"\x89HDF\r\n") {
        return Some(format!("it is an HDF5 file (Keras), which is not supported; {WANTED}"));
    }
    if start.len() >= 64 && start.iter().all(|&b| b == 0) {
        return Some("it begins with zeros only (an unfinished download?); download it again".to_owned());
    }
    let text = std::str::from_utf8(start.get(..60).unwrap_or(start)).ok().filter(|text| text.len() > 8);
    let text = text.filter(|text| text.chars().all(|c| !c.is_control() || c.is_whitespace()))?;
    Some(format!("it is text that begins with `{}`; {DOWNLOAD}", shown::text(text.trim())))
}

/// The text of a JSON file, without a byte order mark.
pub(super) fn json_text(bytes: Vec<u8>) -> Result<String, String> {
    if let Some(what) = of_any(&bytes) {
        return Err(what);
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err("it is text in UTF-16; save it as UTF-8".to_owned());
    }
    let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}
