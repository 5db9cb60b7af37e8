//! Errors of the library.

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
    /// In f32 the weights or the driver are at fault; in half precision an overflow is possible, too.
    #[error("NaN or infinity after the stage \"{stage}\" (elements stored as {})", storage.name())]
    NotFinite { stage: Stage, storage: Policy },
    /// Half precision overflowed, and f32 failed, too.
    #[error("{halves}, and f32 failed, too: {full}")]
    Overflow { halves: Box<Error>, full: Box<Error> },
    /// The adapter computed a wrong result.
    #[error("{adapter} ({driver}) does not pass the self-check: {what}")]
    SelfCheck { adapter: String, driver: String, what: String },
    /// Only the segmenter that made a bank can read it.
    #[error("the bank belongs to another segmenter, {bank}; this one is {segmenter}")]
    ForeignBank { bank: String, segmenter: String },
    #[error(transparent)]
    Bank(#[from] BankError),
    #[error("interrupted")]
    Interrupted,
    #[error("{0}")]
    Usage(String),
}

impl From<GpuError> for Error {
    /// Keeps an interrupt an interrupt.
    fn from(error: GpuError) -> Error {
        match error {
            GpuError::Interrupted => Error::Interrupted,
            other => Error::Gpu(other),
        }
    }
}

impl Error {
    /// Whether the device was lost: a retry on the adapter opened again may succeed.
    pub fn device_lost(&self) -> bool {
        matches!(self, Error::Gpu(GpuError::Lost { .. }))
    }

    /// Combines the overflow `halves` with the error `full` of the retry in f32.
    pub(crate) fn after(halves: Option<Error>, full: Error) -> Error {
        match (halves, full) {
            (Some(halves), full @ (Error::Plan(_) | Error::Gpu(GpuError::OutOfMemory { .. }))) => {
                Error::Overflow { halves: Box::new(halves), full: Box::new(full) }
            }
            (_, full) => full,
        }
    }

    /// Whether half precision may be the cause, so that f32 may succeed.
    pub(crate) fn halves_overflowed(&self) -> bool {
        match self {
            Error::NotFinite { storage, .. } => *storage != Policy::F32,
            Error::Weights(WeightsError::Value { value, half, .. }) => *half && value.is_finite(),
            _ => false,
        }
    }
}
