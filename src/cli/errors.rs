//! Exit codes: what scripts learn of a failure.

use diffews_wgpu::Error;
use diffews_wgpu::bench::BenchError;
use diffews_wgpu::eval::EvalError;
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
/// 128 + SIGINT, as shells have it.
const INTERRUPTED: u8 = 130;

/// Errors that only the command has.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Arguments that do not make sense together.
    #[error("{0}")]
    Usage(String),
    /// A model that cannot be used, found by the command itself.
    #[error("{0}")]
    Weights(String),
    #[error("{failed} of {total} queries failed, see above; the others are done")]
    SomeFailed { failed: usize, total: usize },
    #[error("{failed} of {total} episodes failed, see above; the scores are those of the others")]
    EpisodesFailed { failed: usize, total: usize },
    #[error("{failed} of {total} conformance cases failed: this adapter and driver do not compute right")]
    Conformance { failed: usize, total: usize },
    #[error("nothing was compared: the adapter lacks what these cases need (each says what)")]
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
            CliError::Weights(_) => WEIGHTS,
            CliError::SomeFailed { .. } | CliError::EpisodesFailed { .. } => SOME_FAILED,
            CliError::Conformance { .. } => CONFORMANCE,
            CliError::NothingRun => NO_ADAPTER,
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
        Error::Weights(_) => WEIGHTS,
        Error::Config(error) => config(error),
        Error::Gpu(error) => gpu(error),
        Error::Interrupted => INTERRUPTED,
        Error::Usage(_) => USAGE,
        _ => FAILURE,
    }
}

/// Outputs that will not do are the command line's fault, unreadable inputs are not.
fn image(error: &ImageError) -> u8 {
    match error {
        ImageError::Threshold { .. } | ImageError::Extension { .. } => USAGE,
        _ => FAILURE,
    }
}

fn config(error: &ConfigError) -> u8 {
    if matches!(error, ConfigError::Size { .. }) { USAGE } else { WEIGHTS }
}

fn gpu(error: &GpuError) -> u8 {
    match error {
        GpuError::NoAdapter(_) | GpuError::NoDevice { .. } => NO_ADAPTER,
        GpuError::Interrupted => INTERRUPTED,
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
}
