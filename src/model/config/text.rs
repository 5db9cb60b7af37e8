//! `text_encoder/config.json`: transformers' `CLIPTextModel`.

use serde_json::Value;

use super::fields::Fields;
use super::{ConfigError, MAX_WIDTH};
use crate::weights::ConfigText;

/// The activation between the two layers of the encoder's MLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// x * Phi(x), exactly (SD 2.x).
    Gelu,
    /// x * sigmoid(1.702 x) (SD 1.x).
    QuickGelu,
}

/// The CLIP text encoder.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TextConfig {
    /// Width of the embeddings, D.
    pub hidden_size: usize,
    /// Width inside the MLP.
    pub intermediate_size: usize,
    /// Transformer layers.
    pub num_hidden_layers: usize,
    /// Attention heads; they divide `hidden_size`.
    pub num_attention_heads: usize,
    /// Activation of the MLP.
    pub hidden_act: Activation,
    /// Epsilon of the layer norms.
    pub layer_norm_eps: f64,
    /// Rows of the token embedding.
    pub vocab_size: usize,
    /// Rows of the position embedding.
    pub max_position_embeddings: usize,
}

/// Keys that transformers writes and inference does not use: pooling, training, bookkeeping.
const HARMLESS: &[&str] = &[
    "architectures",
    "attention_dropout",
    "bos_token_id",
    "dropout",
    "dtype",
    "eos_token_id",
    "initializer_factor",
    "initializer_range",
    "model_type",
    "pad_token_id",
    "projection_dim",
    "torch_dtype",
    "transformers_version",
];

impl TextConfig {
    /// Reads and checks `text_encoder/config.json`; unknown keys are added to `warnings`.
    ///
    /// # Errors
    /// [`ConfigError`] names file, key and value.
    pub fn parse(config: &ConfigText, warnings: &mut Vec<String>) -> Result<TextConfig, ConfigError> {
        let f = Fields::parse(config)?;
        let hidden_act = match f.text("hidden_act", "quick_gelu")? {
            "gelu" => Activation::Gelu,
            "quick_gelu" => Activation::QuickGelu,
            other => {
                return Err(f.unsupported("hidden_act", &Value::from(other), "gelu and quick_gelu are"));
            }
        };
        let text = TextConfig {
            hidden_size: f.count("hidden_size", 512, 1..=MAX_WIDTH)?,
            intermediate_size: f.count("intermediate_size", 2048, 1..=4 * MAX_WIDTH)?,
            num_hidden_layers: f.count("num_hidden_layers", 12, 1..=128)?,
            num_attention_heads: f.count("num_attention_heads", 8, 1..=MAX_WIDTH)?,
            hidden_act,
            layer_norm_eps: f.number("layer_norm_eps", 1e-5, "above 0 and at most 1", |e| e > 0.0 && e <= 1.0)?,
            vocab_size: f.count("vocab_size", 49_408, 1..=16_777_216)?,
            max_position_embeddings: f.count("max_position_embeddings", 77, 2..=MAX_WIDTH)?,
        };
        if !text.hidden_size.is_multiple_of(text.num_attention_heads) {
            let expected = format!("a number that divides `hidden_size` = {}", text.hidden_size);
            return Err(f.error("num_attention_heads", &Value::from(text.num_attention_heads), expected));
        }
        if text.vocab_size < 49_408 {
            let help = "CLIP's 49408 tokens are needed to encode the empty prompt (start 49406, end 49407); \
                        for another encoder give empty_prompt.safetensors with its embeddings, tensor `prompt_embeds` [n, D]";
            return Err(f.unsupported("vocab_size", &Value::from(text.vocab_size), help));
        }
        f.warn_unknown(HARMLESS, warnings);
        Ok(text)
    }
}
