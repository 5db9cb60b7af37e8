//! Errors of fetching weights.

use crate::shown;
use crate::weights::WeightsError;
use std::io;
use std::path::{Path, PathBuf};

/// Why weights could not be fetched. Received bytes are kept, unless the message says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// Not an address of a repository.
    #[error("{}: {reason}", shown::text(address))]
    Address {
        /// The given address.
        address: String,
        /// What is wrong with it, and the right form.
        reason: String,
    },
    /// A list of files that cannot be trusted or read.
    #[error("{}: the list of files cannot be used: {reason}", shown::text(address))]
    Listing {
        /// Its address.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The repository lacks files of a model.
    #[error("{}: {reason}", shown::text(repository))]
    Absent {
        /// The repository.
        repository: String,
        /// What is missing, and what exists.
        reason: String,
    },
    /// The server or the connection failed in all attempts.
    #[error("{}: {reason}", shown::text(address))]
    Network {
        /// The requested address.
        address: String,
        /// The answer or error.
        reason: String,
    },
    /// The file differs from the listed one.
    #[error(
        "{}: {reason}; the file has changed since it was listed, or the server is broken: run again, or use another mirror",
        shown::text(address)
    )]
    Changed {
        /// The file's address.
        address: String,
        /// What differs.
        reason: String,
    },
    /// All bytes arrived, but their hash is wrong.
    #[error(
        "{}: its SHA-256 is {got}, but the repository lists {wanted}: the download was deleted; try again, or use another mirror",
        shown::text(address)
    )]
    Hash {
        /// The file's address.
        address: String,
        /// The hash of the received bytes, in hexadecimal digits.
        got: String,
        /// The listed hash.
        wanted: String,
    },
    /// Another file is in the way.
    #[error("{}: this file exists and differs from the repository's", shown::path(path))]
    Exists {
        /// Its path.
        path: PathBuf,
    },
    /// Another run is fetching the same file.
    #[error("{}: another run is fetching it; wait for it to end", shown::path(path))]
    Busy {
        /// The partial file.
        path: PathBuf,
    },
    /// The disk is full, or would be.
    #[error(
        "{}: the disk has no room for the remaining {missing} bytes; received bytes are kept: free some space and run it again",
        shown::path(path)
    )]
    Full {
        /// The file or directory.
        path: PathBuf,
        /// Bytes that have not arrived yet.
        missing: u64,
    },
    /// The system refused to read or to write.
    #[error("{}: {source}", shown::path(path))]
    Io {
        /// The path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// An index of shards that cannot be followed.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The fetch was interrupted.
    #[error("interrupted; received bytes are kept, and the next run continues from there")]
    Interrupted,
}

impl FetchError {
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> FetchError + '_ {
        move |source| FetchError::Io { path: path.to_owned(), source }
    }
}
