//! Examples, and the bank made from them.

use super::bank_file::{self, About};
use super::loaded::Keys;
use super::{BankFile, Precision, Span, Stage};
use crate::Error;
use crate::image_io::{
    self, Framing, LoadedMask, Mask, MaskReading, MaskWarning, Note, PictureOptions, Region, RgbImage,
};
use std::borrow::Cow;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A picture and the mask of the thing to find.
#[derive(Clone, Debug)]
pub struct Example {
    image: Arc<RgbImage>,
    mask: Held,
    name: Option<String>,
    notes: Vec<Note>,
    warnings: Vec<MaskWarning>,
}

/// A mask as it takes the least memory: one label map may make hundreds of examples, whose runs are no more than its pixels all together.
#[derive(Clone, Debug)]
enum Held {
    Pixels(Mask),
    Runs(Region),
}

impl Held {
    fn of(mask: Mask) -> Held {
        let region = Region::of(&mask);
        match size_of_val(region.runs()) < mask.foreground().len() {
            true => Held::Runs(region),
            false => Held::Pixels(mask),
        }
    }
}

impl Example {
    /// An example of a picture and a mask of the same size.
    ///
    /// # Errors
    /// Different sizes.
    pub fn new(image: RgbImage, mask: Mask) -> Result<Example, Error> {
        Example::shared(Arc::new(image), mask)
    }

    /// The same for a picture that is an example of several classes, each with its own mask.
    ///
    /// # Errors
    /// Different sizes.
    pub fn shared(image: Arc<RgbImage>, mask: Mask) -> Result<Example, Error> {
        let (of_mask, of_image) = (mask.size(), image.dimensions());
        if of_mask != of_image {
            return Err(Error::Usage(format!(
                "the mask is {} x {} pixels but its picture is {} x {}",
                of_mask.0, of_mask.1, of_image.0, of_image.1
            )));
        }
        Ok(Example { image, mask: Held::of(mask), name: None, notes: Vec::new(), warnings: Vec::new() })
    }

    /// Sets the example's name in bank files.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Example {
        Example { name: Some(name.into()), ..self }
    }

    /// Reads both from files: the picture as [`open_image`](crate::open_image) does, the mask as
    /// [`load_mask_of`](crate::image_io::load_mask_of) does by default.
    ///
    /// # Errors
    /// A file that cannot be read or is invalid; different sizes.
    pub fn open(image: impl AsRef<Path>, mask: impl AsRef<Path>) -> Result<Example, Error> {
        let name = image.as_ref().file_name().map(|name| name.to_string_lossy().into_owned());
        let picture = image_io::load_rgb_with(image.as_ref(), &PictureOptions::default())?;
        let LoadedMask { mask, warnings } = image_io::load_mask_of(mask.as_ref(), &picture, MaskReading::default())?;
        Ok(Example { name, notes: picture.notes, warnings, ..Example::new(picture.rgb, mask)? })
    }

    pub fn image(&self) -> &RgbImage {
        &self.image
    }

    /// Of the picture's size.
    pub fn mask(&self) -> Cow<'_, Mask> {
        match &self.mask {
            Held::Pixels(mask) => Cow::Borrowed(mask),
            Held::Runs(region) => Cow::Owned(region.mask()),
        }
    }

    /// How the picture was read.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// Warnings that the mask may be wrong.
    pub fn warnings(&self) -> &[MaskWarning] {
        &self.warnings
    }

    /// The example at the network's `size`.
    pub(super) fn at(&self, size: u32, framing: Framing) -> Source {
        let (image, mask) = (framing.picture(&self.image, size), framing.mask(&self.mask(), size));
        // A small copy of what was squashed gets its shape back; what was padded or cropped has kept it.
        let shape = if framing == Framing::Squash { self.image.dimensions() } else { (size, size) };
        Source::Example { image, mask, name: self.name.clone(), shape }
    }
}

/// The source of a part of a bank.
pub(super) enum Source {
    /// An example at the network's size, and its picture's width and height.
    Example { image: RgbImage, mask: Mask, name: Option<String>, shape: (u32, u32) },
    /// Examples of a bank file.
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

/// Keys and values of examples on the device: computed once, read by any number of queries. Only the segmenter that made
/// it can read it.
pub struct SupportBank {
    /// Identifies the segmenter.
    pub(super) mark: Arc<()>,
    /// Description of the segmenter, for messages.
    pub(super) of: String,
    /// Its sources: it may have to be computed again in f32, and may be written to a file.
    pub(super) sources: Vec<Source>,
    pub(super) kept: Arc<Mutex<Kept>>,
    pub(super) times: Vec<(Stage, f64)>,
    pub(super) spans: Vec<Span>,
    pub(super) precision: Precision,
    pub(super) overflow: Option<Error>,
}

/// A bank's keys, by the precision of the model that computed them.
#[derive(Default)]
pub(super) struct Kept {
    pub first: Option<Arc<Keys>>,
    pub full: Option<Arc<Keys>>,
}

/// Takes a lock even after a panic: its content is consistent after each step.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SupportBank {
    /// Number of examples.
    pub fn shots(&self) -> usize {
        self.sources.iter().map(Source::shots).sum()
    }

    /// Seconds of each stage, summed over the examples, including a second run in f32.
    pub fn times(&self) -> &[(Stage, f64)] {
        &self.times
    }

    /// When each stage ran, one span for each run.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// The precision that the examples were encoded in: [`Precision::F32`], [`Precision::F16`] or [`Precision::Q8`].
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The overflow, if half precision was tried first and was not enough.
    pub fn overflow(&self) -> Option<&Error> {
        self.overflow.as_ref()
    }

    /// Its description for a file, without the model, and the small copies of its examples.
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

/// A small copy of an example and its mask, if there is one.
pub(super) type Small = Option<(RgbImage, Mask)>;

#[cfg(test)]
mod tests {
    use super::*;

    /// A label map of 253 classes, whose masks would be 253 bytes a pixel.
    #[test]
    fn masks_of_many_classes_take_little_memory() {
        let (side, image) = (400_u32, Arc::new(RgbImage::new(400, 400)));
        let label = |i: u32| (i % side / 25 + i / side / 25 * 16) % 253;
        let bytes = |label_of: &dyn Fn(u32) -> u32| -> usize {
            let mut bytes = 0;
            for class in 0..253 {
                let mask = Mask::new(side, side, (0..side * side).map(|i| label_of(i) == class).collect()).unwrap();
                let example = Example::shared(image.clone(), mask.clone()).unwrap();
                assert_eq!(*example.mask(), mask);
                bytes += match &example.mask {
                    Held::Pixels(mask) => mask.foreground().len(),
                    Held::Runs(region) => size_of_val(region.runs()),
                };
            }
            bytes
        };
        let pixels = (side * side) as usize;
        assert!(bytes(&label) < pixels, "areas");
        // Noise: each pixel is a run of 12 bytes.
        let mut rng = fastrand::Rng::with_seed(30);
        let noise: Vec<u32> = (0..pixels).map(|_| rng.u32(0..253)).collect();
        assert!(bytes(&|i| noise[i as usize]) <= 12 * pixels, "noise");
        // One mask of noise is kept as it is.
        let mask = Mask::new(side, side, (0..pixels).map(|_| rng.bool()).collect()).unwrap();
        assert!(matches!(Held::of(mask), Held::Pixels(_)));
    }
}
