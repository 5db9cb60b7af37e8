//! `unet/config.json`: diffusers' `UNet2DConditionModel`, with `in_channels_ref` added by DiffewS.

use serde_json::{Value, json};

use super::fields::Fields;
use super::{ConfigError, MAX_LAYERS, MAX_WIDTH};
use crate::weights::ConfigText;

/// The UNet. Lists have one entry per resolution level, the finest first, in the numbering of `down_blocks`; `up_blocks.i` belongs to level
/// `levels - 1 - i`.
#[derive(Clone, Debug, PartialEq)]
pub struct UNetConfig {
    /// Channels of the query's latent (`conv_in`).
    pub in_channels: usize,
    /// Channels of a support: image latent and mask latent (`conv_in_ref`).
    pub in_channels_ref: usize,
    /// Channels of the predicted v.
    pub out_channels: usize,
    /// Width of each level.
    pub block_out_channels: Vec<usize>,
    /// Whether `down_blocks.i` is a `CrossAttnDownBlock2D`.
    pub down_attention: Vec<bool>,
    /// Whether `up_blocks.i` is a `CrossAttnUpBlock2D`; in the order of `up_blocks`, the coarsest first.
    pub up_attention: Vec<bool>,
    /// ResNets in `down_blocks.i`; `up_blocks` have one more.
    pub layers_per_block: Vec<usize>,
    /// Transformer blocks in each attention of a level; the middle block uses the last level's number.
    pub transformer_layers_per_block: Vec<usize>,
    /// Number of attention heads of each level (`attention_head_dim` in the file, by a historical misnomer).
    pub num_heads: Vec<usize>,
    /// Width of the text embeddings.
    pub cross_attention_dim: usize,
    /// Groups of every GroupNorm.
    pub norm_num_groups: usize,
    /// Epsilon of the ResNets' GroupNorms and of `conv_norm_out`. (The transformers' group norm has 1e-6, layer norms 1e-5.)
    pub norm_eps: f64,
    /// `proj_in` and `proj_out` are linear layers rather than 1x1 convolutions: the same numbers, `[o, i]` instead of `[o, i, 1, 1]`.
    pub use_linear_projection: bool,
    /// The time sinusoid is [cos, sin] rather than [sin, cos].
    pub flip_sin_to_cos: bool,
    /// The sinusoid's frequencies are 10000^(-k / (half - freq_shift)), half being half the first width.
    pub freq_shift: f64,
    /// Padding of the stride-2 convolutions: 1 on all sides, or 0, which pads right and bottom by one.
    pub downsample_padding: usize,
    /// Width of the time embedding; 4 times the first width unless given.
    pub time_embedding_dim: usize,
}

/// Keys that do not change the result of inference in f32.
const HARMLESS: &[&str] = &[
    "sample_size",
    "dropout",
    "upcast_attention",
    "addition_embed_type_num_heads",
    "addition_time_embed_dim",
    "projection_class_embeddings_input_dim",
];

/// Keys with the only values that are supported.
fn fixed() -> Vec<(&'static str, Vec<Value>)> {
    vec![
        ("mid_block_type", vec![json!("UNetMidBlock2DCrossAttn")]),
        ("center_input_sample", vec![json!(false)]),
        ("only_cross_attention", vec![json!(false)]),
        ("mid_block_only_cross_attention", vec![Value::Null, json!(false)]),
        ("mid_block_scale_factor", vec![json!(1)]),
        ("dual_cross_attention", vec![json!(false)]),
        ("attention_type", vec![json!("default")]),
        ("cross_attention_norm", vec![Value::Null]),
        ("reverse_transformer_layers_per_block", vec![Value::Null]),
        ("encoder_hid_dim", vec![Value::Null]),
        ("encoder_hid_dim_type", vec![Value::Null]),
        ("class_embed_type", vec![Value::Null]),
        ("num_class_embeds", vec![Value::Null]),
        ("class_embeddings_concat", vec![json!(false)]),
        ("addition_embed_type", vec![Value::Null]),
        ("resnet_time_scale_shift", vec![json!("default")]),
        ("resnet_skip_time_act", vec![json!(false)]),
        ("resnet_out_scale_factor", vec![json!(1)]),
        ("time_embedding_type", vec![json!("positional")]),
        ("time_embedding_act_fn", vec![Value::Null]),
        ("timestep_post_act", vec![Value::Null]),
        ("time_cond_proj_dim", vec![Value::Null]),
        ("conv_in_kernel", vec![json!(3)]),
        ("conv_out_kernel", vec![json!(3)]),
    ]
}

