//! Rewrites a model with weights of the same or fewer bits.

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

/// The target precision of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bits {
    /// Each tensor keeps its type, as far as our files support it: 64 bits become f32, and so do 8 bits.
    Same,
    /// All tensors are f16.
    Sixteen,
    /// Weights that the device multiplies with have 8 bits, with an f32 scale per block (a tensor `NAME.scales`); all others are f16.
    Eight,
}

/// Writes the model of `files` to the directory `dir`, in the diffusers layout: the UNet and the VAE, their configurations, and the
/// embeddings of the empty prompt instead of a text encoder. `dir` appears complete or not at all, and must not exist before.
///
/// # Errors
/// The model is unusable, f16 does not hold a value, `dir` exists, or the system reports an error; [`Error::Interrupted`] if `progress`,
/// which receives the share that is done, stops it.
pub fn convert(
    files: &ModelFiles,
    bits: Bits,
    dir: &Path,
    progress: &mut dyn FnMut(f64) -> ControlFlow<()>,
) -> Result<(), Error> {
    let prompt = prompt_embeds(files, &ModelConfig::read(files)?)?;
    // Checks that every tensor is present and has its shape.
    Model::load(files.clone())?;
    if dir.symlink_metadata().is_ok() {
        return Err(WeightsError::Exists { path: dir.to_owned() }.into());
    }
    let parent = dir.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let place = tempfile::Builder::new().prefix(".diffews-").tempdir_in(parent).map_err(io(parent))?;
    // The temporary directory is private to its owner; a directory inside has the usual permissions.
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
    // The base model's own scheduler says nothing about a UNet from elsewhere.
    if let Some(config) = files.scheduler_config.as_ref().filter(|_| !files.separate_unet) {
        fs::create_dir(made.join("scheduler")).map_err(io(dir))?;
        fs::write(made.join("scheduler/scheduler_config.json"), &config.text).map_err(io(dir))?;
    }
    fs::write(made.join("diffews.json"), files.diffews.text()).map_err(io(dir))?;
    let shape = vec![prompt.tokens(), prompt.width];
    let layout = Layout::of(format(), [("prompt_embeds".to_owned(), "F32", shape, 4 * prompt.values.len())]);
    let mut file = File::create_new(made.join("empty_prompt.safetensors")).map_err(io(dir))?;
    layout.begin(&mut file).and_then(|()| layout.put(&mut file, 0, &bytes_of(&prompt.values))).map_err(io(dir))?;
    // Fails if something has appeared there meanwhile.
    fs::rename(&made, dir).map_err(io(dir))?;
    Ok(())
}

/// Metadata that diffusers requires in a model's files.
fn format() -> [(&'static str, String); 1] {
    [("format", "pt".into())]
}

fn io(path: &Path) -> impl FnOnce(io::Error) -> WeightsError {
    move |source| WeightsError::Io { path: path.to_owned(), source }
}

/// Whether a kernel multiplies with it, directly or nearly so. Tensors that the host folds into others keep their precision.
fn is_multiplied(tensor: &TensorView) -> bool {
    let (name, shape) = (tensor.name(), tensor.shape());
    let folded = name.contains("time_emb") || name.contains(".attn2.");
    name.ends_with("weight") && matches!(shape.len(), 2 | 4) && blocks(shape).is_some() && !folded
}

/// How a tensor is stored; wider types come first, so that elements are aligned to their size.
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

    /// The type's name in a file, and its bytes per element.
    fn written(self) -> (&'static str, usize) {
        match self {
            Stored::F32 => ("F32", 4),
            Stored::F16 => ("F16", 2),
            Stored::BF16 => ("BF16", 2),
            Stored::Eight => ("I8", 1),
        }
    }
}

/// Writes all floating-point tensors; `told` receives the number of elements done.
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
        let what = if value.is_finite() { "too large for half precision" } else { "which is not finite" };
        let reason = format!("tensor `{}` holds {value:e}, {what}", shown::text(t.name()));
        WeightsError::Invalid { file: weights.name().to_owned(), reason }
    };
    // The 8-bit tensors come last, with their scales in the same order.
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
