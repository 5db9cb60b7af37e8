//! What can go wrong, for callers that care which.

use crate::gpu::GpuError;
use crate::plan::Policy;
use crate::segment::{BankError, Stage};
use crate::weights::WeightsError;

/// Every failure of the library. Messages are one line and name the file, tensor, adapter or stage.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    Image(#[from] crate::image_io::ImageError),
    #[error(transparent)]
    Format(#[from] crate::formats::FormatError),
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error(transparent)]
    Config(#[from] crate::model::config::ConfigError),
    #[error(transparent)]
    Gpu(GpuError),
    #[error(transparent)]
    Plan(#[from] crate::plan::PlanError),
    /// In f32 the weights or the driver are at fault; in half precision also the range of numbers may be.
    #[error("NaN or infinity after the stage \"{stage}\" (elements stored as {})", storage.name())]
    NotFinite { stage: Stage, storage: Policy },
    /// Half precision was not enough, and there is no f32.
    #[error("{halves}, and there is no f32: {full}")]
    Overflow { halves: Box<Error>, full: Box<Error> },
    /// The adapter computed something else than what is known.
    #[error("{adapter} ({driver}) does not pass the self-check: {what}")]
    SelfCheck { adapter: String, driver: String, what: String },
    /// Banks are read by the segmenter that made them.
    #[error("the bank is of another segmenter: of {bank}; this one is of {segmenter}")]
    ForeignBank { bank: String, segmenter: String },
    #[error(transparent)]
    Bank(#[from] BankError),
    #[error("interrupted")]
    Interrupted,
    #[error("{0}")]
    Usage(String),
}

impl From<GpuError> for Error {
    /// An interrupt is one, wherever it was heard.
    fn from(error: GpuError) -> Error {
        match error {
            GpuError::Interrupted => Error::Interrupted,
            other => Error::Gpu(other),
        }
    }
}

impl Error {
    /// The device is gone: the adapter, opened once more, may do what failed.
    pub fn device_lost(&self) -> bool {
        matches!(self, Error::Gpu(GpuError::Lost { .. }))
    }

    /// `full`, which came of trying again in f32 what had failed as `halves` tells.
    pub(crate) fn after(halves: Option<Error>, full: Error) -> Error {
        match (halves, full) {
            (Some(halves), full @ (Error::Plan(_) | Error::Gpu(GpuError::OutOfMemory { .. }))) => {
                Error::Overflow { halves: Box::new(halves), full: Box::new(full) }
            }
            (_, full) => full,
        }
    }

    /// A weight, NaN or infinity where half precision is or may be the cause: f32 may do what failed.
    pub(crate) fn halves_overflowed(&self) -> bool {
        match self {
            Error::NotFinite { storage, .. } => *storage != Policy::F32,
            Error::Weights(WeightsError::Value { value, half, .. }) => *half && value.is_finite(),
            _ => false,
        }
    }
}
