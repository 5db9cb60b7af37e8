//! The pictures of a folder of queries.

use anyhow::bail;
use diffews_wgpu::image_io::ImageError;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Extensions that count as pictures.
const PICTURES: [&str; 13] =
    ["jpg", "jpeg", "jpe", "jfif", "pjpeg", "png", "apng", "webp", "bmp", "dib", "gif", "tif", "tiff"];
/// What results are called beside their query: its name less the extension, and one of these.
pub const RESULTS: [&str; 4] = ["_mask.png", "_overlay.png", "_probability.png", "_labels.png"];

/// What was left out of a folder.
#[derive(Default)]
struct Left {
    files: usize,
    folders: usize,
    results: usize,
}

/// The picture files of a folder, not of those in it, by name; and what was left out, in words.
///
/// # Errors
/// A folder that cannot be read, or holds no picture.
pub fn pictures(dir: &Path) -> anyhow::Result<(Vec<PathBuf>, Option<String>)> {
    let failed = |cause| ImageError::Read { path: dir.to_owned(), cause };
    let (mut found, mut left) = (Vec::new(), Left::default());
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        let kind = match entry.file_type() {
            Ok(kind) if !kind.is_symlink() => Some(kind),
            _ => fs::metadata(&path).ok().map(|about| about.file_type()),
        };
        if kind.is_some_and(|kind| kind.is_dir()) {
            left.folders += 1;
        } else if kind.is_some_and(|kind| kind.is_file()) && is_named_like_one(&path) {
            found.push(path);
        } else {
            left.files += 1;
        }
    }
    if found.is_empty() {
        bail!("--query {}: no pictures in this directory ({})", dir.display(), PICTURES.join(", "));
    }
    let stems: HashSet<Vec<u8>> =
        found.iter().filter_map(|p| p.file_stem()).map(|s| s.as_encoded_bytes().to_vec()).collect();
    let all = found.len();
    found.retain(|path| !is_result(path, &stems));
    left.results = all - found.len();
    found.sort();
    Ok((found, left.told(dir)))
}

fn is_named_like_one(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    let hidden = path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"."));
    PICTURES.contains(&extension.as_str()) && !hidden
}

/// Whether a file is called as the result of a picture is that lies beside it.
fn is_result(path: &Path, stems: &HashSet<Vec<u8>>) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    // With a class between the two, perhaps.
    let begins = |stem: &[u8]| (0..stem.len()).any(|at| stem[at] == b'_' && stems.contains(&stem[..at]));
    let is_one = |stem: &[u8]| stems.contains(stem) || begins(stem);
    RESULTS.iter().any(|end| name.strip_suffix(end.as_bytes()).is_some_and(is_one))
}

impl Left {
    fn told(&self, dir: &Path) -> Option<String> {
        let count = |n: usize, one: &str, many: &str| match n {
            0 => None,
            1 => Some(format!("1 {one}")),
            n => Some(format!("{n} {many}")),
        };
        let parts: Vec<String> = [
            count(
                self.results,
                "mask or other result beside its picture",
                "masks and other results beside their pictures",
            ),
            count(self.files, "file that is not named like a picture", "files that are not named like pictures"),
            count(self.folders, "folder", "folders"),
        ]
        .into_iter()
        .flatten()
        .collect();
        (!parts.is_empty()).then(|| format!("{}: left out {}", dir.display(), parts.join(", ")))
    }
}
