//! `vae/config.json`: diffusers' `AutoencoderKL`.

use serde_json::{Value, json};

use super::fields::Fields;
use super::{ConfigError, MAX_LAYERS, MAX_WIDTH};
use crate::weights::ConfigText;

/// The autoencoder. All its group norms have epsilon 1e-6, its attention one head.
#[derive(Clone, Debug, PartialEq)]
pub struct VaeConfig {
    /// Width of each level, the finest first.
    pub block_out_channels: Vec<usize>,
    /// ResNets in each `encoder.down_blocks.i`; `decoder.up_blocks.i` have one more.
    pub layers_per_block: usize,
    /// Groups of every GroupNorm.
    pub norm_num_groups: usize,
    /// Channels of the latent; the encoder gives twice as many (mean and log variance).
    pub latent_channels: usize,
    /// Latents are the encoder's mean times this.
    pub scaling_factor: f64,
    /// Whether `mid_block` has its attention between the two ResNets.
    pub mid_block_add_attention: bool,
    /// Whether the 1x1 convolution `quant_conv` follows the encoder.
    pub use_quant_conv: bool,
    /// Whether the 1x1 convolution `post_quant_conv` precedes the decoder.
    pub use_post_quant_conv: bool,
}

impl VaeConfig {
    /// Reads and checks `vae/config.json`; unknown keys are added to `warnings`.
    ///
    /// # Errors
    /// [`ConfigError`] names file, key and value.
    pub fn parse(config: &ConfigText, warnings: &mut Vec<String>) -> Result<VaeConfig, ConfigError> {
        let f = Fields::parse(config)?;
        f.only("_class_name", &[json!("AutoencoderKL")])?;
        f.only("in_channels", &[json!(3)])?;
        f.only("out_channels", &[json!(3)])?;
        f.only("shift_factor", &[Value::Null, json!(0)])?;
        f.only("latents_mean", &[Value::Null])?;
        f.only("latents_std", &[Value::Null])?;
        f.silu("act_fn")?;
        let norm_num_groups = f.count("norm_num_groups", 32, 1..=MAX_WIDTH)?;
        let block_out_channels = f.widths("block_out_channels", &[64], norm_num_groups)?;
        let levels = block_out_channels.len();
        f.block_types("down_block_types", vec![false], levels, "DownEncoderBlock2D", None)?;
        f.block_types("up_block_types", vec![false], levels, "UpDecoderBlock2D", None)?;
        let vae = VaeConfig {
            block_out_channels,
            layers_per_block: f.count("layers_per_block", 1, 1..=MAX_LAYERS)?,
            norm_num_groups,
            latent_channels: f.count("latent_channels", 4, 1..=1024)?,
            scaling_factor: f.number("scaling_factor", 0.18215, "from 1e-6 to 1e6", |s| (1e-6..=1e6).contains(&s))?,
            mid_block_add_attention: f.flag("mid_block_add_attention", true)?,
            use_quant_conv: f.flag("use_quant_conv", true)?,
            use_post_quant_conv: f.flag("use_post_quant_conv", true)?,
        };
        f.warn_unknown(&["sample_size", "force_upcast"], warnings);
        Ok(vae)
    }
}
