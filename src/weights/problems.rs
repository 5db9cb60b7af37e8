//! Tensors that do not fit, and their likely common cause.

use std::fmt;

use safetensors::tensor::Dtype;

use crate::shown;

/// A requested tensor that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// It is missing.
    Missing {
        /// Its name.
        name: String,
        /// The requested shape.
        shape: Vec<usize>,
    },
    /// It has a wrong shape.
    Shape {
        /// Its name.
        name: String,
        /// The file that holds it.
        file: String,
        /// Its shape.
        got: Vec<usize>,
        /// The allowed shapes.
        wanted: Vec<Vec<usize>>,
    },
    /// Its element type is not supported.
    Type {
        /// Its name.
        name: String,
        /// The file that holds it.
        file: String,
        /// The type.
        dtype: Dtype,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Missing { name, shape } => write!(f, "missing: `{}` {}", shown::text(name), shown::shape(shape)),
            Problem::Shape { name, file, got, wanted } => {
                let wanted: Vec<String> = wanted.iter().map(|s| shown::shape(s)).collect();
                let (name, got, wanted) = (shown::text(name), shown::shape(got), wanted.join(" or "));
                write!(f, "shape: `{name}` is {got} in {file}, config.json asks for {wanted}")
            }
            Problem::Type { name, file, dtype } => {
                let name = shown::text(name);
                write!(
                    f,
                    "element type: `{name}` is {dtype:?} in {file}; F16, BF16, F32 and F64 can be read, and I8 with its scales"
                )
            }
        }
    }
}

/// A common cause of many problems, if one is found. `names` are all names of the checkpoint.
pub(super) fn cause<'a>(
    problems: &[Problem],
    asked: usize,
    names: impl Iterator<Item = &'a String> + Clone,
) -> Option<String> {
    let held = names.clone().count();
    let missing: Vec<&str> = problems
        .iter()
        .filter_map(|p| if let Problem::Missing { name, .. } = p { Some(name.as_str()) } else { None })
        .collect();
    let wrong_type =
        problems.iter().find_map(|p| if let Problem::Type { dtype, .. } = p { Some(*dtype) } else { None });
    if let (true, Some(dtype)) = (missing.is_empty() && problems.len() > 2, wrong_type) {
        return Some(format!(
            "its weights are {dtype:?}: a quantised checkpoint, which is not supported; get the model in f32, f16 or bf16"
        ));
    }
    let any = |test: &dyn Fn(&str) -> bool| names.clone().any(|name| test(name));
    if missing.is_empty() {
        let many = problems.len() > 2 && 2 * problems.len() > asked;
        return many.then(|| "most shapes differ: config.json belongs to another model".to_owned());
    }
    if missing.len() < 3 {
        return None;
    }
    if any(&original_layout) {
        return Some(ORIGINAL_LAYOUT.to_owned());
    }
    if any(&|n| n.contains("lora_") || n.contains(".lora.") || n.starts_with("lora")) {
        return Some("it is a LoRA, which changes a model; fuse it into its base model and save the result".to_owned());
    }
    if missing.len() < asked {
        let many = 2 * missing.len() > asked;
        let there = asked - missing.len();
        let text = || format!("config.json needs {asked} tensors, and the file has {there} of them among its {held}");
        return many.then(text);
    }
    let mut places: Vec<(&str, usize)> = Vec::new();
    for name in names.clone() {
        if let Some(prefix) = missing.iter().take(PROBES).find_map(|m| before(name, m)) {
            match places.iter_mut().find(|(known, _)| *known == prefix) {
                Some((_, n)) => *n += 1,
                None => places.push((prefix, 1)),
            }
        }
    }
    // All probes must match, else the similarity is accidental.
    places.retain(|(_, n)| *n >= missing.len().min(PROBES));
    places.sort_unstable();
    let under: Vec<String> = places.iter().map(|(prefix, _)| format!("`{}`", shown::text(prefix))).collect();
    let under = shown::first(&under, 4).join(", ");
    Some(match places.len() {
        0 => {
            let first = names.min().map_or_else(String::new, |n| format!(", `{}` being the first", shown::text(n)));
            format!(
                "none of the {asked} tensors that config.json needs is among its {held}{first}: it holds another component"
            )
        }
        1 => format!("the tensors lie under {under}, beside others; save them in a file of their own"),
        _ => format!("the tensors occur more than once, under {under}; save the right ones in a file of their own"),
    })
}

/// Most names to probe below prefixes.
const PROBES: usize = 8;

pub(super) const ORIGINAL_LAYOUT: &str = "it is a checkpoint in Stable Diffusion's original layout, in one file; convert it to the diffusers \
     layout with `StableDiffusionPipeline.from_single_file(FILE).save_pretrained(DIR)` of diffusers (Python), then name DIR";

/// Whether a name belongs to the original layout, of a whole model or of its UNet or VAE.
pub(super) fn original_layout(name: &str) -> bool {
    ["model.diffusion_model.", "first_stage_model.", "input_blocks.", "encoder.down.0.block."]
        .iter()
        .any(|start| name.starts_with(start))
}

/// The part of `name` before a dot and `tail`.
fn before<'a>(name: &'a str, tail: &str) -> Option<&'a str> {
    name.strip_suffix(tail).filter(|prefix| prefix.ends_with('.'))
}

/// A prefix of all names that ends in a dot and has one of `anchors` below it, if none lies at the root:
/// training scripts leave such prefixes as `module.` or `unet.`.
pub(super) fn common_prefix<'a>(
    mut names: impl Iterator<Item = &'a String>,
    has: impl Fn(&str) -> bool,
    anchors: &[&str],
) -> Option<String> {
    if anchors.iter().any(|a| has(a)) {
        return None;
    }
    let up = |path: &str| path.rfind('.').map_or(0, |dot| dot + 1);
    let first = names.next()?;
    let mut prefix = &first[..up(first)];
    for name in names {
        while !name.starts_with(prefix) {
            prefix = &prefix[..up(&prefix[..prefix.len() - 1])];
        }
    }
    while !prefix.is_empty() && !anchors.iter().any(|a| has(&format!("{prefix}{a}"))) {
        prefix = &prefix[..up(&prefix[..prefix.len() - 1])];
    }
    (!prefix.is_empty()).then(|| prefix.to_owned())
}
