//! Errors of checkpoints.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::Problem;
use crate::shown;

/// Why a checkpoint cannot be used. Each message names the file, the tensor if there is one, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The operating system refused to open, read or list a path.
    #[error("{}: {source}", shown::path(path))]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A directory or a device stands where a file belongs, or a file where a directory belongs.
    #[error("{}: expected {expected}", shown::path(path))]
    WrongKind {
        /// The path.
        path: PathBuf,
        /// What is expected.
        expected: &'static str,
    },
    /// The directory for a new model exists.
    #[error("{}: it exists already; name a new directory", shown::path(path))]
    Exists {
        /// Its path.
        path: PathBuf,
    },
    /// None of the published names of a component's files exists.
    #[error("{}: no {what} here; {}looked for {}", shown::path(dir), hint.as_ref().map(|h| format!("{h}; ")).unwrap_or_default(), looked_for.join(", "))]
    NotFound {
        /// The searched directory.
        dir: PathBuf,
        /// A description of the missing files.
        what: String,
        /// The names that were tried.
        looked_for: Vec<String>,
        /// What exists instead, and what to do.
        hint: Option<String>,
    },
    /// Another process wrote to a file while it was read.
    #[error("{}: {reason}; try again when nothing writes to it", shown::path(path))]
    Changed {
        /// The file.
        path: PathBuf,
        /// How the change was noticed.
        reason: String,
    },
    /// There are only pickled weights.
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
        /// The likely common cause of the problems, and what to do.
        cause: Option<String>,
        /// Every missing and unusable tensor, in the order of requests.
        problems: Vec<Problem>,
    },
    /// A UNet of plain Stable Diffusion.
    #[error("{file}: a plain Stable Diffusion UNet, without the tensor `conv_in_ref` that DiffewS adds and trains")]
    PlainUNet {
        /// The checkpoint.
        file: String,
    },
    /// A placeholder of a missing tensor was read ([`super::Weights::finish`] reports all of them).
    #[error("{file}: tensor `{}` is missing or unusable", shown::text(name))]
    Placeholder {
        /// The checkpoint.
        file: String,
        /// The tensor.
        name: String,
    },
    /// A weight, or a fold of several, is not finite or too large.
    #[error("{}: holds {value:e}, {}", shown::text(tensor), if *half && value.is_finite() {
        "too large for half precision"
    } else {
        "which is not finite; the file is damaged or its training failed"
    })]
    Value {
        /// The tensor, or the layer whose folded weights hold it.
        tensor: String,
        /// The first such value.
        value: f32,
        /// Whether it was to be stored as a half.
        half: bool,
    },
    /// A requested range exceeds the tensor.
    #[error("{file}: elements {start}..{end} requested of tensor `{}`, which has {len}", shown::text(name))]
    Range {
        /// The checkpoint.
        file: String,
        /// The tensor.
        name: String,
        /// First requested element.
        start: usize,
        /// One past the last requested element.
        end: usize,
        /// Elements in the tensor.
        len: usize,
    },
    /// A side file (`diffews.json`, `empty_prompt.safetensors`, a config.json) has invalid content.
    #[error("{file}: {reason}")]
    Invalid {
        /// The file.
        file: String,
        /// What is wrong, and the right form.
        reason: String,
    },
}

impl WeightsError {
    /// The message, listing at most `most` tensors.
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
                    reason: format!("it is a link to {}, which does not exist; download it again", shown::path(&to)),
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
