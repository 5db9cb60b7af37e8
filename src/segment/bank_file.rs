//! Bank files: keys and values of examples, for later runs.
//!
//! A safetensors file. Tensors: `layers.N.k` and `layers.N.v` [shots, positions, channels] in f16 or f32, N from 0 in the order in which the
//! UNet reads them; `examples.N.image` [height, width, 3] and `examples.N.mask` [height, width] in u8, small copies for users to recognise
//! the examples. Metadata: `diffews_bank` (the version of this format), `model` (see [`fingerprint`](crate::weights::fingerprint)),
//! `model_name`, `size`, `precision`, `examples` (a JSON list of names), `fit` (how pictures were made square; squash by
//! default) and optionally `name`.

use super::bank::Small;
use crate::Error;
use crate::image_io::{self, Framing, Mask, RgbImage};
use crate::shown;
use crate::weights::{Layout, Weights, WeightsError, bytes_of, halves_of};
use safetensors::tensor::Dtype;
use std::ops::Range;
use std::path::Path;

const VERSION: &str = "1";
/// The longer side of a small copy, in pixels.
const SMALL: u32 = 128;
/// Largest small copy, in bytes.
const MOST_SMALL: usize = 1 << 22;
/// Longest name, in characters.
const MOST_NAME: usize = 200;

/// Why a bank cannot be used. Each message names the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BankError {
    #[error(transparent)]
    File(#[from] WeightsError),
    #[error("{file}: not a bank: {reason}")]
    NoBank { file: String, reason: String },
    #[error("{file}: the bank has version {version}, but this program reads version {VERSION}")]
    Version { file: String, version: String },
    #[error("{file}: the bank is of another model, {of} ({model}); this one is {this} ({this_model})")]
    Model { file: String, of: String, model: String, this: String, this_model: String },
    #[error("{file}: the bank is of pictures of {of} x {of}; this model uses {this} x {this}")]
    Size { file: String, of: u32, this: u32 },
    #[error("{file}: the bank's pictures were made square by {of}, these by {this}")]
    Framing { file: String, of: &'static str, this: &'static str },
    #[error("{file}: tensor `{tensor}` holds NaN or infinity")]
    NotFinite { file: String, tensor: String },
    #[error("`{tensor}` holds {value:e}, which is too large for half precision; write the bank in f32")]
    Overflow { tensor: String, value: f32 },
    #[error("{file} and {other} are banks with different {what}")]
    Differ { file: String, other: String, what: &'static str },
}

/// How a bank file stores keys and values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BankStorage {
    /// f16, two bytes per number.
    #[default]
    Half,
    /// f32, four bytes per number: maps are equal to the last bit to those of the original bank.
    F32,
}

/// How to write a bank.
#[derive(Clone, Copy, Debug, Default)]
pub struct BankOptions<'a> {
    /// Label of its examples.
    pub name: Option<&'a str>,
    pub storage: BankStorage,
    /// Replace an existing file.
    pub force: bool,
}

/// A bank file: its header was read, its tensors are read on demand.
#[derive(Clone)]
pub struct BankFile {
    weights: Weights,
    about: About,
    /// Positions and channels of each layer.
    layers: Vec<[usize; 2]>,
}

/// Description of a bank.
#[derive(Clone)]
pub(super) struct About {
    pub model: String,
    pub model_name: String,
    pub size: u32,
    pub precision: String,
    pub framing: Framing,
    pub name: Option<String>,
    pub examples: Vec<String>,
}

/// The content to write.
pub(super) struct Content<'a> {
    pub about: About,
    pub layers: &'a [[usize; 2]],
    /// The values of a layer's keys (false) or values (true), of all shots.
    pub values: &'a mut dyn FnMut(usize, bool) -> Result<Vec<f32>, Error>,
    pub small: Vec<Small>,
}

