//! Pictures of a run of `infer`: its supports, and its queries as the network sees them.

use super::super::report::Support;
use super::super::tell;
use super::Args;
use diffews_wgpu::image_io::{self, RgbImage};
use std::path::{Path, PathBuf};

/// All supports with their masks.
pub fn supports(args: &Args) -> anyhow::Result<Vec<Support>> {
    let read = |(image, mask): (&PathBuf, &PathBuf)| {
        let rgb = image_io::load_rgb(image)?;
        let loaded = image_io::load_mask(mask, rgb.dimensions())?;
        if let Some(warning) = loaded.warning {
            tell(&format!("warning: {}: {warning}", mask.display()));
        }
        Ok(Support { image: image.clone(), mask: mask.clone(), data: (rgb, loaded.mask) })
    };
    args.support.iter().zip(&args.mask).map(read).collect()
}

/// One query's picture.
pub fn query(_args: &Args, path: &Path) -> anyhow::Result<RgbImage> {
    Ok(image_io::load_rgb(path)?)
}

/// A query for the GPU's thread.
pub struct Loaded {
    /// As the network sees it.
    pub small: RgbImage,
    /// (width, height) as displayed.
    pub size: (u32, u32),
    /// As it is, where something is painted over it.
    pub whole: Option<RgbImage>,
}

impl Loaded {
    pub fn new(rgb: RgbImage, side: u32, keep: bool) -> Loaded {
        let small = image_io::resize_bilinear_rgb(&rgb, side, side);
        Loaded { small, size: rgb.dimensions(), whole: keep.then_some(rgb) }
    }
}
