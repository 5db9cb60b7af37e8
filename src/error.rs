//! What can go wrong, for callers that care which.

use crate::gpu::GpuError;
use crate::plan::Storage;
use crate::segment::Stage;
use crate::weights::WeightsError;

/// Every failure of the library. Messages are one line and name the file, tensor, adapter or stage.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(transparent)]
    Image(#[from] crate::image_io::ImageError),
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error(transparent)]
    Config(#[from] crate::model::config::ConfigError),
    #[error(transparent)]
    Gpu(GpuError),
    #[error(transparent)]
    Plan(#[from] crate::plan::PlanError),
    /// In half precision a larger range, f32, may help; in f32 the weights or the driver are at fault.
    #[error(
        "NaN or infinity after the stage \"{stage}\" (elements stored as {}){}",
        storage.name(),
        if *storage == Storage::F32 { ": `model verify` checks the weights, `conformance` the adapter and its driver" } else { "" }
    )]
    NotFinite { stage: Stage, storage: Storage },
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

    /// A weight, NaN or infinity where half precision is or may be the cause: f32 may do what failed.
    pub fn halves_overflowed(&self) -> bool {
        match self {
            Error::NotFinite { storage, .. } => *storage != Storage::F32,
            Error::Weights(WeightsError::Value { value, half, .. }) => *half && value.is_finite(),
            _ => false,
        }
    }
}