impl BankFile {
    /// Opens a bank file and checks its header; reads no keys and values yet.
    ///
    /// # Errors
    /// A file that cannot be read, is cut off, or is not a bank of this version.
    pub fn open(path: impl AsRef<Path>) -> Result<BankFile, Error> {
        Ok(read(Weights::open_file(path.as_ref()).map_err(BankError::from)?)?)
    }

    /// The file.
    pub fn file(&self) -> &str {
        self.weights.name()
    }

    /// Number of examples.
    pub fn shots(&self) -> usize {
        self.about.examples.len()
    }

    /// Label of its examples, if it has one.
    pub fn name(&self) -> Option<&str> {
        self.about.name.as_deref()
    }

    /// Names of its examples, mostly of their files.
    pub fn examples(&self) -> &[String] {
        &self.about.examples
    }

    /// Side of the square that pictures were resized to, in pixels.
    pub fn size(&self) -> u32 {
        self.about.size
    }

    /// Name of the model, and its [`fingerprint`](crate::weights::fingerprint).
    pub fn model(&self) -> (&str, &str) {
        (&self.about.model_name, &self.about.model)
    }

    /// How examples were made square.
    pub fn framing(&self) -> Framing {
        self.about.framing
    }

    /// The precision that the examples were encoded in: f32, f16 or q8.
    pub fn precision(&self) -> &str {
        &self.about.precision
    }

    /// How its keys and values are stored.
    pub fn storage(&self) -> BankStorage {
        let of = |layer| self.weights.look(&tensor(layer, false)).and_then(|view| view.dtype());
        let halves = (0..self.layers.len()).all(|layer| of(layer) == Some(Dtype::F16));
        if halves { BankStorage::Half } else { BankStorage::F32 }
    }

    /// Number of layers, and of values of an example in all of them.
    pub fn count(&self) -> (usize, u64) {
        (self.layers.len(), self.layers.iter().map(|[positions, channels]| 2 * (positions * channels) as u64).sum())
    }

    /// The small copy of an example and its mask, if there is one.
    ///
    /// # Errors
    /// Errors of reading the file.
    pub fn small(&self, example: usize) -> Result<Option<(RgbImage, Mask)>, Error> {
        let of = |what: &str, rank: usize| -> Result<_, Error> {
            let name = format!("examples.{example}.{what}");
            let shape = self.weights.shape(&name).filter(|shape| shape.len() == rank).map(<[usize]>::to_vec);
            let bytes = self.weights.look_at_bytes(&name, MOST_SMALL).map_err(BankError::from)?;
            Ok(shape.zip(bytes))
        };
        let (Some((shape, pixels)), Some((mask_shape, mask))) = (of("image", 3)?, of("mask", 2)?) else {
            return Ok(None);
        };
        let (width, height) = (shape[1] as u32, shape[0] as u32);
        let image = RgbImage::from_raw(width, height, pixels).filter(|_| shape[2] == 3 && mask_shape == shape[..2]);
        let mask = Mask::new(width, height, mask.into_iter().map(|level| level >= 128).collect()).ok();
        Ok(image.zip(mask))
    }

    /// Writes the examples of `parts` in order as one bank.
    ///
    /// # Errors
    /// Banks of different models or sizes; I/O errors.
    pub fn join(parts: &[(&BankFile, Range<usize>)], path: &Path, options: &BankOptions) -> Result<(), Error> {
        let Some((first, _)) = parts.first() else {
            return Err(Error::Usage("there is no bank to join; name at least one".into()));
        };
        let mut about = About { name: None, examples: Vec::new(), ..first.about.clone() };
        let mut small = Vec::new();
        for (part, range) in parts {
            let different = [
                (part.about.model != first.about.model, "models"),
                (part.about.size != first.about.size, "sizes"),
                (part.about.framing != first.about.framing, "fits"),
                (part.layers != first.layers, "layers"),
            ];
            if let Some((_, what)) = different.into_iter().find(|(differ, _)| *differ) {
                let (file, other) = (first.file().into(), part.file().into());
                return Err(BankError::Differ { file, other, what }.into());
            }
            for example in range.clone() {
                let name = part.about.examples.get(example);
                let name = name.ok_or_else(|| Error::Usage(format!("{} has no example {example}", part.file())))?;
                about.examples.push(name.clone());
                small.push(part.small(example)?);
            }
        }
        let values = &mut |layer: usize, v: bool| {
            let mut all = Vec::new();
            for (part, range) in parts {
                for example in range.clone() {
                    all.extend(part.values(layer, v, example)?);
                }
            }
            Ok(all)
        };
        write(path, options, Content { about, layers: &first.layers, values, small })
    }

