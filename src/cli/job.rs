//! A query and its files.

use super::progress;
use diffews_wgpu::formats::FormatError;
use diffews_wgpu::image_io::{self, DecodedMap, ImageError, Prediction, RgbImage};
use std::path::{Path, PathBuf};

/// One query and its files.
#[derive(Debug)]
pub struct Job {
    pub query: PathBuf,
    /// Path within the searched folder, and of results within theirs.
    pub below: PathBuf,
    /// Named by a folder or a list, not by the user: it may have changed since.
    pub listed: bool,
    /// The mask, the label map of several classes, or a file of another format; `None` if all queries share one.
    pub result: Option<PathBuf>,
    pub overlay: Option<PathBuf>,
    pub probability: Option<PathBuf>,
    /// Files of each named class.
    pub classes: Vec<ClassFiles>,
}

/// Files of a class.
#[derive(Debug)]
pub struct ClassFiles {
    pub mask: Option<PathBuf>,
    pub probability: Option<PathBuf>,
}

/// What may happen to files that exist.
#[derive(Clone, Copy)]
pub struct Existing {
    /// Replace them.
    pub force: bool,
    /// Keep them: they are equal to ours.
    pub keep: bool,
}

impl Job {
    /// A job for a query that will not be run.
    pub fn without_files(query: PathBuf) -> Job {
        Job {
            query,
            below: PathBuf::new(),
            listed: true,
            result: None,
            overlay: None,
            probability: None,
            classes: Vec::new(),
        }
    }

    /// All files that the job reads or writes.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.outputs().chain([self.query.as_path()])
    }

    pub fn outputs(&self) -> impl Iterator<Item = &Path> {
        let all = [self.result.as_ref(), self.overlay.as_ref()].into_iter().flatten();
        let masks = self.classes.iter().filter_map(|class| class.mask.as_ref());
        all.chain(masks).chain(self.probabilities()).map(PathBuf::as_path)
    }

    pub fn probabilities(&self) -> impl Iterator<Item = &PathBuf> {
        self.probability.iter().chain(self.classes.iter().filter_map(|class| class.probability.as_ref()))
    }

    /// Whether all files of the result exist.
    pub fn is_done(&self) -> bool {
        self.outputs().all(Path::exists)
    }

    /// A file of the result that exists.
    pub fn begun(&self) -> Option<&Path> {
        self.outputs().find(|output| output.exists())
    }

    /// Writes all files of the prediction atomically; false if none had to be written. An overlay needs `rgb`; `result` writes the main
    /// file, replacing another one or not.
    pub fn write(
        &self,
        rgb: Option<&RgbImage>,
        found: &Prediction,
        size: (u32, u32),
        existing: Existing,
        result: &dyn Fn(&Path, bool) -> Result<(), FormatError>,
    ) -> Result<bool, FormatError> {
        let Existing { force, keep } = existing;
        let _writing = progress::writing();
        let mut any = false;
        let mut settle = |written: Result<(), FormatError>| match written {
            Err(FormatError::Image(ImageError::Exists { .. })) if keep => Ok(()),
            other => other.map(|()| any = true),
        };
        if let Some(path) = &self.result {
            settle(result(path, force))?;
        }
        if let (Some(path), Some(rgb)) = (&self.overlay, rgb) {
            settle(
                found.painted(rgb).and_then(|painted| image_io::write_rgb(path, &painted, force)).map_err(Into::into),
            )?;
        }
        match found {
            Prediction::Mask { map, .. } => {
                if let Some(path) = &self.probability {
                    settle(write_probability(path, map, size, force).map_err(Into::into))?;
                }
            }
            Prediction::Labels { labels, maps } => {
                // A label map of one class without a name.
                if let (Some(path), Some(map)) = (&self.probability, maps.first()) {
                    settle(write_probability(path, map, size, force).map_err(Into::into))?;
                }
                for (label, (class, map)) in (1..=255).zip(self.classes.iter().zip(maps)) {
                    if let Some(path) = &class.mask {
                        settle(image_io::write_mask(path, &labels.mask(label), force).map_err(Into::into))?;
                    }
                    if let Some(path) = &class.probability {
                        settle(write_probability(path, map, size, force).map_err(Into::into))?;
                    }
                }
            }
        }
        Ok(any)
    }
}

fn write_probability(path: &Path, map: &DecodedMap, size: (u32, u32), force: bool) -> Result<(), ImageError> {
    if is_npy(path) {
        return image_io::write_probability_npy(path, &map.map(), (map.width(), map.height()), force);
    }
    image_io::write_probability_png(path, &map.map_at(size.0, size.1), size, force)
}

pub fn is_npy(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("npy"))
}

/// Whether a result is a mask or a label map.
pub fn is_picture(path: &Path) -> bool {
    is_png(path) || path.extension().is_some_and(|e| e.eq_ignore_ascii_case("tif"))
}

pub fn is_png(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("png"))
}
