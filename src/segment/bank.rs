//! Examples, and the bank of what was made of them.

use super::bank_file::{self, About};
use super::loaded::Keys;
use super::{BankFile, Precision, Span, Stage};
use crate::Error;
use crate::image_io::{self, Framing, LoadedMask, Mask, MaskReading, MaskWarning, Note, PictureOptions, RgbImage};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A picture, and the mask of what is to be found in others.
#[derive(Clone, Debug)]
pub struct Example {
    image: Arc<RgbImage>,
    mask: Mask,
    name: Option<String>,
    notes: Vec<Note>,
    warnings: Vec<MaskWarning>,
}

impl Example {
    /// An example of a picture and a mask of its size.
    ///
    /// # Errors
    /// Sizes that differ.
    pub fn new(image: RgbImage, mask: Mask) -> Result<Example, Error> {
        Example::shared(Arc::new(image), mask)
    }

    /// The same of a picture that is an example of several things, each with a mask of its own.
    ///
    /// # Errors
    /// Sizes that differ.
    pub fn shared(image: Arc<RgbImage>, mask: Mask) -> Result<Example, Error> {
        let (of_mask, of_image) = (mask.size(), image.dimensions());
        if of_mask != of_image {
            return Err(Error::Usage(format!(
                "the mask is {} x {} pixels but its picture is {} x {}",
                of_mask.0, of_mask.1, of_image.0, of_image.1
            )));
        }
        Ok(Example { image, mask, name: None, notes: Vec::new(), warnings: Vec::new() })
    }

    /// The same, called `name` where a bank is written to a file.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Example {
        Example { name: Some(name.into()), ..self }
    }

    /// Reads both from files: the picture as [`open_image`](crate::open_image) does, the mask as
    /// [`load_mask_of`](crate::image_io::load_mask_of) where nothing is said of how it is meant.
    ///
    /// # Errors
    /// Whatever is wrong with a file, and sizes that differ.
    pub fn open(image: impl AsRef<Path>, mask: impl AsRef<Path>) -> Result<Example, Error> {
        let name = image.as_ref().file_name().map(|name| name.to_string_lossy().into_owned());
        let picture = image_io::load_rgb_with(image.as_ref(), &PictureOptions::default())?;
        let LoadedMask { mask, warnings } = image_io::load_mask_of(mask.as_ref(), &picture, MaskReading::default())?;
        Ok(Example { name, notes: picture.notes, warnings, ..Example::new(picture.rgb, mask)? })
    }

    pub fn image(&self) -> &RgbImage {
        &self.image
    }

    pub fn mask(&self) -> &Mask {
        &self.mask
    }

    /// What was done to read the picture.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// Why the mask is perhaps not what was meant.
    pub fn warnings(&self) -> &[MaskWarning] {
        &self.warnings
    }

    /// As a network for squares of `size` sees it.
    pub(super) fn at(&self, size: u32, framing: Framing) -> Source {
        let (image, mask) = (framing.picture(&self.image, size), framing.mask(&self.mask, size));
        // A small copy of what was squashed gets its shape back; what was padded or cropped has kept it.
        let shape = if framing == Framing::Squash { self.image.dimensions() } else { (size, size) };
        Source::Example { image, mask, name: self.name.clone(), shape }
    }
}

/// What a part of a bank is made of.
pub(super) enum Source {
    /// One example as the network sees it, and its picture's width and height.
    Example { image: RgbImage, mask: Mask, name: Option<String>, shape: (u32, u32) },
    /// Some, encoded before.
    File(BankFile),
}

impl Source {
    pub fn shots(&self) -> usize {
        match self {
            Source::Example { .. } => 1,
            Source::File(file) => file.shots(),
        }
    }
}

/// Keys and values of examples, on the device: computed once, read by any number of queries. It is of the segmenter that made
/// it, and no other can read it.
pub struct SupportBank {
    /// Of the segmenter.
    pub(super) mark: Arc<()>,
    /// Of what, in words.
    pub(super) of: String,
    /// Of what it was made: it may have to be once more, in f32, and it may be written to a file.
    pub(super) sources: Vec<Source>,
    pub(super) kept: Arc<Mutex<Kept>>,
    pub(super) times: Vec<(Stage, f64)>,
    pub(super) spans: Vec<Span>,
    pub(super) precision: Precision,
    pub(super) overflow: Option<Error>,
}

/// A bank's keys, by the precision of the model that they were made with.
#[derive(Default)]
pub(super) struct Kept {
    pub first: Option<Arc<Keys>>,
    pub full: Option<Arc<Keys>>,
}

/// Takes a lock, also from a thread that panicked: what it holds is whole after each step.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SupportBank {
    /// Number of examples.
    pub fn shots(&self) -> usize {
        self.sources.iter().map(Source::shots).sum()
    }

    /// Seconds that each stage took, summed over the examples; with those of a second try in f32.
    pub fn times(&self) -> &[(Stage, f64)] {
        &self.times
    }

    /// When each of them ran, once for each time.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// What encoded the examples: [`Precision::F32`], [`Precision::F16`] or [`Precision::Q8`].
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Why half precision was not enough, where it was tried first.
    pub fn overflow(&self) -> Option<&Error> {
        self.overflow.as_ref()
    }

    /// What is said of it in a file, but for its model, and the small copies of its examples.
    pub(super) fn told(&self, about: About) -> Result<(About, Vec<Small>), Error> {
        let (mut examples, mut small) = (Vec::new(), Vec::new());
        for source in &self.sources {
            match source {
                Source::Example { image, mask, name, shape } => {
                    let name = name.clone().unwrap_or_else(|| format!("example {}", examples.len()));
                    examples.push(bank_file::name_of(&name));
                    small.push(Some(bank_file::small(image, mask, *shape)));
                }
                Source::File(file) => {
                    examples.extend_from_slice(file.examples());
                    for example in 0..file.shots() {
                        small.push(file.small(example)?);
                    }
                }
            }
        }
        Ok((About { examples, ..about }, small))
    }
}

/// A small copy of an example and its mask, where there is one.
pub(super) type Small = Option<(RgbImage, Mask)>;
