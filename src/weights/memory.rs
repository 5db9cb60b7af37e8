//! A model with its files in memory: embedded, or fetched by a program without a file system.

use super::source::{ConfigText, MAX_CONFIG, ModelFiles, TextSource, read_diffews};
use super::{Weights, WeightsError, kind};
use crate::settings::DiffewsJson;
use std::borrow::Cow;

const UNET: &str = "unet/diffusion_pytorch_model.safetensors";
const UNET_CONFIG: &str = "unet/config.json";
const VAE: &str = "vae/diffusion_pytorch_model.safetensors";
const VAE_CONFIG: &str = "vae/config.json";
const PROMPT: &str = "empty_prompt.safetensors";
const SCHEDULER: &str = "scheduler/scheduler_config.json";
const DIFFEWS: &str = "diffews.json";

impl ModelFiles {
    /// Paths in a model's directory that [`ModelFiles::from_bytes`] requests.
    pub const NAMES: [&str; 7] = [UNET_CONFIG, UNET, VAE_CONFIG, VAE, PROMPT, SCHEDULER, DIFFEWS];

    /// Opens a model of files in memory: `read` returns the bytes of a file by its path in the model's directory, or `None` if it is
    /// missing. The scheduler's config and `diffews.json` are optional. Messages name a file by `name` and its path.
    ///
    /// # Errors
    /// As [`ModelFiles::open`]: these files get the same checks.
    pub fn from_bytes(
        name: &str,
        mut read: impl FnMut(&str) -> Option<Cow<'static, [u8]>>,
    ) -> Result<ModelFiles, WeightsError> {
        let called = |path: &str| format!("{name}:{path}");
        let mut given = |path: &str| {
            let missing = || WeightsError::NotFound {
                dir: name.into(),
                what: "part of a model".into(),
                looked_for: vec![path.into()],
                hint: None,
            };
            read(path).ok_or_else(missing)
        };
        let mut weights = |path: &str| Weights::from_bytes(&called(path), given(path)?);
        let (unet, vae, text) = (weights(UNET)?, weights(VAE)?, TextSource::embeds(weights(PROMPT)?)?);
        let (unet_config, vae_config) =
            (config(called(UNET_CONFIG), given(UNET_CONFIG)?)?, config(called(VAE_CONFIG), given(VAE_CONFIG)?)?);
        let mut side = |path: &str| read(path).map(|bytes| config(called(path), bytes)).transpose();
        Ok(ModelFiles {
            unet,
            vae,
            text,
            unet_config,
            vae_config,
            scheduler_config: side(SCHEDULER)?,
            separate_unet: false,
            diffews: side(DIFFEWS)?.map_or_else(|| Ok(DiffewsJson::default()), |text| read_diffews(&text))?,
        })
    }
}

fn config(file: String, bytes: Cow<'static, [u8]>) -> Result<ConfigText, WeightsError> {
    if bytes.len() as u64 > MAX_CONFIG {
        let reason = format!("it has more than {MAX_CONFIG} bytes, the limit for this file");
        return Err(WeightsError::invalid(&file, reason));
    }
    match kind::json_text(bytes.into_owned()) {
        Ok(text) => Ok(ConfigText { file, text }),
        Err(reason) => Err(WeightsError::invalid(&file, reason)),
    }
}
