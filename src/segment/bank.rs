//! The bank: keys and values of supports.

use super::pass::{Bound, QueryEnds};
use super::run::Clock;
use super::{Progress, Segmenter, Stage};
use crate::Error;
use crate::image_io::{self, Mask, RgbImage};
use crate::plan::Tensor;

/// Keys and values of a support set, on the device: computed once, read by any number of queries.
pub struct SupportBank {
    shots: usize,
    /// The query pass, bound to this bank.
    pub(super) query: Bound<QueryEnds<Tensor>>,
    times: Vec<(Stage, f64)>,
}

impl SupportBank {
    /// Number of supports.
    pub fn shots(&self) -> usize {
        self.shots
    }

    /// Seconds that each stage took, summed over the supports.
    pub fn times(&self) -> &[(Stage, f64)] {
        &self.times
    }
}

impl Segmenter {
    /// The bank of one or more supports, each a picture and its mask (of the picture's size).
    ///
    /// # Errors
    /// No support at all, sizes that differ, or whatever the device reports.
    pub fn encode_support(&self, supports: &[(RgbImage, Mask)], progress: Progress) -> Result<SupportBank, Error> {
        if supports.is_empty() {
            return Err(Error::Usage("at least one support is needed".into()));
        }
        let shots = supports.len();
        let one = &self.passes.support.ends.bank;
        self.recipe().check_bank(one, shots)?;
        let query = if shots == self.shots {
            self.passes.query.bind(&self.gpu, &self.arena, &self.constants)?
        } else {
            self.recipe().query(one, shots, &mut |_, _| {})?.bind(&self.gpu, &self.arena, &self.constants)?
        };
        let mut clock = Clock::default();
        for (i, (image, mask)) in supports.iter().enumerate() {
            if mask.size() != image.dimensions() {
                return Err(Error::Usage(format!("support {}: the mask is not of the picture's size", i + 1)));
            }
            let share = |part: f64| (i as f64 + part) / shots as f64;
            let picture = image_io::to_model_input(&image_io::resize_bilinear_rgb(image, self.size, self.size));
            let mask = image_io::mask_to_model_input(&image_io::resize_nearest_mask(mask, self.size, self.size));
            let ends = &self.support.ends;
            for (pixels, latent, first) in [(&picture, &ends.image, 0.0), (&mask, &ends.mask, 0.5)] {
                clock.time(Stage::EncodeSupport, || {
                    let stage = Stage::EncodeSupport;
                    self.encode(pixels, latent, &mut |p| progress(stage, share(first + p / 2.0)))?;
                    // Looked at here, once: many queries will read the bank.
                    match self.is_finite(latent)? {
                        true => Ok(()),
                        false => Err(Error::NotFinite { stage, storage: self.storage }),
                    }
                })?;
            }
            clock.time(Stage::Support, || {
                self.gpu.run(&self.support.plan, &mut |p| progress(Stage::Support, share(p)))?;
                for (from, to) in ends.bank.iter().zip(&query.ends.bank) {
                    self.gpu.hand_over(from, to, i as u64)?;
                }
                Ok(())
            })?;
        }
        Ok(SupportBank { shots, query, times: clock.0 })
    }
}
