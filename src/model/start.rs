//! The starting point for training DiffewS: an ordinary Stable Diffusion model, plus `conv_in_ref` and DiffewS's scheduler.

use super::config::{ConfigError, is_plain};
use crate::Error;
use crate::shown;
use crate::weights::{ConfigText, Layout, ModelFiles, TensorView, WeightsError, bytes_of};
use serde_json::{Map, Value, json};

/// The scheduler whose single step is x0 = -v. Stable Diffusion's own belongs to another training.
const SCHEDULER: &str = r#"{
  "_class_name": "DDIMScheduler",
  "beta_end": 1.0,
  "beta_schedule": "scaled_linear",
  "beta_start": 1.0,
  "clip_sample": false,
  "num_train_timesteps": 1000,
  "prediction_type": "v_prediction",
  "set_alpha_to_one": false,
  "steps_offset": 1
}
"#;

/// DiffewS's starting point from a plain Stable Diffusion model; `None` if the UNet already has `conv_in_ref`.
///
/// `conv_in_ref` receives the latents of an image and of its mask. Both parts of its weights are half those of `conv_in`, and its bias is
/// the same, so for two equal latents it gives the same result as `conv_in` for one. Everything else stays, so the model runs, but segments
/// nothing before it is trained.
///
/// # Errors
/// `conv_in` cannot be read, or the UNet's `config.json` is not a JSON object.
pub fn starting_point(files: &ModelFiles) -> Result<Option<ModelFiles>, Error> {
    if !is_plain(&files.unet) {
        return Ok(None);
    }
    let look = |name: &str| {
        let absent = || WeightsError::Placeholder { file: files.unet.name().to_owned(), name: name.to_owned() };
        files.unet.look(name).ok_or_else(absent)
    };
    let (weight, bias) = (look("conv_in.weight")?, look("conv_in.bias")?);
    let (&[_, channels, ..], false) = (weight.shape(), weight.is_empty()) else {
        let name = weight.name().to_owned();
        return Err(WeightsError::Placeholder { file: files.unet.name().to_owned(), name }.into());
    };
    let unet = files.unet.with_bytes("conv_in_ref, made of conv_in", conv_in_ref_tensors(&weight, &bias, channels)?)?;
    Ok(Some(ModelFiles {
        unet_config: with_ref_channels(&files.unet_config, 2 * channels)?,
        scheduler_config: Some(ConfigText { file: "DiffewS's scheduler".into(), text: SCHEDULER.into() }),
        separate_unet: false,
        unet,
        ..files.clone()
    }))
}

/// `conv_in_ref` derived from `conv_in`, as a safetensors file. In f32, where halving is exact.
fn conv_in_ref_tensors(weight: &TensorView, bias: &TensorView, channels: usize) -> Result<Vec<u8>, WeightsError> {
    let (values, biases) = (weight.to_f32()?, bias.to_f32()?);
    let halved: Vec<f32> = values.iter().map(|v| 0.5 * v).collect();
    // An output's values: first those of the image's channels, then those of the mask's.
    let each = weight.shape()[1..].iter().product::<usize>();
    let twice: Vec<f32> = halved.chunks_exact(each).flat_map(|output| [output, output].concat()).collect();
    let mut shape = weight.shape().to_vec();
    shape[1] = 2 * channels;
    let tensors = [("conv_in_ref.weight", shape, twice), ("conv_in_ref.bias", bias.shape().to_vec(), biases)];
    let entry = |(name, shape, values): &(&str, Vec<usize>, Vec<f32>)| {
        ((*name).to_owned(), "F32", shape.clone(), 4 * values.len())
    };
    let layout = Layout::of([], tensors.iter().map(entry));
    Ok(layout.whole(tensors.iter().map(|(_, _, values)| bytes_of(values))))
}

/// A UNet's configuration with the channels of `conv_in_ref`.
fn with_ref_channels(config: &ConfigText, channels: usize) -> Result<ConfigText, ConfigError> {
    let wrong = |reason: String| ConfigError::Json { file: config.file.clone(), reason: shown::text(&reason) };
    let mut all: Map<String, Value> = serde_json::from_str(&config.text).map_err(|e| wrong(e.to_string()))?;
    all.insert("in_channels_ref".into(), json!(channels));
    let text = serde_json::to_string_pretty(&all).map_err(|e| wrong(e.to_string()))? + "\n";
    Ok(ConfigText { file: config.file.clone(), text })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Model;
    use crate::weights::Weights;
    use std::fs;
    use std::path::Path;

    /// A plain Stable Diffusion model: a fixture without DiffewS's additions, and with Stable Diffusion's scheduler.
    fn plain(dir: &Path) -> ModelFiles {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/sd21");
        let mut files = ModelFiles::open(&golden, None).unwrap();
        let kept = files.unet.names().into_iter().filter(|name| !name.starts_with("conv_in_ref"));
        let tensors: Vec<_> = kept.map(|name| files.unet.look(name).unwrap()).collect();
        let entry = |t: &TensorView| (t.name().to_owned(), "F32", t.shape().to_vec(), 4 * t.len());
        let layout = Layout::of([], tensors.iter().map(entry));
        let path = dir.join("unet.safetensors");
        fs::write(&path, layout.whole(tensors.iter().map(|t| bytes_of(&t.to_f32().unwrap())))).unwrap();
        files.unet = Weights::open_file(&path).unwrap();
        let mut config: Map<String, Value> = serde_json::from_str(&files.unet_config.text).unwrap();
        config.remove("in_channels_ref");
        files.unet_config.text = Value::from(config).to_string();
        let scheduler = r#"{"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}"#;
        files.scheduler_config = Some(ConfigText { file: "theirs".into(), text: scheduler.into() });
        files
    }

    #[test]
    fn of_two_equal_latents_the_new_entrance_makes_what_the_old_one_makes_of_one() {
        let dir = tempfile::tempdir().unwrap();
        let files = plain(dir.path());
        assert!(matches!(
            Model::load(files.clone()),
            Err(Error::Config(ConfigError::Weights(WeightsError::PlainUNet { .. })))
        ));
        let start = starting_point(&files).unwrap().expect("a plain model");
        let read = |name: &str| start.unet.look(name).unwrap();
        let (old, new) = (read("conv_in.weight"), read("conv_in_ref.weight"));
        assert_eq!(new.shape()[1], 2 * old.shape()[1]);
        let each = old.shape()[1..].iter().product::<usize>();
        let (one, two) = (old.to_f32().unwrap(), new.to_f32().unwrap());
        for (one, two) in one.chunks_exact(each).zip(two.chunks_exact(2 * each)) {
            let (picture, mask) = two.split_at(each);
            assert!(one.iter().zip(picture.iter().zip(mask)).all(|(&w, (&p, &m))| p + m == w && p == m));
        }
        assert_eq!(read("conv_in.bias").to_f32().unwrap(), read("conv_in_ref.bias").to_f32().unwrap());
        // Nothing is missing, and its own scheduler is accepted.
        Model::load(start.clone()).unwrap();
        assert!(starting_point(&start).unwrap().is_none());
    }

    #[test]
    fn a_plain_model_that_is_damaged_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = plain(dir.path());
        files.unet_config.text = "[]".into();
        assert!(matches!(starting_point(&files), Err(Error::Config(ConfigError::Json { .. }))));
    }
}
