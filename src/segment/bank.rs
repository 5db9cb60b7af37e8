//! Examples, and the bank of what was made of them.

use super::loaded::Keys;
use super::{Precision, Span, Stage};
use crate::Error;
use crate::image_io::{self, LoadedMask, Mask, MaskReading, MaskWarning, Note, PictureOptions, RgbImage};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A picture, and the mask of what is to be found in others.
#[derive(Clone, Debug)]
pub struct Example {
    image: RgbImage,
    mask: Mask,
    notes: Vec<Note>,
    warnings: Vec<MaskWarning>,
}

impl Example {
    /// An example of a picture and a mask of its size.
    ///
    /// # Errors
    /// Sizes that differ.
    pub fn new(image: RgbImage, mask: Mask) -> Result<Example, Error> {
        let (of_mask, of_image) = (mask.size(), image.dimensions());
        if of_mask != of_image {
            return Err(Error::Usage(format!(
                "the mask is {} x {} pixels but its picture is {} x {}",
                of_mask.0, of_mask.1, of_image.0, of_image.1
            )));
        }
        Ok(Example { image, mask, notes: Vec::new(), warnings: Vec::new() })
    }

    /// Reads both from files: the picture as [`open_image`](crate::open_image) does, the mask as
    /// [`load_mask_of`](crate::image_io::load_mask_of) where nothing is said of how it is meant.
    ///
    /// # Errors
    /// Whatever is wrong with a file, and sizes that differ.
    pub fn open(image: impl AsRef<Path>, mask: impl AsRef<Path>) -> Result<Example, Error> {
        let picture = image_io::load_rgb_with(image.as_ref(), &PictureOptions::default())?;
        let LoadedMask { mask, warnings } = image_io::load_mask_of(mask.as_ref(), &picture, MaskReading::default())?;
        Ok(Example { notes: picture.notes, warnings, ..Example::new(picture.rgb, mask)? })
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
    pub(super) fn at(&self, size: u32) -> (RgbImage, Mask) {
        let image = image_io::resize_bilinear_rgb(&self.image, size, size);
        (image, image_io::resize_nearest_mask(&self.mask, size, size))
    }
}

/// Keys and values of examples, on the device: computed once, read by any number of queries. It is of the segmenter that made
/// it, and no other can read it.
pub struct SupportBank {
    /// Of the segmenter.
    pub(super) mark: Arc<()>,
    /// Of what, in words.
    pub(super) of: String,
    pub(super) shots: usize,
    /// The examples as the network sees them, where they may have to be encoded once more.
    pub(super) pictures: Vec<(RgbImage, Mask)>,
    pub(super) kept: Arc<Mutex<Kept>>,
    pub(super) times: Vec<(Stage, f64)>,
    pub(super) spans: Vec<Span>,
    pub(super) precision: Precision,
    pub(super) overflow: Option<Error>,
}

/// A bank's keys, by the precision of the model that they were made with.
#[derive(Default)]
pub(super) struct Kept {
    pub first: Option<Keys>,
    pub full: Option<Keys>,
}

/// Takes a lock, also from a thread that panicked: what it holds is whole after each step.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SupportBank {
    /// Number of examples.
    pub fn shots(&self) -> usize {
        self.shots
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
}
