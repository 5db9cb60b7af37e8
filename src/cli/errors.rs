//! Exit codes for scripts.

use super::advice::describe;
use super::interrupt;
use diffews_wgpu::Error;
use diffews_wgpu::bench::BenchError;
use diffews_wgpu::eval::EvalError;
use diffews_wgpu::fetch::FetchError;
use diffews_wgpu::formats::FormatError;
use diffews_wgpu::gpu::GpuError;
use diffews_wgpu::image_io::ImageError;
use diffews_wgpu::model::config::ConfigError;
use diffews_wgpu::weights::WeightsError;

const FAILURE: u8 = 1;
const USAGE: u8 = 2;
const WEIGHTS: u8 = 3;
const NO_ADAPTER: u8 = 4;
const CONFORMANCE: u8 = 5;
const SOME_FAILED: u8 = 6;

/// Errors of the command itself.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Arguments that do not make sense together.
    #[error("{0}")]
    Usage(String),
    /// An error of one query of several.
    #[error("{0}")]
    Query(String),
    /// The model cannot be used.
    #[error("{0}")]
    Weights(String),
    /// A run that ended before its last query.
    #[error("{}{status}", describe(cause))]
    Ended { cause: anyhow::Error, status: String },
    #[error("{failed} of {total} queries failed, see above; the others are done")]
    SomeFailed { failed: usize, total: usize },
    #[error("{failed} of {total} episodes failed, see above; the scores are of the others")]
    EpisodesFailed { failed: usize, total: usize },
    #[error("{failed} of {total} conformance cases failed: this adapter and driver compute wrong results")]
    Conformance { failed: usize, total: usize },
    #[error("the adapter is {is}, but --expect-driver says {expected}: nothing was run")]
    OtherDriver { is: String, expected: String },
    #[error("nothing was compared: the adapter lacks features that these cases need, see above")]
    NothingRun,
}

/// An [`anyhow::Error`] that ends the command with code 2.
pub fn usage(message: impl Into<String>) -> anyhow::Error {
    CliError::Usage(message.into()).into()
}

/// The process's exit code for `error`.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    if let Some(error) = error.downcast_ref::<CliError>() {
        return match error {
            CliError::Usage(_) => USAGE,
            CliError::Ended { cause, .. } => exit_code(cause),
            CliError::Weights(_) => WEIGHTS,
            CliError::Query(_) => FAILURE,
            CliError::SomeFailed { .. } | CliError::EpisodesFailed { .. } => SOME_FAILED,
            CliError::Conformance { .. } => CONFORMANCE,
            CliError::NothingRun | CliError::OtherDriver { .. } => NO_ADAPTER,
        };
    }
    if let Some(error) = error.downcast_ref::<Error>() {
        return library(error);
    }
    if let Some(error) = error.downcast_ref::<EvalError>() {
        return match error {
            EvalError::Engine(error) => library(error),
            EvalError::Image(error) => image(error),
            EvalError::Usage(_) => USAGE,
            _ => FAILURE,
        };
    }
    if let Some(error) = error.downcast_ref::<ImageError>() {
        return image(error);
    }
    if let Some(FormatError::Image(error)) = error.downcast_ref() {
        return image(error);
    }
    if let Some(error) = error.downcast_ref::<FetchError>() {
        return match error {
            FetchError::Address { .. } => USAGE,
            FetchError::Weights(_) => WEIGHTS,
            FetchError::Interrupted => interrupt::exit_code(),
            _ => FAILURE,
        };
    }
    if let Some(error) = error.downcast_ref::<GpuError>() {
        return gpu(error);
    }
    if let Some(BenchError::Gpu(error)) = error.downcast_ref() {
        return gpu(error);
    }
    if let Some(error) = error.downcast_ref::<ConfigError>() {
        return config(error);
    }
    if error.is::<WeightsError>() { WEIGHTS } else { FAILURE }
}

fn library(error: &Error) -> u8 {
    match error {
        Error::Image(error) => image(error),
        // The weights themselves are good.
        Error::Weights(WeightsError::Exists { .. }) => FAILURE,
        Error::Weights(_) => WEIGHTS,
        Error::Config(error) => config(error),
        Error::SelfCheck { .. } => NO_ADAPTER,
        Error::Gpu(error) => gpu(error),
        Error::Interrupted => interrupt::exit_code(),
        Error::Usage(_) => USAGE,
        _ => FAILURE,
    }
}

/// Whether the next query may still succeed: not if the disk is full or the directory of results is gone.
pub fn is_of_query(error: &anyhow::Error) -> bool {
    if let Some(CliError::Query(_)) = error.downcast_ref() {
        return true;
    }
    if let Some(error) = error.downcast_ref::<FormatError>() {
        return !matches!(error, FormatError::Image(error) if is_of_place(error));
    }
    match (error.downcast_ref::<ImageError>(), error.downcast_ref::<Error>()) {
        (Some(error), _) | (_, Some(Error::Image(error))) => !is_of_place(error),
        (_, Some(Error::NotFinite { .. } | Error::Overflow { .. })) => true,
        _ => false,
    }
}

/// Whether a failure to write will hit other files, too.
fn is_of_place(error: &ImageError) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    match error {
        ImageError::NoParent { .. } => true,
        ImageError::Write { cause, .. } => {
            matches!(cause.kind(), NotADirectory | NotFound | QuotaExceeded | ReadOnlyFilesystem | StorageFull)
        }
        _ => false,
    }
}

/// Unsuitable outputs are wrong usage, unreadable inputs are not.
fn image(error: &ImageError) -> u8 {
    match error {
        ImageError::Extension { .. } => USAGE,
        _ => FAILURE,
    }
}

fn config(error: &ConfigError) -> u8 {
    if matches!(error, ConfigError::Size { .. }) { USAGE } else { WEIGHTS }
}

fn gpu(error: &GpuError) -> u8 {
    match error {
        GpuError::Backend(_) => USAGE,
        GpuError::NoAdapter(_) | GpuError::NoDevice { .. } | GpuError::Idle { .. } => NO_ADAPTER,
        GpuError::Interrupted => interrupt::exit_code(),
        _ => FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conformance_failure_is_told_from_others_by_its_code() {
        let code = |error: CliError| exit_code(&error.into());
        assert_eq!(code(CliError::Conformance { failed: 1, total: 9 }), 5);
        assert_eq!(code(CliError::SomeFailed { failed: 1, total: 9 }), 6);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_or_missing_place_is_no_fault_of_a_query() {
        let write =
            |number| ImageError::Write { path: "m.png".into(), cause: std::io::Error::from_raw_os_error(number) };
        // ENOSPC, EROFS, EDQUOT, ENOENT, ENOTDIR; EFBIG and EACCES may be one file's own.
        for (number, ends) in [(28, true), (30, true), (122, true), (2, true), (20, true), (27, false), (13, false)] {
            assert_eq!(is_of_query(&write(number).into()), !ends, "{number}");
            assert_eq!(is_of_query(&Error::from(write(number)).into()), !ends, "{number}");
        }
        let ended = CliError::Ended { cause: write(28).into(), status: "; 1 of 2 is done".into() };
        assert!(ended.to_string().ends_with("; 1 of 2 is done"));
        assert_eq!(exit_code(&ended.into()), 1);
        let usage = CliError::Ended { cause: usage("no"), status: String::new() };
        assert_eq!(exit_code(&usage.into()), 2);
    }
}
