//! A checkpoint of random weights in f16, in the diffusers layout: for measuring a network whose weights are not at hand.
//!
//!   random_model DIR                            of Stable Diffusion 2.1's shape, 1.7 GB
//!   random_model DIR UNET.json VAE.json         of the shape that these configurations describe
//!
//! The same values at every run. What it draws means nothing; all numbers are finite in f32, and in half precision.

use anyhow::{Context, bail};
use diffews_wgpu::conformance::OUTLINES;
use diffews_wgpu::model::Model;
use diffews_wgpu::weights::{ConfigText, ModelFiles, Problem, TextSource, Weights, WeightsError};
use half::f16;
use safetensors::tensor::{Dtype, View, serialize_to_file};
use std::borrow::Cow;
use std::fs;
use std::path::Path;

/// Of the empty prompt, as in the published inference.
const TOKENS: usize = 2;

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (dir, files) = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [dir] => (dir, OUTLINES[0].files()?),
        [dir, unet, vae] => (dir, described(Path::new(unet), Path::new(vae))?),
        _ => bail!("random_model DIR [UNET.json VAE.json]"),
    };
    let dir = Path::new(dir);
    let TextSource::Embeds { width, .. } = files.text else { bail!("the outline has no width of its text") };
    Model::outline(files.clone())?;
    for (component, weights, config) in
        [("unet", &files.unet, &files.unet_config), ("vae", &files.vae, &files.vae_config)]
    {
        let place = dir.join(component);
        fs::create_dir_all(&place).with_context(|| place.display().to_string())?;
        fs::write(place.join("config.json"), &config.text)?;
        let tensors = missing(weights)?.into_iter().map(|(name, shape)| {
            let values = drawn(&name, &shape);
            (name, Tensor { shape, values })
        });
        serialize_to_file(tensors, None, &place.join("diffusion_pytorch_model.safetensors"))?;
    }
    let embeds = Tensor { shape: vec![TOKENS, width], values: drawn("prompt_embeds", &[TOKENS, width]) };
    serialize_to_file([("prompt_embeds", embeds)], None, &dir.join("empty_prompt.safetensors"))?;
    Ok(())
}

/// A model's files with these configurations, and without a tensor.
fn described(unet: &Path, vae: &Path) -> anyhow::Result<ModelFiles> {
    let read = |path: &Path| -> anyhow::Result<ConfigText> {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Ok(ConfigText { file: path.display().to_string(), text })
    };
    let (unet_config, vae_config) = (read(unet)?, read(vae)?);
    let config: serde_json::Value = serde_json::from_str(&unet_config.text)?;
    let width = config["cross_attention_dim"].as_u64().context("the UNet's cross_attention_dim is no number")? as usize;
    let text = TextSource::Embeds { file: "random".into(), width, values: vec![0.0; TOKENS * width] };
    Ok(ModelFiles { unet_config, vae_config, text, ..OUTLINES[0].files()? })
}

/// Names and shapes of the tensors that a model has asked for.
fn missing(weights: &Weights) -> anyhow::Result<Vec<(String, Vec<usize>)>> {
    let Err(WeightsError::Mismatch { problems, .. }) = weights.finish() else { bail!("nothing was asked for") };
    let named = problems.into_iter().map(|problem| match problem {
        Problem::Missing { name, shape } => Ok((name, shape)),
        other => bail!("{other:?}"),
    });
    named.collect()
}

/// Norms near 1, and weights whose outputs are about as large as their inputs; what is added to a stream is smaller.
fn drawn(name: &str, shape: &[usize]) -> Vec<f16> {
    let seed = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let mut rng = fastrand::Rng::with_seed(seed);
    let added = ["conv2.", "to_out.", "ff.net.2.", "proj_out."].iter().any(|layer| name.contains(layer));
    let (mean, deviation) = match shape {
        [_] if name.contains("norm") && name.ends_with("weight") => (1.0, 0.2),
        [_] => (0.0, 0.05),
        [_, rest @ ..] => (0.0, if added { 0.3 } else { 1.0 } / (rest.iter().product::<usize>() as f32).sqrt()),
        [] => (0.0, 0.0),
    };
    // Uniform: 1 / sqrt(3) is the deviation of numbers from -1 to 1.
    let half_width = 3f32.sqrt() * deviation;
    (0..shape.iter().product()).map(|_| f16::from_f32(mean + half_width * (2.0 * rng.f32() - 1.0))).collect()
}

struct Tensor {
    shape: Vec<usize>,
    values: Vec<f16>,
}

impl View for Tensor {
    fn dtype(&self) -> Dtype {
        Dtype::F16
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        bytemuck::cast_slice(&self.values).into()
    }

    fn data_len(&self) -> usize {
        2 * self.values.len()
    }
}
