//! config.json of the UNet, the VAE, the text encoder and the scheduler: read, validated, and checked against each other.
//!
//! Every hyper-parameter comes from these files; omitted keys have diffusers' defaults. A key that would change the mathematics in a way
//! that this program does not compute is rejected by name, so that no checkpoint runs with another meaning. Unknown keys with a value give
//! a warning.

mod fields;
mod scheduler;
#[cfg(all(test, feature = "embedded"))]
mod tests;
mod text;
mod unet;
mod vae;

pub use scheduler::SchedulerConfig;
pub use text::{Activation, TextConfig};
pub use unet::UNetConfig;
pub use vae::VaeConfig;

use crate::weights::{ModelFiles, TextSource, Weights, WeightsError};

/// Widest layer that is accepted (SD 2.1: 1280); larger numbers are nonsense, not models.
pub(crate) const MAX_WIDTH: usize = 65_536;
/// Most resolution levels (SD: 4).
const MAX_LEVELS: usize = 8;
/// Most layers in a block.
const MAX_LAYERS: usize = 16;
/// Largest image side.
const MAX_SIZE: usize = 16_384;

/// A configuration that cannot be read or is not supported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Not JSON, or not an object.
    #[error("{file}: not a configuration: {reason}")]
    Json {
        /// The file.
        file: String,
        /// The parser's message.
        reason: String,
    },
    /// A value that no model can have, or of the wrong type.
    #[error("{file}: `{key}` is {value}, but must be {expected}")]
    Value {
        /// The file.
        file: String,
        /// The key.
        key: String,
        /// The value found, shortened.
        value: String,
        /// What would be valid.
        expected: String,
    },
    /// A valid value for something that this program does not compute.
    #[error("{file}: `{key}` = {value} is not supported; {supported}")]
    Unsupported {
        /// The file.
        file: String,
        /// The key.
        key: String,
        /// The value found, shortened.
        value: String,
        /// What is supported.
        supported: String,
    },
    /// Two files that do not match.
    #[error("{first} and {second} do not belong together: {reason}")]
    Apart {
        /// One file.
        first: String,
        /// The other.
        second: String,
        /// The difference.
        reason: String,
    },
    /// An image size that the network cannot halve evenly, or that is too large.
    #[error(
        "size {size} does not suit this model: it must be a multiple of {multiple} up to {MAX_SIZE}; the nearest valid sizes \
         are {below} and {above}"
    )]
    Size {
        /// The requested size.
        size: usize,
        /// The size must be a multiple of this.
        multiple: usize,
        /// Largest valid size not above it (or the smallest of all).
        below: usize,
        /// The next valid size.
        above: usize,
    },
    /// The weights that belong to the configuration.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}

/// The configuration of a whole model, consistent in itself.
#[derive(Clone, Debug)]
pub struct ModelConfig {
    /// `unet/config.json`.
    pub unet: UNetConfig,
    /// `vae/config.json`.
    pub vae: VaeConfig,
    /// `text_encoder/config.json`, unless the prompt is given as embeddings.
    pub text: Option<TextConfig>,
    /// Oddities that change nothing: one line each, naming file and key.
    pub warnings: Vec<String>,
}

/// Whether a UNet is plain Stable Diffusion, without DiffewS's `conv_in_ref`.
pub(super) fn is_plain(unet: &Weights) -> bool {
    ["conv_in.weight", "conv_in_ref.weight", "conv_in_ref.bias"].map(|name| unet.has(name)) == [true, false, false]
}

impl ModelConfig {
    /// Reads and checks all configurations of a model.
    ///
    /// # Errors
    /// The first [`ConfigError`] found.
    pub fn read(files: &ModelFiles) -> Result<ModelConfig, ConfigError> {
        let mut warnings = Vec::new();
        let unet = UNetConfig::parse(&files.unet_config, &mut warnings)?;
        if is_plain(&files.unet) {
            // Reported before the scheduler, which is a plain model's, too.
            return Err(WeightsError::PlainUNet { file: files.unet.name().to_owned() }.into());
        }
        let vae = VaeConfig::parse(&files.vae_config, &mut warnings)?;
        let (text, context, text_file) = match &files.text {
            TextSource::Embeds { width, file, .. } => (None, *width, file),
            TextSource::Encoder { config, .. } => {
                let text = TextConfig::parse(config, &mut warnings)?;
                (Some(text), text.hidden_size, &config.file)
            }
        };
        if let Some(config) = &files.scheduler_config {
            match SchedulerConfig::parse(config, &mut warnings) {
                Ok(_) => {}
                Err(error @ ConfigError::Unsupported { .. }) if files.separate_unet => warnings.push(format!(
                    "{error}; taken as the base model's, which DiffewS replaces by its own one-step scheduler (x0 = -v)"
                )),
                Err(error) => return Err(error),
            }
        }

        let apart = |second: &str, reason: String| {
            Err(ConfigError::Apart { first: files.unet_config.file.clone(), second: second.to_owned(), reason })
        };
        let latent = vae.latent_channels;
        let channels = [
            ("in_channels", unet.in_channels, latent, "latent_channels"),
            ("in_channels_ref", unet.in_channels_ref, 2 * latent, "2 * latent_channels (image and mask)"),
            ("out_channels", unet.out_channels, latent, "latent_channels"),
        ];
        for (key, got, expected, rule) in channels {
            if got != expected {
                return apart(&files.vae_config.file, format!("`{key}` is {got}, it must be {rule} = {expected}"));
            }
        }
        if unet.cross_attention_dim != context {
            let reason =
                format!("`cross_attention_dim` is {}, the text embeddings have {context}", unet.cross_attention_dim);
            return apart(text_file, reason);
        }
        Ok(ModelConfig { unet, vae, text, warnings })
    }

    /// The side of an image must be a multiple of this: each level of the VAE and the UNet except the last halves it.
    pub fn size_multiple(&self) -> usize {
        1 << (self.vae.block_out_channels.len() - 1 + self.unet.block_out_channels.len() - 1)
    }

    /// The valid sizes around `size`: the largest one up to it and the next; or the two smallest if it is below both.
    pub fn nearest_sizes(&self, size: usize) -> (usize, usize) {
        let multiple = self.size_multiple();
        let most = MAX_SIZE / multiple - 1;
        let below = (size / multiple).clamp(1, most.max(1)) * multiple;
        (below, below + multiple)
    }

    /// Checks an image size (the side of the square, in pixels).
    ///
    /// # Errors
    /// [`ConfigError::Size`] with the nearest valid sizes.
    pub fn check_size(&self, size: usize) -> Result<(), ConfigError> {
        let multiple = self.size_multiple();
        let (below, above) = self.nearest_sizes(size);
        if size == below || size == above {
            return Ok(());
        }
        Err(ConfigError::Size { size, multiple, below, above })
    }

    /// Side of the latents for an image of side `size`.
    pub fn latent_size(&self, size: usize) -> usize {
        size >> (self.vae.block_out_channels.len() - 1)
    }

    /// Whether every level has at least 64 channels. Narrower levels have no straight-line forms.
    pub fn is_wide(&self) -> bool {
        let widths = self.unet.block_out_channels.iter().chain(&self.vae.block_out_channels);
        widths.copied().all(|channels| channels >= 64)
    }
}
