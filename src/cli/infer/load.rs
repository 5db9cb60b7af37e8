//! Pictures of a run of `infer`: its supports, and its queries as the network sees them.

use super::super::mask_file::tell_of;
use super::super::output::Job;
use super::super::report::Support;
use super::Args;
use super::claim::Claim;
use diffews_wgpu::image_io::{self, RgbImage};
use std::path::PathBuf;

/// All supports with their masks.
pub fn supports(args: &Args) -> anyhow::Result<Vec<Support>> {
    let read = |(image, mask): (&PathBuf, &PathBuf)| {
        let picture = image_io::load_picture(image)?;
        let loaded = image_io::load_mask_of(mask, &picture, args.mask_file.reading())?;
        tell_of(mask, &loaded.warnings, args.quiet);
        Ok(Support { image: image.clone(), mask: mask.clone(), data: (picture.rgb, loaded.mask) })
    };
    args.support.iter().zip(&args.mask).map(read).collect()
}

/// One query's picture.
pub fn query(_args: &Args, job: &Job) -> anyhow::Result<RgbImage> {
    if job.listed {
        image_io::check_ordinary(&job.query)?;
    }
    Ok(image_io::load_rgb(&job.query)?)
}

/// What there is to do for a query.
pub enum Ready {
    Picture(Loaded),
    /// Nothing: another run has done it.
    There,
    /// Nothing now: another run is at it.
    Busy,
}

/// A query for the GPU's thread.
pub struct Loaded {
    /// As the network sees it.
    pub small: RgbImage,
    /// (width, height) as displayed.
    pub size: (u32, u32),
    /// As it is, where something is painted over it.
    pub whole: Option<RgbImage>,
    /// Held until its results are written.
    _claim: Option<Claim>,
}

impl Loaded {
    pub fn new(rgb: RgbImage, side: u32, keep: bool, claim: Option<Claim>) -> Loaded {
        let small = image_io::resize_bilinear_rgb(&rgb, side, side);
        Loaded { small, size: rgb.dimensions(), whole: keep.then_some(rgb), _claim: claim }
    }

    pub fn pixels(&self) -> u64 {
        u64::from(self.size.0) * u64::from(self.size.1)
    }
}
