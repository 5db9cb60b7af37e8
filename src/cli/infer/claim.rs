//! Claims on queries: several runs with `--skip-existing` share a batch.

use super::super::job::Job;
use diffews_wgpu::image_io::is_standard;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::PathBuf;

/// A lock on a query. It ends with the process, or when this is dropped.
pub struct Claim {
    file: Option<File>,
    path: PathBuf,
}

impl Claim {
    /// Claims `job`; `None` if another run has it. Without file locks every claim succeeds.
    pub fn on(job: &Job) -> Option<Claim> {
        // Without a file of its own, a query is never claimed.
        let result = job.result.as_deref()?;
        let name = result.file_name().unwrap_or_default();
        let mut hidden = std::ffi::OsString::from(".diffews-");
        hidden.push(name);
        hidden.push(".lock");
        let path = result.with_file_name(hidden);
        let stranger = fs::symlink_metadata(&path).is_ok_and(|about| !about.is_file());
        if is_standard(result) || stranger {
            return Some(Claim { file: None, path });
        }
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path).ok();
        match file.as_ref().map(File::try_lock) {
            Some(Err(TryLockError::WouldBlock)) => None,
            _ => Some(Claim { file, path }),
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            let _ = fs::remove_file(&self.path);
        }
    }
}
