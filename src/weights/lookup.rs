//! Which file holds a component: the names under which diffusers and transformers publish weights.

use std::collections::BTreeSet;
use std::path::{Component, Path};

use super::file::TensorFile;
use super::source::read_text;
use super::{Weights, WeightsError};

/// SD-sized indices are about 0.2 MB.
const MAX_INDEX: u64 = 16 << 20;
/// No published component has more than a few dozen; each shard is an open map.
const MAX_SHARDS: usize = 1024;
/// Variant names, the more precise first: full precision without a variant, then these, then any other in alphabetical order.
const VARIANTS: [&str; 5] = ["", "fp32", "non_ema", "fp16", "bf16"];
const PICKLES: [&str; 4] = ["bin", "ckpt", "pt", "pth"];

impl Weights {
    /// Opens `dir/component` ("unet", "vae" or "text_encoder") in any of its published forms: one file or shards with an index,
    /// with or without a variant name; full precision is preferred where both exist.
    ///
    /// # Errors
    /// [`WeightsError::NotFound`] lists what was looked for, [`WeightsError::Pickle`] says how to convert, [`WeightsError::Malformed`],
    /// [`WeightsError::Index`] and [`WeightsError::Duplicate`] name the broken file.
    pub fn open_component(dir: &Path, component: &str) -> Result<Weights, WeightsError> {
        Weights::open_dir(&dir.join(component), component)
    }

    /// The same where `dir` itself holds the component's files.
    ///
    /// # Errors
    /// As for [`Weights::open_component`].
    pub fn open_dir(dir: &Path, component: &str) -> Result<Weights, WeightsError> {
        let stem = if component == "text_encoder" { "model" } else { "diffusion_pytorch_model" };
        if !dir.exists() {
            let what = format!("{component} directory");
            return Err(WeightsError::NotFound {
                dir: dir.to_owned(),
                what,
                looked_for: vec![format!("{component}/")],
            });
        }
        let names = list(dir)?;
        let Some(name) = choose(&names, stem) else {
            return Err(absent(dir, component, stem, &names));
        };
        let path = dir.join(&name);
        if name.ends_with(".json") { open_shards(dir, &path) } else { Weights::open_file(&path) }
    }

    /// Opens one safetensors file.
    ///
    /// # Errors
    /// [`WeightsError::Io`], [`WeightsError::WrongKind`] and [`WeightsError::Malformed`].
    pub fn open_file(path: &Path) -> Result<Weights, WeightsError> {
        Weights::from_files(path.display().to_string(), vec![TensorFile::open(path)?])
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
    // Another variant name: `<stem>.<anything>.safetensors`, but no shard, which only its index makes whole.
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
    let is_pickle = |name: &&String| {
        let extension = Path::new(name.as_str()).extension().and_then(|e| e.to_str());
        extension.is_some_and(|e| PICKLES.contains(&e))
    };
    if let Some(pickle) = names.iter().find(is_pickle) {
        let path = dir.join(pickle);
        // Not diffusers' own class: it would drop `conv_in_ref`, which it does not know.
        let convert = format!(
            "python -c \"import torch, safetensors.torch as s; s.save_file({{k: v.clone().contiguous() for k, v in \
             torch.load(r'{}', map_location='cpu', weights_only=True).items()}}, r'{}')\"",
            path.display(),
            dir.join(format!("{stem}.safetensors")).display()
        );
        return WeightsError::Pickle { path, convert };
    }
    let mut looked_for: Vec<String> = VARIANTS.iter().flat_map(|v| forms(stem, v)).collect();
    looked_for.push(format!("{stem}.<variant>.safetensors"));
    WeightsError::NotFound { dir: dir.to_owned(), what: format!("{component} weights"), looked_for }
}

fn open_shards(dir: &Path, index: &Path) -> Result<Weights, WeightsError> {
    let name = index.display().to_string();
    let bad = |reason: String| WeightsError::Index { file: name.clone(), reason };
    let text = read_text(index, MAX_INDEX)?;
    let json: serde_json::Value = serde_json::from_str(&text).map_err(|e| bad(e.to_string()))?;
    let Some(map) = json.get("weight_map").and_then(|m| m.as_object()) else {
        return Err(bad("it has no object `weight_map`".to_owned()));
    };
    let mut shards = BTreeSet::new();
    for (tensor, shard) in map {
        let Some(shard) = shard.as_str() else {
            return Err(bad(format!("`weight_map.{tensor}` is not a file name")));
        };
        if !is_plain_name(shard) {
            return Err(bad(format!("`{shard}` is not the name of a safetensors file in the same directory")));
        }
        shards.insert(shard);
    }
    if shards.is_empty() || shards.len() > MAX_SHARDS {
        return Err(bad(format!("it names {} shards; 1 to {MAX_SHARDS} are accepted", shards.len())));
    }
    let files = shards.iter().map(|s| TensorFile::open(&dir.join(s))).collect::<Result<Vec<_>, _>>()?;
    for (tensor, shard) in map {
        let held = files
            .iter()
            .zip(&shards)
            .any(|(file, name)| shard.as_str() == Some(*name) && file.entries.contains_key(tensor));
        if !held {
            return Err(bad(format!("tensor `{tensor}` is not in {shard}, where the index has it")));
        }
    }
    Weights::from_files(name, files)
}

/// A file beside the index: one normal path component on every system (`\` and `:` lead elsewhere on Windows).
fn is_plain_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(part)), None) if part == name)
        && !name.contains(['/', '\\', ':', '\0'])
        && name.ends_with(".safetensors")
}
