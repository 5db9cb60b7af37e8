//! Finds a component's file by the names that diffusers and transformers use.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use super::file::TensorFile;
use super::problems::{ORIGINAL_LAYOUT, original_layout};
use super::source::read_text;
use super::{Weights, WeightsError};
use crate::shown;

/// Largest index in bytes; SD's are about 0.2 MB.
const MAX_INDEX: u64 = 16 << 20;
/// Most shards; published components have a few dozen, and each shard is an open file.
const MAX_SHARDS: usize = 256;
/// Variant names, the more precise first: full precision without a variant, then these, then any other in alphabetical order.
const VARIANTS: [&str; 5] = ["", "fp32", "non_ema", "fp16", "bf16"];
/// Extensions of incomplete downloads.
const UNFINISHED: [&str; 5] = [".incomplete", ".part", ".partial", ".crdownload", ".aria2"];
const PICKLES: [&str; 4] = ["bin", "ckpt", "pt", "pth"];

impl Weights {
    /// Opens `dir/component` ("unet", "vae" or "text_encoder") in any published form: one file or shards with an index,
    /// with or without a variant name; full precision is preferred.
    ///
    /// # Errors
    /// [`WeightsError::NotFound`] lists what was looked for, [`WeightsError::Pickle`] says how to convert, [`WeightsError::Malformed`],
    /// [`WeightsError::Index`] and [`WeightsError::Duplicate`] name the broken file.
    pub fn open_component(dir: &Path, component: &str) -> Result<Weights, WeightsError> {
        Weights::open_dir(&dir.join(component), component)
    }

    /// The same if `dir` itself holds the component's files.
    ///
    /// # Errors
    /// As for [`Weights::open_component`].
    pub fn open_dir(dir: &Path, component: &str) -> Result<Weights, WeightsError> {
        let stem = stem(component);
        if !dir.exists() {
            let what = format!("{component} directory");
            let looked_for = vec![format!("{component}/")];
            let hint = dir.parent().and_then(|base| instead(base, component));
            return Err(WeightsError::NotFound { dir: dir.to_owned(), what, looked_for, hint });
        }
        let names = list(dir)?;
        let Some(name) = choose(&names, stem) else {
            return Err(absent(dir, component, stem, &names));
        };
        let path = dir.join(&name);
        if name.ends_with(".json") {
            return open_shards(dir, &path, anchors(component));
        }
        Weights::from_files(shown::path(&path), vec![TensorFile::open(&path)?], anchors(component))
    }

    /// Opens one safetensors file.
    ///
    /// # Errors
    /// [`WeightsError::Io`], [`WeightsError::WrongKind`] and [`WeightsError::Malformed`].
    pub fn open_file(path: &Path) -> Result<Weights, WeightsError> {
        Weights::from_files(shown::path(path), vec![TensorFile::open(path)?], &[])
    }
}

/// Stem of the names of a component's weights.
fn stem(component: &str) -> &'static str {
    if component == "text_encoder" { "model" } else { "diffusion_pytorch_model" }
}

/// The file of a component's weights in its directory, or their index.
#[cfg(feature = "fetch")]
pub(crate) fn weights_in(names: &BTreeSet<String>, component: &str) -> Option<String> {
    choose(names, stem(component))
}

/// Whether any of these files is a pickle.
#[cfg(feature = "fetch")]
pub(crate) fn has_pickles(names: &BTreeSet<String>) -> bool {
    names.iter().any(|name| is_pickle(name))
}

fn is_pickle(name: &str) -> bool {
    let extension = Path::new(name).extension().and_then(|e| e.to_str());
    extension.is_some_and(|e| PICKLES.contains(&e))
}

/// Published names of tensors that every checkpoint of a component has.
fn anchors(component: &str) -> &'static [&'static str] {
    match component {
        "unet" => &["conv_in.weight", "conv_out.weight", "time_embedding.linear_1.weight"],
        "vae" => &["encoder.conv_in.weight", "decoder.conv_in.weight", "decoder.conv_out.weight"],
        "text_encoder" => &[
            "text_model.final_layer_norm.weight",
            "final_layer_norm.weight",
            "text_model.embeddings.token_embedding.weight",
            "embeddings.token_embedding.weight",
        ],
        _ => &[],
    }
}

