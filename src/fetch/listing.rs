//! A server's list of a repository's files, which is not trusted.

use super::address::Layout;
use serde::Deserialize;

/// Largest page of a list, in bytes: a thousand files take 0.3 MB.
pub(super) const MAX_PAGE: u64 = 8 << 20;
/// Most pages to request; Hugging Face's have a thousand files each.
pub(super) const MAX_PAGES: usize = 20;
/// Most files.
const MAX_FILES: usize = 20_000;
/// Largest file, in bytes: SD 2.1's UNet has 3.5 GB.
const MAX_SIZE: u64 = 64 << 30;
/// Most directories above a file.
const MAX_DEPTH: usize = 8;
/// Longest name, in characters.
const MAX_NAME: usize = 120;
/// Names of devices on Windows, with any extension.
const DEVICES: &[&str] = &["con", "prn", "aux", "nul"];

/// A file of the repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Parts separated by `/`, each of which [`is_plain`].
    pub path: String,
    pub size: u64,
    pub sha256: Option<[u8; 32]>,
}

/// Fields of both layouts.
#[derive(Deserialize)]
struct Told {
    #[serde(alias = "Path")]
    path: String,
    #[serde(alias = "Size", default)]
    size: Option<u64>,
    #[serde(alias = "Type", default, rename = "type")]
    kind: Option<String>,
    #[serde(rename = "Sha256", default)]
    sha256: Option<String>,
    #[serde(default)]
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    oid: String,
}

#[derive(Deserialize)]
struct Page {
    #[serde(rename = "Data")]
    data: Files,
}

#[derive(Deserialize)]
struct Files {
    #[serde(rename = "Files")]
    files: Vec<Told>,
}

/// Adds the files of one page to `all`.
///
/// # Errors
/// The reason, as text.
pub(super) fn read(layout: Layout, page: &[u8], all: &mut Vec<Entry>) -> Result<(), String> {
    let wrong = |error: serde_json::Error| format!("its JSON is not in the server's format: {error}");
    let files = match layout {
        Layout::ModelScope => serde_json::from_slice::<Page>(page).map_err(wrong)?.data.files,
        Layout::HuggingFace => serde_json::from_slice(page).map_err(wrong)?,
    };
    if all.len() + files.len() > MAX_FILES {
        return Err(format!("it names more than {MAX_FILES} files"));
    }
    for Told { path, size, kind, sha256, lfs } in files {
        if leads_elsewhere(&path) {
            return Err(format!("`{path}` is not a path within the repository"));
        }
        let is_directory = matches!(kind.as_deref(), Some("tree" | "directory"));
        // This program reads no file with a name that is skipped here.
        if is_directory || path.split('/').count() > MAX_DEPTH || !path.split('/').all(is_plain) {
            continue;
        }
        let size = size.filter(|&size| size <= MAX_SIZE);
        let size = size.ok_or_else(|| format!("`{path}` has no size, or an implausible one"))?;
        let sha256 = lfs.map(|lfs| lfs.oid).or(sha256).filter(|text| !text.is_empty());
        let digits = |text: String| hash(&text).ok_or_else(|| format!("`{path}` has an invalid SHA-256"));
        let sha256 = sha256.map(digits).transpose()?;
        all.push(Entry { path, size, sha256 });
    }
    Ok(())
}

/// Parses 64 hexadecimal digits, with or without `sha256:` before them.
fn hash(text: &str) -> Option<[u8; 32]> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).ok()?;
    }
    Some(bytes)
}

/// Whether a path leads out of the target directory.
fn leads_elsewhere(path: &str) -> bool {
    path.split('/').any(|part| matches!(part, "" | "." | ".."))
        || path.contains(|c: char| matches!(c, '\\' | ':') || c.is_control())
}

/// Whether this is a plain name of a file or directory on every system.
pub(super) fn is_plain(name: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+' | '=' | '@' | '(' | ')' | ' ');
    let stem = name.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let numbered =
        |kind: &str| stem.strip_prefix(kind).is_some_and(|n| n.len() == 1 && n.bytes().all(|b| b.is_ascii_digit()));
    (1..=MAX_NAME).contains(&name.len())
        && name.chars().all(good)
        && !name.starts_with(['.', ' ', '-'])
        && !name.ends_with(['.', ' '])
        && !DEVICES.contains(&stem.as_str())
        && !["com", "lpt"].into_iter().any(numbered)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(layout: Layout, page: &str) -> Result<Vec<Entry>, String> {
        let mut all = Vec::new();
        read(layout, page.as_bytes(), &mut all).map(|()| all)
    }

    #[test]
    fn both_layouts_are_read() {
        let digits = "0f".repeat(32);
        let expected = vec![
            Entry { path: "unet/config.json".into(), size: 7, sha256: None },
            Entry { path: "vae/m.safetensors".into(), size: 1 << 32, sha256: Some([15; 32]) },
        ];
        let page = format!(
            r#"{{"Code":200,"Data":{{"Files":[{{"Path":"unet","Type":"tree","Size":0}},{{"Path":"unet/config.json","Size":7,"Sha256":"","Type":"blob"}},
            {{"Path":"vae/m.safetensors","Size":4294967296,"Sha256":"{digits}","Type":"blob","Mode":"x"}}]}},"Success":true}}"#
        );
        assert_eq!(of(Layout::ModelScope, &page).unwrap(), expected);
        let page = format!(
            r#"[{{"type":"directory","oid":"1","size":0,"path":"unet"}},{{"type":"file","oid":"ab","size":7,"path":"unet/config.json"}},
            {{"type":"file","oid":"cd","size":4294967296,"lfs":{{"oid":"{digits}","size":1,"pointerSize":3}},"path":"vae/m.safetensors"}}]"#
        );
        assert_eq!(of(Layout::HuggingFace, &page).unwrap(), expected);
        assert!(of(Layout::ModelScope, &page).is_err());
    }

    #[test]
    fn hostile_lists_are_refused() {
        let one = |path: &str| of(Layout::HuggingFace, &serde_json::json!([{"path": path, "size": 1}]).to_string());
        for path in ["../x", "a/../../x", "/etc/passwd", "a//b", "", ".", "C:/x", "a\\..\\x", "a/\u{0}", "a\nb", "a/"] {
            assert!(one(path).is_err(), "{path:?}");
        }
        // Valid but unusual: ignored.
        for path in [
            "é.json",
            ".gitattributes",
            "unet/CON",
            "nul.json",
            "com1.txt",
            "a /x",
            "-rf",
            "1/2/3/4/5/6/7/8/9",
            "a.",
            &"x".repeat(200),
        ] {
            assert_eq!(one(path).unwrap(), [], "{path:?}");
        }
        assert_eq!(one("unet/conf (1).json").unwrap().len(), 1);
        let size = |size: &str| of(Layout::HuggingFace, &format!(r#"[{{"path":"a","size":{size}}}]"#));
        for bad in ["-1", "1e40", "99999999999999", "null", "\"7\""] {
            assert!(size(bad).is_err(), "{bad}");
        }
        let many = format!("[{}]", vec![r#"{"path":"a","size":1}"#; MAX_FILES + 1].join(","));
        assert!(of(Layout::HuggingFace, &many).unwrap_err().contains("more than"));
        for hash in ["0f", &"0g".repeat(32), &"é".repeat(32)] {
            let page = serde_json::json!([{"path": "a", "size": 1, "lfs": {"oid": hash}}]).to_string();
            assert!(of(Layout::HuggingFace, &page).is_err(), "{hash}");
        }
        assert!(of(Layout::HuggingFace, &"[".repeat(100_000)).is_err());
    }
}
