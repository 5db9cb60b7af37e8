//! The pictures of a folder of queries.

use super::natural;
use super::queries::Query;
use anyhow::bail;
use diffews_wgpu::image_io::ImageError;
use globset::GlobSet;
use std::collections::{BTreeSet, HashSet};
use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

/// Extensions that count as pictures.
const PICTURES: [&str; 13] =
    ["jpg", "jpeg", "jpe", "jfif", "pjpeg", "png", "apng", "webp", "bmp", "dib", "gif", "tif", "tiff"];
/// Endings of results: the query's name without its extension, then one of these.
pub const RESULTS: [&str; 6] =
    ["_mask.png", "_overlay.png", "_probability.png", "_labels.png", "_mask.tif", "_labels.tif"];

/// Which files of a folder are queries.
pub struct Search {
    /// Search the folders below, too.
    pub recursive: bool,
    /// Only pictures whose paths within the folder match.
    pub globs: Option<GlobSet>,
    /// Folders of results, which are skipped.
    pub results: Vec<PathBuf>,
}

/// The content of a folder.
pub struct Listing {
    /// In natural order of their paths.
    pub pictures: Vec<Query>,
    left: Left,
    /// Folders that cannot be read, and why.
    pub unreadable: Vec<(PathBuf, ImageError)>,
}

/// Counts of files that were skipped.
#[derive(Default)]
struct Left {
    files: usize,
    folders: usize,
    results: usize,
    unmatched: usize,
}

/// The pictures of a folder, and a notice of skipped files.
///
/// # Errors
/// A folder that cannot be read, or has no picture although `some` is set.
pub fn pictures(dir: &Path, search: &Search, some: bool) -> anyhow::Result<(Vec<Query>, Option<String>)> {
    let Listing { pictures, left, unreadable } = search.look(dir);
    if let Some((_, error)) = unreadable.into_iter().next() {
        return Err(error.into());
    }
    if pictures.is_empty() && some {
        let below = if search.recursive { " and those below it" } else { "" };
        match left.unmatched {
            0 => bail!("--query {}: no picture in this directory{below} ({})", dir.display(), PICTURES.join(", ")),
            n => bail!("--query {}: --glob matches none of the {n} pictures in this directory{below}", dir.display()),
        }
    }
    Ok((pictures, left.notice(dir)))
}

impl Search {
    /// The pictures of `root`. Searches each folder once, however many links lead to it, and prefers the path without links.
    pub fn look(&self, root: &Path) -> Listing {
        let mut found = Listing { pictures: Vec::new(), left: Left::default(), unreadable: Vec::new() };
        let (mut folders, mut links) = (BTreeSet::from([PathBuf::new()]), BTreeSet::new());
        let mut searched = HashSet::new();
        let results: Vec<PathBuf> = self.results.iter().filter_map(|path| fs::canonicalize(path).ok()).collect();
        while let Some(below) = folders.pop_first().or_else(|| links.pop_first()) {
            let dir = inside(root, &below);
            // A folder that does not resolve fails below with the reason.
            let real = fs::canonicalize(&dir).unwrap_or_else(|_| dir.clone());
            let top = below.as_os_str().is_empty();
            if !top && results.contains(&real) || !searched.insert(real) {
                found.left.folders += 1;
            } else if let Err(cause) = self.look_into(&dir, &below, &mut found, (&mut folders, &mut links)) {
                found.unreadable.push((dir.clone(), ImageError::Read { path: dir, cause }));
            }
        }
        found.pictures.sort_by(|a, b| natural::compare(&a.path, &b.path));
        found
    }

    /// Searches one folder, at `below` in the root.
    fn look_into(
        &self,
        dir: &Path,
        below: &Path,
        found: &mut Listing,
        (folders, links): (&mut BTreeSet<PathBuf>, &mut BTreeSet<PathBuf>),
    ) -> io::Result<()> {
        let mut pictures = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let (name, link, kind) = (entry.file_name(), is_link(&entry), kind_of(&entry));
            let hidden = name.as_encoded_bytes().starts_with(b".");
            if kind.is_some_and(|kind| kind.is_dir()) {
                match self.recursive && !hidden {
                    true => drop(if link { &mut *links } else { &mut *folders }.insert(below.join(name))),
                    false => found.left.folders += 1,
                }
            } else if kind.is_some_and(|kind| kind.is_file()) && !hidden && is_named_like_one(Path::new(&name)) {
                pictures.push(PathBuf::from(name));
            } else {
                found.left.files += 1;
            }
        }
        let stems: HashSet<Vec<u8>> =
            pictures.iter().filter_map(|p| p.file_stem()).map(|s| s.as_encoded_bytes().to_vec()).collect();
        for name in pictures {
            if is_result(&name, &stems) {
                found.left.results += 1;
            } else if self.globs.as_ref().is_some_and(|globs| !globs.is_match(below.join(&name))) {
                found.left.unmatched += 1;
            } else {
                found.pictures.push(Query { path: dir.join(name), below: below.to_owned(), listed: true });
            }
        }
        Ok(())
    }
}

/// Joining an empty path would add a separator.
fn inside(root: &Path, below: &Path) -> PathBuf {
    if below.as_os_str().is_empty() { root.to_owned() } else { root.join(below) }
}

fn is_link(entry: &DirEntry) -> bool {
    entry.file_type().is_ok_and(|kind| kind.is_symlink())
}

/// The type of the entry, or of the link's target.
fn kind_of(entry: &DirEntry) -> Option<fs::FileType> {
    match entry.file_type() {
        Ok(kind) if !kind.is_symlink() => Some(kind),
        _ => fs::metadata(entry.path()).ok().map(|about| about.file_type()),
    }
}

fn is_named_like_one(name: &Path) -> bool {
    let extension = name.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    PICTURES.contains(&extension.as_str())
}

/// Whether a file is named like the result of a picture beside it.
fn is_result(path: &Path, stems: &HashSet<Vec<u8>>) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    // A class name may stand between the two.
    let begins = |stem: &[u8]| (0..stem.len()).any(|at| stem[at] == b'_' && stems.contains(&stem[..at]));
    let is_one = |stem: &[u8]| stems.contains(stem) || begins(stem);
    RESULTS.iter().any(|end| name.strip_suffix(end.as_bytes()).is_some_and(is_one))
}

impl Left {
    fn notice(&self, dir: &Path) -> Option<String> {
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
            count(self.unmatched, "picture that does not match --glob", "pictures that do not match --glob"),
            count(self.files, "file that is not named like a picture", "files that are not named like pictures"),
            count(self.folders, "folder", "folders"),
        ]
        .into_iter()
        .flatten()
        .collect();
        (!parts.is_empty()).then(|| format!("{}: skipped {}", dir.display(), parts.join(", ")))
    }
}
