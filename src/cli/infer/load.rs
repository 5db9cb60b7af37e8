//! Reading queries and scaling them to the network's size.

use super::super::job::Job;
use super::super::list::Input;
use super::claim::Claim;
use diffews_wgpu::image_io::{self, GeoTags, LoadedPicture, Note, PictureOptions, RgbImage};

/// A query's picture, from its file or from standard input.
pub fn query(options: &PictureOptions, job: &Job, input: &Input) -> anyhow::Result<LoadedPicture> {
    if image_io::is_standard(&job.query) {
        return Ok(image_io::load_rgb_from(input.whole(), &job.query, options)?);
    }
    if job.listed {
        image_io::check_ordinary(&job.query)?;
    }
    Ok(image_io::load_rgb_with(&job.query, options)?)
}

/// The state of a query after reading.
pub enum Ready {
    Picture(Loaded),
    /// Another run has finished it.
    There,
    /// Another run is working on it.
    Busy,
}

/// A query for the GPU's thread.
pub struct Loaded {
    /// At the network's size, or full size if tiles are cut.
    pub small: RgbImage,
    /// (width, height) as displayed.
    pub size: (u32, u32),
    /// At full size, if an overlay or drawing needs it.
    pub whole: Option<RgbImage>,
    /// Its georeference, if the file has one.
    pub place: Option<GeoTags>,
    /// Notes on how it was read.
    pub notes: Vec<Note>,
    /// Held until the results are written.
    _claim: Option<Claim>,
}

impl Loaded {
    pub fn new(picture: LoadedPicture, small: Option<RgbImage>, keep: bool, claim: Option<Claim>) -> Loaded {
        let LoadedPicture { rgb, notes, place, .. } = picture;
        let size = rgb.dimensions();
        let (small, whole) = match (small, keep) {
            (Some(small), true) => (small, Some(rgb)),
            (Some(small), false) => (small, None),
            (None, true) => (rgb.clone(), Some(rgb)),
            (None, false) => (rgb, None),
        };
        Loaded { small, size, whole, place, notes, _claim: claim }
    }

    pub fn pixels(&self) -> u64 {
        u64::from(self.size.0) * u64::from(self.size.1)
    }
}
