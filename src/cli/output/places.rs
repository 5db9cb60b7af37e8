//! Canonical paths of files, existing or not.

use super::super::errors::usage;
use diffews_wgpu::image_io::is_standard;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The canonical path of a file that may not exist yet: its directory's canonical path, and its name.
pub fn place_of(path: &Path) -> PathBuf {
    Places::default().of(path)
}

/// Canonical paths of directories, each looked up once.
#[derive(Default)]
pub struct Places(HashMap<PathBuf, PathBuf>);

impl Places {
    pub fn of(&mut self, path: &Path) -> PathBuf {
        let parent = self.real(path.parent().unwrap_or(Path::new("")));
        path.file_name().map_or_else(|| parent.clone(), |name| parent.join(name))
    }

    /// Resolves the existing part of a path and appends the rest.
    fn real(&mut self, dir: &Path) -> PathBuf {
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        if let Some(real) = self.0.get(dir) {
            return real.clone();
        }
        match (fs::canonicalize(dir), dir.file_name(), dir.parent()) {
            (Ok(real), ..) => self.0.entry(dir.to_owned()).or_insert(real).clone(),
            (Err(_), Some(name), Some(parent)) => self.real(parent).join(name),
            _ => dir.to_owned(),
        }
    }

    /// The same, following the path itself if it is a link.
    pub fn behind(&mut self, path: &Path) -> PathBuf {
        match path.is_symlink() {
            true => fs::canonicalize(path).unwrap_or_else(|_| self.of(path)),
            false => self.of(path),
        }
    }
}

/// Refuses to write `output` over one of `inputs`, `--force` or not.
///
/// # Errors
/// Wrong usage, in words.
pub fn refuse_input_as_output<'a>(output: &Path, mut inputs: impl Iterator<Item = &'a Path>) -> anyhow::Result<()> {
    let mut places = Places::default();
    let own = places.behind(output);
    match inputs.any(|input| !is_standard(input) && places.behind(input) == own) {
        true => Err(usage(format!("{}: this is an input of the run; name another output file", output.display()))),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_the_same_before_and_after_it_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a/./b/c.png");
        let mut places = Places::default();
        let before = places.of(&file);
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        assert_eq!(before, places.of(&file));
        assert_eq!(before, dir.path().canonicalize().unwrap().join("a/b/c.png"));
        assert_eq!(place_of(Path::new("x.png")), Path::new(".").canonicalize().unwrap().join("x.png"));
    }
}