impl UNetConfig {
    /// Reads and checks `unet/config.json`; unknown keys are added to `warnings`.
    ///
    /// # Errors
    /// [`ConfigError`] names file, key and value.
    pub fn parse(config: &ConfigText, warnings: &mut Vec<String>) -> Result<UNetConfig, ConfigError> {
        let f = Fields::parse(config)?;
        for (key, allowed) in fixed() {
            f.only(key, &allowed)?;
        }
        f.silu("act_fn")?;
        let norm_num_groups = f.count("norm_num_groups", 32, 1..=MAX_WIDTH)?;
        let block_out_channels = f.widths("block_out_channels", &[320, 640, 1280, 1280], norm_num_groups)?;
        let levels = block_out_channels.len();
        let down = vec![true, true, true, false];
        let down_attention =
            f.block_types("down_block_types", down, levels, "DownBlock2D", Some("CrossAttnDownBlock2D"))?;
        let up = vec![false, true, true, true];
        let up_attention = f.block_types("up_block_types", up, levels, "UpBlock2D", Some("CrossAttnUpBlock2D"))?;
        let heads_key = if f.given("num_attention_heads") { "num_attention_heads" } else { "attention_head_dim" };
        f.get("attention_head_dim");
        let num_heads = f.per_level(heads_key, 8, levels, 1..=MAX_WIDTH)?;
        for level in 0..levels {
            let (width, heads) = (block_out_channels[level], num_heads[level]);
            let attends = down_attention[level] || up_attention[levels - 1 - level] || level == levels - 1;
            if attends && !width.is_multiple_of(heads) {
                let expected = format!("a number of heads that divides level {level}'s width {width}");
                return Err(f.error(heads_key, &Value::from(heads), expected));
            }
        }
        let first = block_out_channels[0];
        let time_embedding_dim = if f.given("time_embedding_dim") {
            f.count("time_embedding_dim", 0, 1..=4 * MAX_WIDTH)?
        } else {
            4 * first
        };
        if first < 2 {
            return Err(f.error("block_out_channels", &Value::from(first), "2 or more on the first level"));
        }
        let half = (first / 2) as f64;
        let freq_shift =
            f.number("freq_shift", 0.0, "from 0 to below half the first width", |s| s >= 0.0 && s < half)?;
        let unet = UNetConfig {
            in_channels: f.count("in_channels", 4, 1..=MAX_WIDTH)?,
            in_channels_ref: f.count("in_channels_ref", 8, 1..=MAX_WIDTH)?,
            out_channels: f.count("out_channels", 4, 1..=MAX_WIDTH)?,
            layers_per_block: f.per_level("layers_per_block", 2, levels, 1..=MAX_LAYERS)?,
            transformer_layers_per_block: f.per_level("transformer_layers_per_block", 1, levels, 1..=MAX_LAYERS)?,
            num_heads,
            cross_attention_dim: cross_attention_dim(&f, levels)?,
            norm_num_groups,
            norm_eps: f.number("norm_eps", 1e-5, "above 0 and at most 1", |e| e > 0.0 && e <= 1.0)?,
            use_linear_projection: f.flag("use_linear_projection", false)?,
            flip_sin_to_cos: f.flag("flip_sin_to_cos", true)?,
            freq_shift,
            downsample_padding: f.count("downsample_padding", 1, 0..=1)?,
            time_embedding_dim,
            block_out_channels,
            down_attention,
            up_attention,
        };
        f.warn_unknown(HARMLESS, warnings);
        Ok(unet)
    }

    /// Number of resolution levels.
    pub fn levels(&self) -> usize {
        self.block_out_channels.len()
    }
}

/// One width for all levels, because all get the same text.
fn cross_attention_dim(f: &Fields, levels: usize) -> Result<usize, ConfigError> {
    let widths = f.per_level("cross_attention_dim", 1280, levels, 1..=MAX_WIDTH)?;
    match widths.iter().find(|&&w| w != widths[0]) {
        Some(&w) => Err(f.unsupported("cross_attention_dim", &Value::from(w), "the same width on all levels is")),
        None => Ok(widths[0]),
    }
}