/// A hint from the content of a directory that should hold `component/`.
fn instead(base: &Path, component: &str) -> Option<String> {
    let names = list(base).ok()?;
    let has = |name: &str| names.contains(name);
    if component == "unet" && has("transformer") {
        return Some(
            "it holds transformer/, a model newer than Stable Diffusion 2.1, which is not supported".to_owned(),
        );
    }
    let own = ["diffusion_pytorch_model", "model"].iter().any(|stem| choose(&names, stem).is_some());
    if has("config.json") && own {
        let way = if component == "unet" { "; a UNet alone is named beside it" } else { "" };
        return Some(format!("it is one component; name the directory that holds unet/, vae/ and so on{way}"));
    }
    let single = names.iter().find(|n| SINGLE.iter().any(|e| n.ends_with(e)) && !n.starts_with("empty_prompt"));
    if let Some(single) = single {
        let name = shown::text(single);
        return Some(format!(
            "there is {name}: single-file models are not supported, convert it to the diffusers layout"
        ));
    }
    let inner = names.iter().find(|name| base.join(name).join(component).is_dir());
    inner.map(|name| format!("did you mean {}?", shown::path(&base.join(name))))
}

/// Extensions of files that hold a whole model.
const SINGLE: [&str; 6] = [".safetensors", ".ckpt", ".gguf", ".pt", ".pth", ".bin"];

/// The error for a file that was named instead of a model directory.
pub(super) fn file_for_directory(path: &Path) -> WeightsError {
    let invalid = |reason: &str| WeightsError::invalid(&shown::path(path), reason);
    let directory = "name the model directory, which holds unet/, vae/ and so on";
    let name = path.file_name().map(|n| n.to_string_lossy().to_lowercase()).unwrap_or_default();
    if name.ends_with(".json") {
        return invalid(&format!("this is a file of a model; {directory}"));
    }
    match TensorFile::open(path) {
        Ok(file) if file.entries.keys().any(|n| original_layout(n)) => invalid(ORIGINAL_LAYOUT),
        Ok(_) => invalid(&format!("these are weights of one component; {directory}")),
        // A file in another format has its own message.
        Err(error @ WeightsError::Invalid { .. }) => error,
        Err(_) if SINGLE.iter().any(|e| name.ends_with(e)) => invalid(ORIGINAL_LAYOUT),
        Err(_) => WeightsError::WrongKind { path: path.to_owned(), expected: "a model directory" },
    }
}

fn list(dir: &Path) -> Result<BTreeSet<String>, WeightsError> {
    if std::fs::metadata(dir).map_err(WeightsError::io(dir))?.is_file() {
        return Err(WeightsError::WrongKind { path: dir.to_owned(), expected: "a directory" });
    }
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(dir).map_err(WeightsError::io(dir))? {
        let entry = entry.map_err(WeightsError::io(dir))?;
        names.extend(entry.file_name().into_string());
    }
    Ok(names)
}

/// The names of one variant, in order of preference. Index files occur with the variant in either place.
fn forms(stem: &str, variant: &str) -> Vec<String> {
    if variant.is_empty() {
        return vec![format!("{stem}.safetensors"), format!("{stem}.safetensors.index.json")];
    }
    vec![
        format!("{stem}.{variant}.safetensors"),
        format!("{stem}.{variant}.safetensors.index.json"),
        format!("{stem}.safetensors.index.{variant}.json"),
    ]
}

fn choose(names: &BTreeSet<String>, stem: &str) -> Option<String> {
    let known = VARIANTS.iter().flat_map(|v| forms(stem, v)).find(|name| names.contains(name));
    // Another variant name: `<stem>.<anything>.safetensors`, but no shard, which needs its index.
    known.or_else(|| {
        let mut others = names.iter().filter(|name| {
            let middle = name.strip_prefix(stem).and_then(|rest| rest.strip_prefix('.'));
            middle.is_some_and(|m| {
                (m.ends_with(".safetensors") && !m.contains("-of-"))
                    || (m.contains("safetensors.index.") && m.ends_with(".json"))
            })
        });
        others.next().cloned()
    })
}

