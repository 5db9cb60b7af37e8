//! [`ModelFiles`]: all files of a model, in a directory or embedded.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::lookup::file_for_directory;
use super::{Weights, WeightsError, kind};
use crate::settings::DiffewsJson;
use crate::shown;

/// Largest config.json in bytes; usual ones have 2 kB.
pub(super) const MAX_CONFIG: u64 = 1 << 20;
/// Widest text embedding (SD uses 768 and 1024).
const MAX_CONTEXT: usize = 65_536;
/// Most tokens of a prompt (CLIP's text encoders have 77).
const MAX_TOKENS: usize = 4096;
const UNET_WEIGHTS: [&str; 2] =
    ["diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.safetensors.index.json"];

/// The text of a JSON file, and its name in messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigText {
    /// Path, or `embedded:...`.
    pub file: String,
    /// Content, not yet parsed.
    pub text: String,
}

/// The source of the empty prompt's embeddings.
#[derive(Clone)]
pub enum TextSource {
    /// Given: `empty_prompt.safetensors` (tensor `prompt_embeds`).
    Embeds {
        /// The file.
        file: String,
        /// D, the width of the UNet's context.
        width: usize,
        /// [n, D], row-major, finite: 2 tokens in the published inference, 77 (padded) in its training.
        values: Vec<f32>,
    },
    /// To be computed by the CLIP text encoder.
    Encoder {
        /// `text_encoder/` weights.
        weights: Weights,
        /// `text_encoder/config.json`.
        config: ConfigText,
    },
}

/// The files of a model, opened (headers are read, tensors are not) but not yet interpreted. A clone reads from the same open
/// files: loading from clones gives the same model, even if the files were replaced meanwhile.
#[derive(Clone)]
pub struct ModelFiles {
    /// The UNet with `conv_in_ref`.
    pub unet: Weights,
    /// The autoencoder.
    pub vae: Weights,
    /// The empty prompt.
    pub text: TextSource,
    /// `unet/config.json`.
    pub unet_config: ConfigText,
    /// `vae/config.json`.
    pub vae_config: ConfigText,
    /// The scheduler's config, if there is one.
    pub scheduler_config: Option<ConfigText>,
    /// The UNet came from its own directory and the scheduler from the base model. The published code then uses its own
    /// scheduler instead of the base's, so the base's settings are ignored.
    pub separate_unet: bool,
    /// `diffews.json`; empty if there is none.
    pub diffews: DiffewsJson,
}

impl ModelFiles {
    /// Opens a model directory in the diffusers layout. `dir` may also be a hub cache directory (`models--...` with `snapshots/`).
    /// `unet` is the directory of a separate fine-tuned UNet, or its parent; then the base's own `unet/` is not read.
    /// `empty_prompt.safetensors` beside the UNet or in `dir` replaces `text_encoder/`; `diffews.json` is searched in the same
    /// places.
    ///
    /// # Errors
    /// Any [`WeightsError`] of the required files.
    pub fn open(dir: &Path, unet: Option<&Path>) -> Result<ModelFiles, WeightsError> {
        let base = snapshot(dir)?;
        let unet_dir = match unet {
            Some(path) => component_dir(&snapshot(path)?, "unet"),
            None => base.join("unet"),
        };
        // Side files of a separate UNet lie in its directory or beside it; the nearer one takes precedence.
        let mut places: Vec<&Path> = Vec::new();
        if let Some(given) = unet {
            places.push(&unet_dir);
            places
                .extend(unet_dir.parent().filter(|p| unet_dir.file_name().is_some_and(|n| n == "unet") || *p == given));
        }
        places.push(&base);

        let unet_weights = Weights::open_dir(&unet_dir, "unet")?;
        let vae = Weights::open_component(&base, "vae")?;
        let unet_config = config_text(&unet_dir.join("config.json"))?;
        let vae_config = config_text(&base.join("vae").join("config.json"))?;
        let text = match first(&places, "empty_prompt.safetensors") {
            Some(path) => TextSource::embeds(Weights::open_file(&path)?)?,
            None => text_encoder(&base)?,
        };
        let diffews = match first(&places, "diffews.json") {
            Some(path) => read_diffews(&config_text(&path)?)?,
            None => DiffewsJson::default(),
        };
        let own = &places[..places.len() - 1];
        let near = first(own, "scheduler/scheduler_config.json");
        let separate_unet = unet.is_some() && near.is_none();
        let scheduler = near.or_else(|| first(&[&base], "scheduler/scheduler_config.json"));
        let scheduler_config = scheduler.map(|path| config_text(&path)).transpose()?;
        Ok(ModelFiles {
            unet: unet_weights,
            vae,
            text,
            unet_config,
            vae_config,
            scheduler_config,
            separate_unet,
            diffews,
        })
    }

    /// The embedded demonstration model.
    ///
    /// # Errors
    /// See [`super::nano`].
    #[cfg(feature = "embedded")]
    pub fn embedded() -> Result<ModelFiles, WeightsError> {
        super::nano()
    }
}

