//! Queries of a run of `infer` as the network sees them.

use super::super::job::Job;
use super::super::list::Input;
use super::claim::Claim;
use diffews_wgpu::image_io::{self, GeoTags, LoadedPicture, Note, PictureOptions, RgbImage};

/// One query's picture; `input` is standard input, should it be that.
pub fn query(options: &PictureOptions, job: &Job, input: &Input) -> anyhow::Result<LoadedPicture> {
    if image_io::is_standard(&job.query) {
        return Ok(image_io::load_rgb_from(input.whole(), &job.query, options)?);
    }
    if job.listed {
        image_io::check_ordinary(&job.query)?;
    }
    Ok(image_io::load_rgb_with(&job.query, options)?)
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
    /// As the network sees it, or where tiles are cut, as it is.
    pub small: RgbImage,
    /// (width, height) as displayed.
    pub size: (u32, u32),
    /// As it is, where something is painted over it.
    pub whole: Option<RgbImage>,
    /// Where it lies on a map, if its file says that.
    pub place: Option<GeoTags>,
    /// What is to be told.
    pub notes: Vec<Note>,
    /// Held until its results are written.
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
