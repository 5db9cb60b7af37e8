//! Annotations of other tools, read as the masks of examples. Files are untrusted.

pub mod coco;
mod fill;
pub mod label_studio;
pub mod labelme;

use crate::files::read_regular;
use crate::image_io::ImageError;
use crate::shown;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// Why a file of annotations cannot be used. Messages are one line and name the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnnotationError {
    #[error("{path}: {reason}", path = .path.display())]
    Unusable { path: PathBuf, reason: String },

    /// A labelme file with several labels, of which one must be chosen.
    #[error("{path}: its shapes have several labels: {labels}", path = .path.display())]
    SeveralLabels { path: PathBuf, labels: String },

    #[error(transparent)]
    Image(#[from] ImageError),
}

fn unusable(path: &Path, reason: impl Into<String>) -> AnnotationError {
    AnnotationError::Unusable { path: path.to_owned(), reason: reason.into() }
}

/// Reads a JSON file of at most `most` bytes; `what` names the expected format in messages.
fn json<T: DeserializeOwned>(path: &Path, most: u64, what: &str) -> Result<T, AnnotationError> {
    let bytes = read_regular(path, most).map_err(|cause| ImageError::Read { path: path.to_owned(), cause })?;
    let bytes = bytes.ok_or_else(|| unusable(path, format!("the file is larger than {} MiB", most >> 20)))?;
    serde_json::from_slice(&bytes).map_err(|e| unusable(path, format!("not {what}: {}", shown::text(&e.to_string()))))
}
