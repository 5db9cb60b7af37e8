//! A checkpoint of random weights in f16, in the diffusers layout: for measuring a network whose weights are not at hand.
//!
//!   random_model DIR                            of Stable Diffusion 2.1's shape, 1.7 GB
//!   random_model DIR UNET.json VAE.json         of the shape that these configurations describe
//!
//! The same values at every run. What it draws means nothing; all numbers are finite in f32, and in half precision.

use anyhow::{Context, bail};
use diffews_wgpu::conformance::{OUTLINES, Random};
use diffews_wgpu::model::Model;
use diffews_wgpu::weights::{ConfigText, ModelFiles, TextSource};
use safetensors::serialize_to_file;
use std::fs;
use std::path::Path;

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
        let file = place.join("diffusion_pytorch_model.safetensors");
        serialize_to_file(Random::missing(weights)?, None, &file)?;
    }
    serialize_to_file([("prompt_embeds", Random::embeds(width))], None, &dir.join("empty_prompt.safetensors"))?;
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
    let text = TextSource::Embeds { file: "random".into(), width, values: vec![0.0; width] };
    Ok(ModelFiles { unet_config, vae_config, text, ..OUTLINES[0].files()? })
}
