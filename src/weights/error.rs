//! What can be wrong with a checkpoint.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::Problem;
use crate::shown;

/// A checkpoint that cannot be used. Each message names the file (and the tensor where there is one) and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The operating system refused to open, read or list a path.
    #[error("{}: {source}", shown::path(path))]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A directory or a device stands where a file belongs, or a file where a directory belongs.
    #[error("{}: expected {expected}", shown::path(path))]
    WrongKind {
        /// The path that was given or found.
        path: PathBuf,
        /// What belongs there.
        expected: &'static str,
    },
    /// Something is where a model is to be written.
    #[error("{}: it is there already; name a directory that is not", shown::path(path))]
    Exists {
        /// Its path.
        path: PathBuf,
    },
    /// None of the names under which a component is published exists.
    #[error("{}: no {what} here; {}looked for {}", shown::path(dir), hint.as_ref().map(|h| format!("{h}; ")).unwrap_or_default(), looked_for.join(", "))]
    NotFound {
        /// Where it was looked for.
        dir: PathBuf,
        /// What was looked for, in words.
        what: String,
        /// The names that were tried.
        looked_for: Vec<String>,
        /// What is there instead, and what to do about it.
        hint: Option<String>,
    },
    /// Another process wrote to a file while it was read.
    #[error("{}: {reason}; try again when nothing writes to it", shown::path(path))]
    Changed {
        /// The file.
        path: PathBuf,
        /// What was seen.
        reason: String,
    },
    /// Only pickled weights are there.
    #[error(
        "{}: pickle files can run code when they are read and are refused; convert the file once with\n  {convert}",
        shown::path(path)
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
    #[error("tensor `{}` is in two shards, {first} and {second}", shown::text(name))]
    Duplicate {
        /// The tensor.
        name: String,
        /// One shard.
        first: String,
        /// The other shard.
        second: String,
    },
    /// The checkpoint does not fit the model that config.json describes. The message lists the first of the tensors,
    /// [`WeightsError::listing`] more of them.
    #[error("{}", self.listing(shown::MOST_TENSORS))]
    Mismatch {
        /// The checkpoint.
        file: String,
        /// What all of the problems may come from, in words, and what to do.
        cause: Option<String>,
        /// Every missing and every unusable tensor, in the order of asking.
        problems: Vec<Problem>,
    },
    /// A UNet of Stable Diffusion that DiffewS has not trained.
    #[error("{file}: a plain Stable Diffusion UNet, without the tensor `conv_in_ref` that DiffewS adds and trains")]
    PlainUNet {
        /// The checkpoint.
        file: String,
    },
    /// A placeholder of a tensor that the checkpoint lacks was read ([`super::Weights::finish`] reports it in full).
    #[error("{file}: tensor `{}` is missing or unusable", shown::text(name))]
    Placeholder {
        /// The checkpoint.
        file: String,
        /// The tensor.
        name: String,
    },
    /// A weight, or what is folded from several, cannot be computed with.
    #[error("{}: holds {value:e}, {}", shown::text(tensor), if *half && value.is_finite() {
        "too large for half precision"
    } else {
        "which is no number to compute with; the file is damaged or its training failed"
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
    #[error("{file}: elements {start}..{end} asked of tensor `{}`, which has {len}", shown::text(name))]
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
    /// The message, with `most` tensors where it lists tensors.
    pub fn listing(&self, most: usize) -> String {
        let WeightsError::Mismatch { file, cause, problems } = self else { return self.to_string() };
        let mut out = format!("{file} does not fit its config.json: ");
        if let Some(cause) = cause {
            // Writing to a string does not fail.
            let _ = write!(out, "{cause}: ");
        }
        let _ = write!(out, "{} tensor(s)", problems.len());
        for line in shown::first(problems, most) {
            let _ = write!(out, "\n  {line}");
        }
        if problems.len() > most {
            out += shown::where_all(most);
        }
        out
    }

    pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> WeightsError + '_ {
        move |source| {
            let link = source.kind() == std::io::ErrorKind::NotFound && path.is_symlink();
            match std::fs::read_link(path) {
                Ok(to) if link => WeightsError::Invalid {
                    file: shown::path(path),
                    reason: format!("it is a link to {}, which is not there; download it again", shown::path(&to)),
                },
                _ => WeightsError::Io { path: path.to_owned(), source },
            }
        }
    }

    pub(super) fn malformed(file: &str, reason: impl Into<String>) -> WeightsError {
        WeightsError::Malformed { file: file.to_owned(), reason: reason.into() }
    }

    pub(super) fn invalid(file: &str, reason: impl Into<String>) -> WeightsError {
        WeightsError::Invalid { file: file.to_owned(), reason: reason.into() }
    }
}
