//! A model written anew, with weights of as many bits or of fewer.

use super::Model;
use super::config::ModelConfig;
use super::text_encoder::prompt_embeds;
use crate::Error;
use crate::shown;
use crate::weights::{
    Layout, ModelFiles, SCALES, TensorView, Weights, WeightsError, blocks, bytes_of, encode, halves_of,
};
use half::bf16;
use safetensors::tensor::Dtype;
use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

/// What weights become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bits {
    /// Each tensor keeps its type, as far as files of ours have it: 64 bits become f32, and so do 8.
    Same,
    /// All tensors are halves.
    Sixteen,
    /// Those that the device multiplies with have 8 bits, blocks of them a scale in f32 (a tensor `NAME.scales`); all others are halves.
    Eight,
}

/// Writes the model of `files` to the directory `dir`, in the diffusers layout: the UNet and the VAE, their configurations, and the embeddings
/// of the empty prompt in the place of a text encoder. `dir` appears whole or not at all; nothing may be there before.
///
/// # Errors
/// A model that cannot be used, values that halves do not hold, something that is at `dir`, whatever the system says, and
/// [`Error::Interrupted`] where `progress`, told of the share that is done, breaks off.
pub fn convert(
    files: &ModelFiles,
    bits: Bits,
    dir: &Path,
    progress: &mut dyn FnMut(f64) -> ControlFlow<()>,
) -> Result<(), Error> {
    let prompt = prompt_embeds(files, &ModelConfig::read(files)?)?;
    // Every tensor is there and has its shape.
    Model::load(files.clone())?;
    if dir.symlink_metadata().is_ok() {
        return Err(WeightsError::Exists { path: dir.to_owned() }.into());
    }
    let parent = dir.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let place = tempfile::Builder::new().prefix(".diffews-").tempdir_in(parent).map_err(io(parent))?;
    // What is made for a moment is its owner's alone; a directory within is as any other.
    let made = place.path().join("model");
    fs::create_dir(&made).map_err(io(dir))?;
    let total = (files.unet.count().1 + files.vae.count().1).max(1) as f64;
    let mut done = 0;
    for (name, weights, config) in [("unet", &files.unet, &files.unet_config), ("vae", &files.vae, &files.vae_config)] {
        let component = made.join(name);
        fs::create_dir(&component).map_err(io(dir))?;
        fs::write(component.join("config.json"), &config.text).map_err(io(dir))?;
        let path = component.join("diffusion_pytorch_model.safetensors");
        write(&path, dir, weights, bits, &mut |elements| {
            done += elements;
            progress(done as f64 / total)
        })?;
    }
    // The base's own says nothing of a UNet that came from elsewhere.
    if let Some(config) = files.scheduler_config.as_ref().filter(|_| !files.separate_unet) {
        fs::create_dir(made.join("scheduler")).map_err(io(dir))?;
        fs::write(made.join("scheduler/scheduler_config.json"), &config.text).map_err(io(dir))?;
    }
    fs::write(made.join("diffews.json"), files.diffews.text()).map_err(io(dir))?;
    let shape = vec![prompt.tokens(), prompt.width];
    let layout = Layout::of(format(), [("prompt_embeds".to_owned(), "F32", shape, 4 * prompt.values.len())]);
    let mut file = File::create_new(made.join("empty_prompt.safetensors")).map_err(io(dir))?;
    layout.begin(&mut file).and_then(|()| layout.put(&mut file, 0, &bytes_of(&prompt.values))).map_err(io(dir))?;
    // Refused where something came up there meanwhile.
    fs::rename(&made, dir).map_err(io(dir))?;
    Ok(())
}

