//! Random weights, for a network whose own weights are not available. The output means nothing, but the work is the same, and no value
//! leaves the f16 range.

use super::outlines::{Outline, nothing};
use crate::Error;
use crate::model::Model;
use crate::weights::{ModelFiles, Problem, TextSource, Weights, WeightsError};
use half::f16;
use safetensors::tensor::{Dtype, View, serialize};
use std::borrow::Cow;

/// Tokens of the empty prompt, as in the published inference.
const TOKENS: usize = 2;

/// A tensor's values, drawn on request, always the same.
pub struct Random {
    name: String,
    shape: Vec<usize>,
}

impl Random {
    /// All tensors that a model needs and `weights` lacks: names and values.
    ///
    /// # Errors
    /// `weights` has tensors of other shapes.
    fn missing(weights: &Weights) -> Result<Vec<(String, Random)>, WeightsError> {
        let problems = match weights.finish() {
            Ok(_) => Vec::new(),
            Err(WeightsError::Mismatch { problems, .. }) => problems,
            Err(other) => return Err(other),
        };
        let named = problems.into_iter().filter_map(|problem| match problem {
            Problem::Missing { name, shape } => Some((name.clone(), Random { name, shape })),
            _ => None,
        });
        Ok(named.collect())
    }

    /// The embeddings of an empty prompt, `[tokens, width]`.
    fn embeds(width: usize) -> Random {
        Random { name: "prompt_embeds".into(), shape: vec![TOKENS, width] }
    }

    /// Norms near 1, and weights whose outputs are about as large as their inputs; layers that add to a residual stream have smaller
    /// outputs.
    fn values(&self) -> Vec<f16> {
        let Random { name, shape } = self;
        let seed = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        let mut rng = fastrand::Rng::with_seed(seed);
        let added = ["conv2.", "to_out.", "ff.net.2.", "proj_out."].iter().any(|layer| name.contains(layer));
        let (mean, deviation) = match &shape[..] {
            [_] if name.contains("norm") && name.ends_with("weight") => (1.0, 0.2),
            [_] => (0.0, 0.05),
            [_, rest @ ..] => (0.0, if added { 0.3 } else { 1.0 } / (rest.iter().product::<usize>() as f32).sqrt()),
            [] => (0.0, 0.0),
        };
        // Uniform: numbers from -1 to 1 have a standard deviation of 1 / sqrt(3).
        let half_width = 3f32.sqrt() * deviation;
        (0..shape.iter().product()).map(|_| f16::from_f32(mean + half_width * (2.0 * rng.f32() - 1.0))).collect()
    }
}

impl View for Random {
    fn dtype(&self) -> Dtype {
        Dtype::F16
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        bytemuck::cast_slice(&self.values()).to_vec().into()
    }

    fn data_len(&self) -> usize {
        2 * self.shape.iter().product::<usize>()
    }
}

impl Outline {
    /// The network with random weights, in memory: some 2 GB for Stable Diffusion.
    ///
    /// # Errors
    /// None, unless the configuration is wrong.
    pub fn random(&self) -> Result<ModelFiles, Error> {
        randomized(self.name, self.files()?)
    }
}

impl Random {
    /// The network that the configurations of `files` describe, called `name`, with random weights in memory instead of its own.
    ///
    /// # Errors
    /// The configuration is wrong.
    pub fn of(name: &str, files: ModelFiles) -> Result<ModelFiles, Error> {
        randomized(name, ModelFiles { unet: nothing(name)?, vae: nothing(name)?, ..files })
    }
}

/// `files` with random values for all missing weights.
fn randomized(name: &str, files: ModelFiles) -> Result<ModelFiles, Error> {
    Model::outline(files.clone())?;
    let drawn = |weights: &Weights| -> Result<Weights, WeightsError> {
        let bytes = serialize(Random::missing(weights)?, None)
            .map_err(|e| WeightsError::Malformed { file: name.into(), reason: e.to_string() })?;
        Weights::from_bytes(name, bytes)
    };
    let text = match &files.text {
        TextSource::Embeds { file, width, .. } => {
            let values = Random::embeds(*width).values().into_iter().map(f16::to_f32).collect();
            TextSource::Embeds { file: file.clone(), width: *width, values }
        }
        other => other.clone(),
    };
    Ok(ModelFiles { unet: drawn(&files.unet)?, vae: drawn(&files.vae)?, text, ..files })
}
