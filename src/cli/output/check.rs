//! Checks that results can be written.

use super::super::job::{Job, is_npy};
use super::HIDDEN;
use diffews_wgpu::formats::Format;
use diffews_wgpu::image_io::{self, ImageError, is_standard};
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Age of hidden files that killed runs must have left.
const LEFT_BEHIND: Duration = Duration::from_secs(24 * 60 * 60);

/// Directories that were tested with a temporary file.
#[derive(Default)]
pub struct Probed(HashSet<PathBuf>);

impl Probed {
    /// Checks all output files of the job; existing files are errors unless `force`.
    pub fn check(&mut self, job: &Job, format: Format, force: bool) -> Result<(), ImageError> {
        for output in job.outputs().filter(|o| !is_standard(o)) {
            let npy = job.probabilities().any(|path| path == output) && is_npy(output);
            let own = job.result.as_deref() == Some(output);
            let wanted = match (npy, own) {
                (true, _) => "npy",
                (_, true) => format.extension(),
                _ => "png",
            };
            image_io::check_output(output, wanted, force)?;
            let parent = output.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            if !self.0.contains(parent) {
                self.0.insert(parent.to_owned());
                sweep(parent);
                // Find out now, not after the computation, whether the directory is writable.
                tempfile::Builder::new()
                    .prefix(HIDDEN)
                    .suffix(".part")
                    .tempfile_in(parent)
                    .map_err(|cause| ImageError::Write { path: output.to_owned(), cause })?;
            }
        }
        Ok(())
    }
}

/// Removes hidden files of killed runs.
fn sweep(dir: &Path) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let ours = name.starts_with(HIDDEN) && (name.ends_with(".part") || name.ends_with(".lock"));
        let old = |at: SystemTime| at.elapsed().is_ok_and(|age| age > LEFT_BEHIND);
        // Metadata of the entry itself: do not follow links.
        if ours && entry.metadata().is_ok_and(|about| about.is_file() && about.modified().is_ok_and(old)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
