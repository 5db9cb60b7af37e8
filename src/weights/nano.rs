//! The embedded demonstration model (`weights/nano/`, see its README for its training and limits).

use super::WeightsError;
use super::source::ModelFiles;

macro_rules! embedded {
    ($($file:literal),*) => {
        [$(($file, include_bytes!(concat!("../../weights/nano/", $file)) as &[u8])),*]
    };
}

static FILES: [(&str, &[u8]); 7] = embedded!(
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
    "empty_prompt.safetensors",
    "scheduler/scheduler_config.json",
    "diffews.json"
);

/// The default model.
///
/// # Errors
/// As [`ModelFiles::open`]: embedded files get the same checks.
pub fn nano() -> Result<ModelFiles, WeightsError> {
    ModelFiles::from_bytes("embedded", |path| {
        FILES.iter().find(|(name, _)| *name == path).map(|(_, bytes)| (*bytes).into())
    })
}