fn absent(dir: &Path, component: &str, stem: &str, names: &BTreeSet<String>) -> WeightsError {
    if let Some(pickle) = names.iter().find(|name| is_pickle(name)) {
        let path = dir.join(pickle);
        // Not with diffusers' own class, which would drop the unknown `conv_in_ref`.
        let convert = format!(
            "python -c \"import torch, safetensors.torch as s; s.save_file({{k: v.clone().contiguous() for k, v in \
             torch.load(r'{}', map_location='cpu', weights_only=True).items()}}, r'{}')\"",
            shown::path(&path),
            shown::path(&dir.join(format!("{stem}.safetensors")))
        );
        return WeightsError::Pickle { path, convert };
    }
    let mut looked_for: Vec<String> = VARIANTS.iter().flat_map(|v| forms(stem, v)).collect();
    looked_for.push(format!("{stem}.<variant>.safetensors"));
    let found = |test: &dyn Fn(&str) -> bool| names.iter().find(|n| test(n)).map(|n| shown::text(n));
    let hint = if let Some(name) = found(&|n| n.ends_with(".gguf")) {
        Some(format!("{name} holds quantised weights, which are not supported"))
    } else if let Some(name) = found(&|n| UNFINISHED.iter().any(|e| n.ends_with(e))) {
        Some(format!("{name} is an unfinished download"))
    } else if let Some(name) = found(&|n| n.contains("-of-") && n.ends_with(".safetensors")) {
        Some(format!("{name} is one of several shards, but their index ({stem}.safetensors.index.json) is missing"))
    } else {
        found(&|n| n.ends_with(".safetensors")).map(|name| format!("{name} is not a published name"))
    };
    WeightsError::NotFound { dir: dir.to_owned(), what: format!("{component} weights"), looked_for, hint }
}

/// The used part of an index. The rest takes no memory.
#[derive(serde::Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The content of an index: the shard of each tensor, and the names of all shards.
type Shards = (BTreeMap<String, String>, BTreeSet<String>);

fn read_index(index: &Path) -> Result<Shards, WeightsError> {
    let bad = |reason: String| WeightsError::Index { file: shown::path(index), reason };
    let text = read_text(index, MAX_INDEX)?;
    let Index { weight_map: map } = serde_json::from_str(&text).map_err(|e| bad(shown::text(&e.to_string())))?;
    let mut shards = BTreeSet::new();
    for shard in map.values() {
        if !is_plain_name(shard) {
            let shard = shown::text(shard);
            return Err(bad(format!("`{shard}` is not the name of a safetensors file in the same directory")));
        }
        shards.insert(shard.clone());
    }
    if shards.is_empty() || shards.len() > MAX_SHARDS {
        return Err(bad(format!("it names {} shards; 1 to {MAX_SHARDS} are accepted", shards.len())));
    }
    Ok((map, shards))
}

/// The shards that an index names.
///
/// # Errors
/// [`WeightsError::Index`] for an invalid index, and errors of reading it.
#[cfg(feature = "fetch")]
pub(crate) fn shards_in(index: &Path) -> Result<BTreeSet<String>, WeightsError> {
    read_index(index).map(|(_, shards)| shards)
}

fn open_shards(dir: &Path, index: &Path, anchors: &[&str]) -> Result<Weights, WeightsError> {
    let name = shown::path(index);
    let bad = |reason: String| WeightsError::Index { file: name.clone(), reason };
    let (map, shards) = read_index(index)?;
    let files = shards.iter().map(|s| TensorFile::open(&dir.join(s))).collect::<Result<Vec<_>, _>>()?;
    for (tensor, shard) in &map {
        let held = files.iter().zip(&shards).any(|(file, name)| shard == name && file.entries.contains_key(tensor));
        if !held {
            let (tensor, shard) = (shown::text(tensor), shown::text(shard));
            return Err(bad(format!("tensor `{tensor}` is not in {shard}, where the index has it")));
        }
    }
    Weights::from_files(name, files, anchors)
}

/// Whether a name is a file beside the index: one plain path component on every system (`\` and `:` lead elsewhere on Windows).
fn is_plain_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(part)), None) if part == name)
        && !name.contains(|c: char| matches!(c, '/' | '\\' | ':') || c.is_control())
        && name.ends_with(".safetensors")
}