    pub(super) fn layers(&self) -> &[[usize; 2]] {
        &self.layers
    }

    /// Keys or values of an example in a layer, `[positions, channels]`.
    pub(super) fn values(&self, layer: usize, v: bool, example: usize) -> Result<Vec<f32>, Error> {
        let name = tensor(layer, v);
        let view = self.weights.look(&name).ok_or_else(|| self.lacks(&name))?;
        let values = view.rows_to_f32(example..example + 1).map_err(BankError::from)?;
        if values.iter().any(|value| !value.is_finite()) {
            return Err(BankError::NotFinite { file: self.file().into(), tensor: name }.into());
        }
        Ok(values)
    }

    fn lacks(&self, tensor: &str) -> BankError {
        BankError::NoBank { file: self.file().into(), reason: format!("tensor `{tensor}` is missing") }
    }
}

fn tensor(layer: usize, v: bool) -> String {
    format!("layers.{layer}.{}", if v { "v" } else { "k" })
}

fn read(weights: Weights) -> Result<BankFile, BankError> {
    let file = weights.name().to_owned();
    let bad = |reason: String| BankError::NoBank { file: file.clone(), reason };
    let Some(version) = weights.metadata("diffews_bank") else {
        return Err(bad("it is a safetensors file with other content".into()));
    };
    if version != VERSION {
        return Err(BankError::Version { file, version: shown::text(version) });
    }
    let said = |key: &str| {
        let text = weights.metadata(key).map(shown::text).filter(|text| !text.is_empty());
        text.ok_or_else(|| bad(format!("its header lacks `{key}`")))
    };
    let size =
        said("size")?.parse().ok().filter(|size| *size > 0).ok_or_else(|| bad("`size` is not a number".into()))?;
    let names: Vec<String> = serde_json::from_str(weights.metadata("examples").unwrap_or_default())
        .map_err(|_| bad("`examples` is not a list of names".into()))?;
    let fit = weights.metadata("fit").unwrap_or(Framing::Squash.name());
    let framing = Framing::ALL.into_iter().find(|framing| framing.name() == fit);
    let about = About {
        framing: framing.ok_or_else(|| bad(format!("`fit` is {}, which is unknown", shown::text(fit))))?,
        model: said("model")?,
        model_name: said("model_name")?,
        size,
        precision: said("precision")?,
        name: weights.metadata("name").map(name_of),
        examples: names.iter().map(|name| name_of(name)).collect(),
    };
    let shots = about.examples.len();
    if shots == 0 {
        return Err(bad("it has no example".into()));
    }
    let mut layers = Vec::new();
    loop {
        let [k, v] = [false, true].map(|v| tensor(layers.len(), v));
        let shape = match (weights.shape(&k), weights.shape(&v)) {
            (None, None) => break,
            (Some(k), Some(v)) if k == v => k,
            _ => return Err(bad(format!("`{k}` and `{v}` do not belong together"))),
        };
        let &[n, positions, channels] = shape else {
            return Err(bad(format!("`{k}` is {}, but must have three dimensions", shown::shape(shape))));
        };
        // The file's size bounds the sizes only if there are values.
        if positions == 0 || channels == 0 {
            return Err(bad(format!("`{k}` is empty")));
        }
        if n != shots || weights.look(&k).is_none() || weights.look(&v).is_none() {
            return Err(bad(format!("`{k}` and `{v}` do not hold {shots} examples in f16 or f32")));
        }
        layers.push([positions, channels]);
    }
    if layers.is_empty() {
        return Err(bad("it has no layer".into()));
    }
    Ok(BankFile { weights, about, layers })
}

