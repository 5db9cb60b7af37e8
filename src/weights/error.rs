//! What can be wrong with a checkpoint.

use std::path::{Path, PathBuf};

/// A checkpoint that cannot be used. Each message names the file (and the tensor where there is one) and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The operating system refused to open, map or list a path.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A directory or a device stands where a file belongs, or a file where a directory belongs.
    #[error("{}: expected {expected}", path.display())]
    WrongKind {
        /// The path that was given or found.
        path: PathBuf,
        /// What belongs there.
        expected: &'static str,
    },
    /// None of the names under which a component is published exists.
    #[error("{}: no {what} here; looked for {}", dir.display(), looked_for.join(", "))]
    NotFound {
        /// Where it was looked for.
        dir: PathBuf,
        /// What was looked for, in words.
        what: String,
        /// The names that were tried.
        looked_for: Vec<String>,
    },
    /// Only pickled weights are there.
    #[error(
        "{}: pickle files can run code when they are read and are refused; convert the file once with\n  {convert}",
        path.display()
    )]
    Pickle {
        /// The pickled file.
        path: PathBuf,
        /// A command that writes the safetensors file beside it.
        convert: String,
    },
    /// The file is not a sound safetensors file.
    #[error("{file}: not a sound safetensors file: {reason}; download or export it again")]
    Malformed {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// A shard index that cannot be followed.
    #[error("{file}: unusable shard index: {reason}")]
    Index {
        /// The index file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// Two shards hold a tensor of the same name.
    #[error("tensor `{name}` is in two shards, {first} and {second}")]
    Duplicate {
        /// The tensor.
        name: String,
        /// One shard.
        first: String,
        /// The other shard.
        second: String,
    },
    /// The checkpoint does not fit the model that config.json describes. Lists every missing and every unusable tensor.
    #[error("{file} does not fit its config.json: {} tensor(s)\n  {}", problems.len(), problems.join("\n  "))]
    Mismatch {
        /// The checkpoint.
        file: String,
        /// One line for each tensor, in the order of asking.
        problems: Vec<String>,
    },
    /// A placeholder of a tensor that the checkpoint lacks was read ([`super::Weights::finish`] reports it in full).
    #[error("{file}: tensor `{name}` is missing or unusable")]
    Placeholder {
        /// The checkpoint.
        file: String,
        /// The tensor.
        name: String,
    },
    /// A weight, or what is folded from several, cannot be computed with.
    #[error("{tensor}: holds {value:e}, {}", if *half && value.is_finite() {
        "too large for half precision; use --precision f32"
    } else {
        "which is no number to compute with; the file is damaged or its training failed (`model verify` shows which tensors)"
    })]
    Value {
        /// The tensor, or the layer whose folded weights hold it.
        tensor: String,
        /// The first such value.
        value: f32,
        /// It was to be stored as a half.
        half: bool,
    },
    /// A range beyond the tensor's end was asked for.
    #[error("{file}: elements {start}..{end} asked of tensor `{name}`, which has {len}")]
    Range {
        /// The checkpoint.
        file: String,
        /// The tensor.
        name: String,
        /// First element asked for.
        start: usize,
        /// One past the last element asked for.
        end: usize,
        /// Elements in the tensor.
        len: usize,
    },
    /// A side file (`diffews.json`, `empty_prompt.safetensors`, a config.json) holds something senseless.
    #[error("{file}: {reason}")]
    Invalid {
        /// The file.
        file: String,
        /// What is wrong and what would be right.
        reason: String,
    },
}

impl WeightsError {
    pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> WeightsError + '_ {
        move |source| WeightsError::Io { path: path.to_owned(), source }
    }

    pub(super) fn malformed(file: &str, reason: impl Into<String>) -> WeightsError {
        WeightsError::Malformed { file: file.to_owned(), reason: reason.into() }
    }

    pub(super) fn invalid(file: &str, reason: impl Into<String>) -> WeightsError {
        WeightsError::Invalid { file: file.to_owned(), reason: reason.into() }
    }
}