/// What diffusers asks of the files of a model.
fn format() -> [(&'static str, String); 1] {
    [("format", "pt".into())]
}

fn io(path: &Path) -> impl FnOnce(io::Error) -> WeightsError {
    move |source| WeightsError::Io { path: path.to_owned(), source }
}

/// Whether a kernel multiplies with it, as it is or nearly so: what the host folds into something else keeps its digits.
fn is_multiplied(tensor: &TensorView) -> bool {
    let (name, shape) = (tensor.name(), tensor.shape());
    let folded = name.contains("time_emb") || name.contains(".attn2.");
    name.ends_with("weight") && matches!(shape.len(), 2 | 4) && blocks(shape).is_some() && !folded
}

/// How a tensor is written; the wider first, so that numbers lie at multiples of their size.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stored {
    F32,
    F16,
    BF16,
    Eight,
}

impl Stored {
    fn of(tensor: &TensorView, bits: Bits) -> Stored {
        match (bits, tensor.dtype()) {
            (Bits::Eight, _) if is_multiplied(tensor) => Stored::Eight,
            (Bits::Eight | Bits::Sixteen, _) | (Bits::Same, Some(Dtype::F16)) => Stored::F16,
            (Bits::Same, Some(Dtype::BF16)) => Stored::BF16,
            (Bits::Same, _) => Stored::F32,
        }
    }

    /// Its name in a file, and bytes of a number.
    fn written(self) -> (&'static str, usize) {
        match self {
            Stored::F32 => ("F32", 4),
            Stored::F16 => ("F16", 2),
            Stored::BF16 => ("BF16", 2),
            Stored::Eight => ("I8", 1),
        }
    }
}

/// Writes all tensors of floats; `told` of how many numbers are done.
fn write(
    path: &Path,
    dir: &Path,
    weights: &Weights,
    bits: Bits,
    told: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<(), Error> {
    let all = weights.names().into_iter().filter_map(|name| weights.look(name));
    let mut all: Vec<(Stored, TensorView)> = all.map(|tensor| (Stored::of(&tensor, bits), tensor)).collect();
    all.sort_by_key(|(stored, _)| *stored);
    let scales = all.iter().filter(|(stored, _)| *stored == Stored::Eight).filter_map(|(_, tensor)| {
        let shape = vec![tensor.shape()[0], blocks(tensor.shape())?.1];
        let count = shape.iter().product::<usize>();
        Some((format!("{}{SCALES}", tensor.name()), "F32", shape, 4 * count))
    });
    let scales: Vec<_> = scales.collect();
    let numbers = all.iter().map(|(stored, tensor)| {
        let (dtype, bytes) = stored.written();
        (tensor.name().to_owned(), dtype, tensor.shape().to_vec(), bytes * tensor.len())
    });
    let first = scales.len();
    let layout = Layout::of(format(), scales.into_iter().chain(numbers));
    let mut file = File::create_new(path).map_err(io(dir))?;
    layout.begin(&mut file).map_err(io(dir))?;
    let wrong = |t: &TensorView, value: f32| {
        let what =
            if value.is_finite() { "too large for half precision" } else { "which is no number to compute with" };
        let reason = format!("tensor `{}` holds {value:e}, {what}", shown::text(t.name()));
        WeightsError::Invalid { file: weights.name().to_owned(), reason }
    };
    // The eight come last, their scales in the same order.
    let mut next_scales = 0;
    for (i, (stored, tensor)) in all.iter().enumerate() {
        let values = tensor.to_f32()?;
        if let Some(&bad) = values.iter().find(|v| !v.is_finite()) {
            return Err(wrong(tensor, bad).into());
        }
        let bytes = match stored {
            Stored::F32 => bytes_of(&values),
            Stored::F16 => halves_of(&values).map_err(|bad| wrong(tensor, bad))?,
            Stored::BF16 => values.iter().flat_map(|&v| bf16::from_f32(v).to_le_bytes()).collect(),
            Stored::Eight => {
                let (numbers, scales) = encode(tensor.shape(), &values);
                layout.put(&mut file, next_scales, &bytes_of(&scales)).map_err(io(dir))?;
                next_scales += 1;
                numbers
            }
        };
        layout.put(&mut file, first + i, &bytes).map_err(io(dir))?;
        if told(values.len() as u64).is_break() {
            return Err(Error::Interrupted);
        }
    }
    file.sync_all().map_err(io(dir))?;
    Ok(())
}
