//! What can go wrong when weights are fetched.

use crate::shown;
use crate::weights::WeightsError;
use std::io;
use std::path::{Path, PathBuf};

/// Weights that could not be fetched. What has come stays, but where the message says so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// No address of a repository.
    #[error("{}: {reason}", shown::text(address))]
    Address {
        /// What was given.
        address: String,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
    /// A list of files that cannot be trusted or read.
    #[error("{}: this list of files is not used: {reason}", shown::text(address))]
    Listing {
        /// Where it came from.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The repository lacks what a model needs.
    #[error("{}: {reason}", shown::text(repository))]
    Absent {
        /// The repository.
        repository: String,
        /// What is not there, and what is.
        reason: String,
    },
    /// The server or the way to it failed, as often as it was tried.
    #[error("{}: {reason}", shown::text(address))]
    Network {
        /// What was asked for.
        address: String,
        /// What came instead.
        reason: String,
    },
    /// The file is not the one that was listed.
    #[error(
        "{}: {reason}; it was changed since it was listed, or the server is broken: begin again, or take another mirror",
        shown::text(address)
    )]
    Changed {
        /// The file's address.
        address: String,
        /// What differs.
        reason: String,
    },
    /// All bytes came, and they are others.
    #[error(
        "{}: its SHA-256 is {got}, and the repository lists {wanted}: what came was thrown away; try again, or take another mirror",
        shown::text(address)
    )]
    Hash {
        /// The file's address.
        address: String,
        /// The hash of what came, in hexadecimal digits.
        got: String,
        /// The hash that is listed.
        wanted: String,
    },
    /// Something else is where a file is to go.
    #[error("{}: it is there, and it is not the repository's file", shown::path(path))]
    Exists {
        /// Its path.
        path: PathBuf,
    },
    /// Another run is at the same file.
    #[error("{}: another run is at it; wait for that", shown::path(path))]
    Busy {
        /// The part that it writes.
        path: PathBuf,
    },
    /// The disk is full, or would be.
    #[error(
        "{}: {missing} bytes are still to come and the disk has no room for them; what has come stays: make room and run it again",
        shown::path(path)
    )]
    Full {
        /// The file or directory.
        path: PathBuf,
        /// Bytes that have not come yet.
        missing: u64,
    },
    /// The system refused to read or to write.
    #[error("{}: {source}", shown::path(path))]
    Io {
        /// The path.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// An index of shards that cannot be followed.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// It was asked to end.
    #[error("interrupted; what has come stays, and the next run goes on from there")]
    Interrupted,
}

impl FetchError {
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> FetchError + '_ {
        move |source| FetchError::Io { path: path.to_owned(), source }
    }
}
