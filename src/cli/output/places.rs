//! Where files really lie, however they are spelled.

use super::super::errors::usage;
use diffews_wgpu::image_io::is_standard;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Where a file will lie, however it is spelled: its directory's real place, and its name.
pub fn place_of(path: &Path) -> PathBuf {
    Places::default().of(path)
}

/// The real places of directories, each looked up once.
#[derive(Default)]
pub struct Places(HashMap<PathBuf, PathBuf>);

impl Places {
    pub fn of(&mut self, path: &Path) -> PathBuf {
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !self.0.contains_key(parent) {
            let real = fs::canonicalize(parent).unwrap_or_else(|_| parent.to_owned());
            self.0.insert(parent.to_owned(), real);
        }
        let parent = &self.0[parent];
        path.file_name().map_or(parent.clone(), |name| parent.join(name))
    }

    /// The same of what may be a link: where that leads.
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
pub fn keep_files<'a>(output: &Path, mut inputs: impl Iterator<Item = &'a Path>) -> anyhow::Result<()> {
    let mut places = Places::default();
    let own = places.behind(output);
    match inputs.any(|input| !is_standard(input) && places.behind(input) == own) {
        true => Err(usage(format!("{}: is an input of this run; name another file to write", output.display()))),
        false => Ok(()),
    }
}
