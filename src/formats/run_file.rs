//! A JSON file for all pictures of a run, valid whenever the run ends.

use super::FormatError;
use crate::image_io::{ImageError, check_place, is_standard, write_by, write_whole};
use serde::Serialize;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use web_time::Instant;

/// Rewriting the file may take at most one part in this many of a run's time.
const SHARE: u32 = 20;

/// A file of one or two JSON lists that grow.
///
/// Entries are collected in unnamed files beside `path`, which the system removes by itself. The file at `path` is replaced as a whole by
/// renaming: after the first picture, at the end, and in between whenever 20 times the duration of the last rewrite has passed. So it is
/// valid at any moment, lacks only the last pictures after an interruption, and takes at most a twentieth of a long run's
/// time. Standard output gets it once, at the end.
pub(super) struct RunFile {
    path: PathBuf,
    /// Whether a file at `path` may be replaced: first because of `--force`, later because it is our own.
    force: bool,
    lists: Vec<List>,
    /// The text before each list, and after the last.
    frame: Vec<String>,
    written: Option<(Instant, Duration)>,
    /// Whether there are entries that were not written.
    more: bool,
}

struct List {
    entries: File,
    /// Bytes of complete entries; a failed write may have left more.
    length: u64,
}

impl RunFile {
    pub(super) fn create(path: &Path, force: bool, frame: Vec<String>) -> Result<RunFile, FormatError> {
        check_place(path, force)?;
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let unnamed = || if is_standard(path) { tempfile::tempfile() } else { tempfile::tempfile_in(parent) };
        let list = |_| unnamed().map(|entries| List { entries, length: 0 });
        let lists = (1..frame.len()).map(list).collect::<io::Result<_>>();
        let lists = lists.map_err(|cause| ImageError::Write { path: path.to_owned(), cause })?;
        Ok(RunFile { path: path.to_owned(), force, lists, frame, written: None, more: true })
    }

    /// Adds a picture's entries, one block to each list, and writes the file if it is time.
    pub(super) fn add(&mut self, entries: &[Vec<u8>]) -> Result<(), FormatError> {
        for (list, entries) in self.lists.iter_mut().zip(entries) {
            let comma: &[u8] = if list.length > 0 && !entries.is_empty() { b",\n" } else { b"" };
            let end = list.append(&[comma, entries]).map_err(|cause| failed(&self.path, cause))?;
            list.length = end;
        }
        self.more = true;
        let due = self.written.is_none_or(|(at, took)| at.elapsed() >= SHARE * took);
        if due && !is_standard(&self.path) { self.write() } else { Ok(()) }
    }

    /// Writes the file with all entries.
    pub(super) fn finish(mut self) -> Result<(), FormatError> {
        if self.more { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), FormatError> {
        let begun = Instant::now();
        // Do not try again when this is dropped.
        self.more = false;
        let (path, frame, lists) = (&self.path, &self.frame, &mut self.lists);
        if is_standard(path) {
            let mut bytes = Vec::new();
            copy(frame, lists, &mut bytes).map_err(|cause| failed(path, cause))?;
            return Ok(write_whole(path, &bytes, self.force)?);
        }
        write_by(path, self.force, |file| copy(frame, lists, file).map_err(|cause| failed(path, cause)))?;
        self.force = true;
        self.written = Some((Instant::now(), begun.elapsed()));
        Ok(())
    }
}

impl Drop for RunFile {
    /// Writes the results of a run that ends early.
    fn drop(&mut self) {
        if self.more && self.written.is_some() {
            let _ = self.write();
        }
    }
}

impl List {
    fn append(&mut self, parts: &[&[u8]]) -> io::Result<u64> {
        self.entries.seek(SeekFrom::Start(self.length))?;
        parts.iter().try_for_each(|part| self.entries.write_all(part))?;
        Ok(self.length + parts.iter().map(|part| part.len() as u64).sum::<u64>())
    }
}

fn copy(frame: &[String], lists: &mut [List], to: &mut impl Write) -> io::Result<()> {
    for (before, list) in frame.iter().zip(lists) {
        to.write_all(before.as_bytes())?;
        list.entries.seek(SeekFrom::Start(0))?;
        io::copy(&mut (&list.entries).take(list.length), to)?;
    }
    to.write_all(frame.last().map_or(&b""[..], |after| after.as_bytes()))
}

fn failed(path: &Path, cause: io::Error) -> FormatError {
    ImageError::Write { path: path.to_owned(), cause }.into()
}

/// JSON of several entries, one per line.
pub(super) fn lines<T: Serialize>(entries: impl IntoIterator<Item = T>) -> Vec<u8> {
    let mut text = Vec::new();
    for entry in entries {
        if !text.is_empty() {
            text.extend(b",\n");
        }
        text.extend(json(&entry).as_bytes());
    }
    text
}

/// JSON of a value whose keys are strings and whose numbers are finite.
pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("no map with other keys than strings")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn frame() -> Vec<String> {
        ["{\"a\": [\n", "\n], \"b\": [\n", "\n]}\n"].map(String::from).to_vec()
    }

    fn read(path: &Path) -> Value {
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    #[test]
    fn what_lies_there_is_valid_after_each_picture() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f.json");
        let mut file = RunFile::create(&path, false, frame()).unwrap();
        assert!(!path.exists());
        for n in 0..200 {
            file.add(&[lines([n]), lines(0..n % 3)]).unwrap();
            assert!(read(&path)["a"].as_array().unwrap().len() as i32 <= n + 1);
        }
        // As in an interrupted run, which writes its results on drop.
        drop(file);
        let all = read(&path);
        assert_eq!(all["a"].as_array().unwrap().len(), 200);
        assert_eq!(all["b"].as_array().unwrap().len(), 199);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn another_file_is_not_replaced_unasked_nor_before_there_is_a_picture() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f.json");
        std::fs::write(&path, "mine").unwrap();
        assert!(matches!(RunFile::create(&path, false, frame()), Err(FormatError::Image(ImageError::Exists { .. }))));
        drop(RunFile::create(&path, true, frame()).unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), b"mine");
        let mut file = RunFile::create(&path, true, frame()).unwrap();
        file.add(&[lines([1]), Vec::new()]).unwrap();
        assert_eq!(read(&path), serde_json::json!({"a": [1], "b": []}));
        drop(file);
        // A file that appeared meanwhile is not ours.
        let path = dir.path().join("g.json");
        let mut file = RunFile::create(&path, false, frame()).unwrap();
        std::fs::write(&path, "theirs").unwrap();
        assert!(file.add(&[lines([1]), Vec::new()]).is_err());
        drop(file);
        assert_eq!(std::fs::read(&path).unwrap(), b"theirs");
    }

    #[test]
    fn a_run_without_pictures_is_a_file_without_any() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f.json");
        RunFile::create(&path, false, frame()).unwrap().finish().unwrap();
        assert_eq!(read(&path), serde_json::json!({"a": [], "b": []}));
    }
}
