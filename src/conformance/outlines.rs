//! Models that can be planned for an adapter without their weights, to see what a full-size network requires.

use crate::Error;
use crate::model::Model;
use crate::weights::{ConfigText, ModelFiles, TextSource, Weights, WeightsError};

/// A published network, by its configuration. Omitted keys have diffusers' defaults.
pub struct Outline {
    pub name: &'static str,
    /// Side of its images.
    pub size: u32,
    unet: &'static str,
    /// Width of the text embeddings.
    context: usize,
}

const VAE: &str = r#"{
    "block_out_channels": [128, 256, 512, 512], "layers_per_block": 2,
    "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D"],
    "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D"]
}"#;

/// Stable Diffusion 2.1, on which DiffewS is based, and 1.5, which has other head sizes.
pub static OUTLINES: [Outline; 2] = [
    Outline {
        name: "sd21",
        size: 512,
        unet: r#"{"attention_head_dim": [5, 10, 20, 20], "cross_attention_dim": 1024, "use_linear_projection": true}"#,
        context: 1024,
    },
    Outline { name: "sd15", size: 512, unet: r#"{"attention_head_dim": 8, "cross_attention_dim": 768}"#, context: 768 },
];

impl Outline {
    /// A model that can be planned; reading a weight fails.
    ///
    /// # Errors
    /// None, unless the configuration above is wrong.
    pub fn model(&self) -> Result<Model, Error> {
        Model::outline(self.files()?)
    }

    /// Configurations without tensors.
    ///
    /// # Errors
    /// As for [`Outline::model`].
    pub fn files(&self) -> Result<ModelFiles, WeightsError> {
        let config = |file: &str, text: &str| ConfigText { file: format!("{}/{file}", self.name), text: text.into() };
        let text =
            TextSource::Embeds { file: self.name.into(), width: self.context, values: vec![0.0; 2 * self.context] };
        Ok(ModelFiles {
            unet: nothing(self.name)?,
            vae: nothing(self.name)?,
            text,
            unet_config: config("unet", self.unet),
            vae_config: config("vae", VAE),
            scheduler_config: None,
            separate_unet: false,
            diffews: Default::default(),
        })
    }
}

/// A safetensors file without tensors.
pub(super) fn nothing(name: &str) -> Result<Weights, WeightsError> {
    let header = b"{}";
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    Weights::from_bytes(name, bytes)
}
