//! The network: layers as functions of a [`Recorder`], fields named as in the checkpoint.
//!
//! [`Recorder`]: crate::plan::Recorder

pub mod config;
mod constants;
mod convert;
pub mod fold;
mod layers;
mod resnet;
mod start;
pub mod text_encoder;
mod transformer;
mod unet;
mod vae;

pub use constants::Constants;
pub use convert::{Bits, convert};
pub use start::starting_point;
pub use unet::UNet;
pub use vae::{Decoder, Encoder};

use crate::Error;
use crate::settings::{DiffewsJson, GuidedFilter, Threshold};
use crate::shown;
use crate::weights::{self, ModelFiles, WeightsError};
use config::ModelConfig;
use std::sync::{Arc, OnceLock};

/// A DiffewS checkpoint: its configuration and its layers over opened weights. Nothing is on a GPU yet.
pub struct Model {
    pub encoder: Encoder,
    pub unet: UNet,
    pub decoder: Decoder,
    pub constants: Constants,
    name: String,
    config: ModelConfig,
    warnings: Vec<String>,
    size: usize,
    threshold: Option<Threshold>,
    guided_filter: Option<GuidedFilter>,
    eight_bits: bool,
    files: ModelFiles,
    fingerprint: OnceLock<String>,
}

impl Model {
    /// Reads the configurations, encodes the empty prompt and describes every layer.
    ///
    /// # Errors
    /// An unsupported configuration, or tensors that are missing or have another shape: all of them by name.
    pub fn load(files: ModelFiles) -> Result<Model, Error> {
        let components = [files.unet.clone(), files.vae.clone()];
        let mut model = Model::outline(files)?;
        for weights in components {
            weights.note().iter().for_each(|note| log::info!("{note}"));
            model.warnings.extend(weights.finish()?.unused_lines(weights.name(), shown::MOST_TENSORS));
        }
        Ok(model)
    }

    /// Like [`Model::load`], without checking for the tensors: it can be planned, and reading its values fails.
    ///
    /// # Errors
    /// An unsupported configuration.
    pub fn outline(files: ModelFiles) -> Result<Model, Error> {
        let config = ModelConfig::read(&files)?;
        let prompt = Arc::new(text_encoder::prompt_embeds(&files, &config)?);
        let mut c = Constants::default();
        let (unet, vae) = (files.unet.root(), files.vae.root());
        let encoder = Encoder::load(&mut c, &vae, &config.vae);
        let unet = UNet::load(&mut c, &unet, &config.unet, &prompt, config.vae.scaling_factor);
        let decoder = Decoder::load(&mut c, &vae, &config.vae);
        let warnings = config.warnings.clone();
        let (name, size) = (files.unet.name().to_owned(), files.diffews.size_or_default());
        let DiffewsJson { threshold, guided_filter, .. } = files.diffews;
        let eight_bits = files.unet.has_eight_bits();
        Ok(Model {
            encoder,
            unet,
            decoder,
            constants: c,
            name,
            config,
            warnings,
            size,
            threshold,
            guided_filter,
            eight_bits,
            files,
            fingerprint: OnceLock::new(),
        })
    }

    /// Its name in messages: the file of its UNet.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The [`fingerprint`](weights::fingerprint) of its files, which reads every byte of its weights once.
    ///
    /// # Errors
    /// Files cannot be read, or have changed since they were opened.
    pub fn fingerprint(&self) -> Result<&str, WeightsError> {
        if let Some(known) = self.fingerprint.get() {
            return Ok(known);
        }
        let found = weights::fingerprint(&self.files)?;
        Ok(self.fingerprint.get_or_init(|| found))
    }

    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Odd configuration keys and unused tensors, one line each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Side of the square that images are resized to: from `diffews.json`, or the paper's 512.
    pub fn default_size(&self) -> u32 {
        self.size as u32
    }

    /// The rule for foreground: from `diffews.json`, or the paper's.
    pub fn default_threshold(&self) -> Threshold {
        self.threshold.unwrap_or(Threshold::PAPER)
    }

    /// Whether its weights have 8 bits, so that 8-bit storage loses nothing.
    pub fn has_eight_bits(&self) -> bool {
        self.eight_bits
    }

    /// How to refine outlines, if `diffews.json` says so.
    pub fn default_guided_filter(&self) -> Option<GuidedFilter> {
        self.guided_filter
    }
}

#[cfg(all(test, feature = "embedded"))]
mod work_tests;
