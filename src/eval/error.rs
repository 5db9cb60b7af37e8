//! Errors of a whole run. Errors of one episode are records in the results.

use crate::shown;
use std::io;
use std::path::{Path, PathBuf};

/// Why a run failed. Each message is one line, names the file and says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    #[error("{path}: cannot be read: {cause}", path = shown::path(.path))]
    Read { path: PathBuf, cause: io::Error },
    #[error("{path}: cannot be written: {cause}", path = shown::path(.path))]
    Write { path: PathBuf, cause: io::Error },
    /// The file of episodes is invalid.
    #[error("{path}: {reason}", path = shown::path(.path))]
    Episodes { path: PathBuf, reason: String },
    /// A file of results is damaged or belongs to another run.
    #[error("{path}: {reason}", path = shown::path(.path))]
    Results { path: PathBuf, reason: String },
    /// Results that cannot be merged.
    #[error("{0}")]
    Merge(String),
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Image(#[from] crate::image_io::ImageError),
    #[error(transparent)]
    Engine(#[from] crate::Error),
}

impl EvalError {
    pub(super) fn read(path: &Path, cause: io::Error) -> EvalError {
        EvalError::Read { path: path.to_owned(), cause }
    }

    pub(super) fn write(path: &Path, cause: io::Error) -> EvalError {
        EvalError::Write { path: path.to_owned(), cause }
    }

    pub(super) fn results(path: &Path, reason: impl Into<String>) -> EvalError {
        EvalError::Results { path: path.to_owned(), reason: reason.into() }
    }
}