impl TextSource {
    /// Reads `prompt_embeds` [n, D] or [1, n, D].
    pub(super) fn embeds(weights: Weights) -> Result<TextSource, WeightsError> {
        let file = weights.name().to_owned();
        let bad = |reason: String| WeightsError::invalid(&file, reason);
        let Some(shape) = weights.shape("prompt_embeds") else {
            return Err(bad("it has no tensor `prompt_embeds` [n, D]".to_owned()));
        };
        let width = match shape {
            &[n, width] | &[1, n, width] if (1..=MAX_TOKENS).contains(&n) && (1..=MAX_CONTEXT).contains(&width) => {
                width
            }
            _ => {
                let shape = shown::shape(shape);
                return Err(bad(format!(
                    "tensor `prompt_embeds` is {shape}; it must be [n, D] with n tokens, 1 to {MAX_TOKENS}"
                )));
            }
        };
        let view = weights.root().tensor("prompt_embeds", shape);
        weights.finish()?;
        let values = view.to_f32()?;
        if !values.iter().all(|v| v.is_finite()) {
            return Err(bad("tensor `prompt_embeds` holds NaN or infinity".to_owned()));
        }
        Ok(TextSource::Embeds { file, width, values })
    }
}

/// # Errors
/// [`WeightsError::Invalid`] names unknown keys and invalid values.
pub(super) fn read_diffews(config: &ConfigText) -> Result<DiffewsJson, WeightsError> {
    DiffewsJson::parse(&config.text).map_err(|reason| WeightsError::invalid(&config.file, reason))
}

fn text_encoder(base: &Path) -> Result<TextSource, WeightsError> {
    let dir = base.join("text_encoder");
    if !dir.exists() {
        return Err(WeightsError::NotFound {
            dir: base.to_owned(),
            what: "empty prompt".to_owned(),
            looked_for: vec!["empty_prompt.safetensors".to_owned(), "text_encoder/".to_owned()],
            hint: None,
        });
    }
    let weights = Weights::open_dir(&dir, "text_encoder")?;
    let config = config_text(&dir.join("config.json"))?;
    Ok(TextSource::Encoder { weights, config })
}

/// `path/name` if that is a directory and `path` holds no weights of its own, else `path`.
fn component_dir(path: &Path, name: &str) -> PathBuf {
    let inner = path.join(name);
    let holds_weights = path.join("config.json").is_file() || UNET_WEIGHTS.iter().any(|w| path.join(w).exists());
    if inner.is_dir() && !holds_weights { inner } else { path.to_owned() }
}

/// The snapshot of a hub cache directory (the one that `refs/main` names, or the only one); other directories as they are.
fn snapshot(dir: &Path) -> Result<PathBuf, WeightsError> {
    let meta = std::fs::metadata(dir).map_err(WeightsError::io(dir))?;
    if !meta.is_dir() {
        return Err(file_for_directory(dir));
    }
    let snapshots = dir.join("snapshots");
    if !snapshots.is_dir() {
        return Ok(dir.to_owned());
    }
    let main = dir.join("refs").join("main");
    if main.is_file() {
        let name = read_text(&main, 4096)?;
        let name = name.trim();
        let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric());
        if plain && snapshots.join(name).is_dir() {
            return Ok(snapshots.join(name));
        }
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&snapshots).map_err(WeightsError::io(&snapshots))? {
        found.push(entry.map_err(WeightsError::io(&snapshots))?.path());
    }
    match found.as_slice() {
        [only] => Ok(only.clone()),
        _ => Err(WeightsError::Invalid {
            file: shown::path(&snapshots),
            reason: format!(
                "it has {} snapshots and no refs/main that chooses one; name the snapshot directory itself",
                found.len()
            ),
        }),
    }
}

fn first(places: &[&Path], name: &str) -> Option<PathBuf> {
    // A broken link counts as existing, so that it is an error: skipping it would ignore the model's own settings.
    places.iter().map(|dir| dir.join(name)).find(|path| path.exists() || path.is_symlink())
}

fn config_text(path: &Path) -> Result<ConfigText, WeightsError> {
    let there = path.exists() || path.is_symlink();
    if let (false, Some(dir), Some(name)) = (there, path.parent(), path.file_name()) {
        let (dir, looked_for) = (dir.to_owned(), vec![name.display().to_string()]);
        return Err(WeightsError::NotFound { dir, what: "model configuration".to_owned(), looked_for, hint: None });
    }
    Ok(ConfigText { file: shown::path(path), text: read_text(path, MAX_CONFIG)? })
}

/// Reads a text file of at most `limit` bytes.
pub(super) fn read_text(path: &Path, limit: u64) -> Result<String, WeightsError> {
    // Check before opening: opening a named pipe would wait for a writer.
    if !std::fs::metadata(path).map_err(WeightsError::io(path))?.is_file() {
        return Err(WeightsError::WrongKind { path: path.to_owned(), expected: "a file" });
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(WeightsError::io(path))?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(WeightsError::io(path))?;
    if bytes.len() as u64 > limit {
        let reason = format!("it has more than {limit} bytes, the limit for this file");
        return Err(WeightsError::invalid(&shown::path(path), reason));
    }
    kind::json_text(bytes).map_err(|reason| WeightsError::invalid(&shown::path(path), reason))
}