/// A name made fit for printing.
pub(super) fn name_of(name: &str) -> String {
    shown::whole(name).chars().take(MOST_NAME).collect()
}

/// A small copy of a picture and its mask with the proportions of (width, height).
pub(super) fn small(image: &RgbImage, mask: &Mask, (width, height): (u32, u32)) -> (RgbImage, Mask) {
    let side = |of: u32| (u64::from(of) * u64::from(SMALL) / u64::from(width.max(height).max(SMALL))).max(1) as u32;
    let (width, height) = (side(width), side(height));
    (image_io::resize_bilinear_rgb(image, width, height), image_io::resize_nearest_mask(mask, width, height))
}

/// Writes a bank atomically.
pub(super) fn write(path: &Path, options: &BankOptions, content: Content) -> Result<(), Error> {
    let Content { about, layers, values, small } = content;
    let About { model, model_name, size, precision, framing, name, examples } = about;
    let (half, shots) = (options.storage == BankStorage::Half, examples.len());
    let metadata = [
        ("diffews_bank", VERSION.to_owned()),
        ("model", model),
        ("model_name", model_name),
        ("size", size.to_string()),
        ("precision", precision),
        ("fit", framing.name().to_owned()),
        ("examples", serde_json::Value::from(examples).to_string()),
    ];
    let name = options.name.map(name_of).or(name);
    let metadata = metadata.into_iter().chain(name.map(|name| ("name", name)));
    let of_layer = |(layer, &[positions, channels]): (usize, &[usize; 2])| {
        let (dtype, bytes) = if half { ("F16", 2) } else { ("F32", 4) };
        let shape = vec![shots, positions, channels];
        [false, true].map(|v| (tensor(layer, v), dtype, shape.clone(), bytes * shots * positions * channels))
    };
    let levels = |mask: &Mask| mask.foreground().iter().map(|&f| 255 * u8::from(f)).collect();
    let pictures: Vec<(usize, &RgbImage, Vec<u8>)> = (small.iter().enumerate())
        .filter_map(|(i, pair)| pair.as_ref().map(|(image, mask)| (i, image, levels(mask))))
        .collect();
    let of_picture = |(i, image, _): &(usize, &RgbImage, Vec<u8>)| {
        let (width, height) = (image.width() as usize, image.height() as usize);
        [
            (format!("examples.{i}.image"), "U8", vec![height, width, 3], 3 * height * width),
            (format!("examples.{i}.mask"), "U8", vec![height, width], height * width),
        ]
    };
    let tensors = layers.iter().enumerate().flat_map(of_layer).chain(pictures.iter().flat_map(of_picture));
    let layout = Layout::of(metadata, tensors);
    let failed = |cause| Error::Image(image_io::ImageError::Write { path: path.to_owned(), cause });
    image_io::write_by(path, options.force, |file| {
        layout.begin(file).map_err(failed)?;
        let mut number = 0;
        let mut put = |bytes: &[u8]| {
            number += 1;
            layout.put(file, number - 1, bytes).map_err(failed)
        };
        for layer in 0..layers.len() {
            for v in [false, true] {
                let values = values(layer, v)?;
                let overflow = |value| BankError::Overflow { tensor: tensor(layer, v), value };
                put(&if half { halves_of(&values).map_err(overflow)? } else { bytes_of(&values) })?;
            }
        }
        for (_, image, mask) in &pictures {
            put(image.as_raw())?;
            put(mask)?;
        }
        Ok(())
    })
}
