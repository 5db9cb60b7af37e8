//! The embedded demonstration model (`weights/nano/`, see its README for where it comes from and what it cannot do).

use super::source::{ConfigText, ModelFiles, TextSource, read_diffews};
use super::{Weights, WeightsError};

macro_rules! embedded {
    ($file:literal) => {
        (concat!("embedded:", $file), include_bytes!(concat!("../../weights/nano/", $file)) as &'static [u8])
    };
}

fn config((file, bytes): (&str, &'static [u8])) -> Result<ConfigText, WeightsError> {
    let text = std::str::from_utf8(bytes).map_err(|e| WeightsError::invalid(file, e.to_string()))?;
    Ok(ConfigText { file: file.to_owned(), text: text.to_owned() })
}

/// The model that is used where no weights are named.
///
/// # Errors
/// Those of [`ModelFiles::open`]: embedded files get no less checking than others.
pub fn nano() -> Result<ModelFiles, WeightsError> {
    let (unet, bytes) = embedded!("unet/diffusion_pytorch_model.safetensors");
    let unet = Weights::from_bytes(unet, bytes)?;
    let (vae, bytes) = embedded!("vae/diffusion_pytorch_model.safetensors");
    let vae = Weights::from_bytes(vae, bytes)?;
    let (prompt, bytes) = embedded!("empty_prompt.safetensors");
    Ok(ModelFiles {
        unet,
        vae,
        text: TextSource::embeds(Weights::from_bytes(prompt, bytes)?)?,
        unet_config: config(embedded!("unet/config.json"))?,
        vae_config: config(embedded!("vae/config.json"))?,
        scheduler_config: Some(config(embedded!("scheduler/scheduler_config.json"))?),
        separate_unet: false,
        diffews: read_diffews(&config(embedded!("diffews.json"))?)?,
    })
}
