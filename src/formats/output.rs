//! Writes results in a format chosen by name.

use super::coco::{CocoFile, CocoResultsFile};
use super::geojson::Georeference;
use super::label_studio::{LabelStudioFile, Labeling};
use super::{Category, FormatError, Picture, Tolerance, geojson, geotiff, labelme, npz, yolo};
use crate::image_io::{GeoTags, Prediction, write_mask, write_whole};
use crate::shown;
use std::path::{Path, PathBuf};

/// A format of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A mask for each picture; with classes a label map.
    Png,
    /// The same as TIFF, with the picture's georeference.
    Tiff,
    /// COCO instances: one file for all pictures.
    Coco,
    /// COCO results: one file for all pictures.
    CocoResults,
    /// A .txt for each picture.
    Yolo,
    /// A .json for each picture.
    Labelme,
    /// Label Studio's tasks: one file for all pictures.
    LabelStudio,
    /// A palette PNG of class numbers for each picture.
    LabelMap,
    /// A .npz of maps for each picture.
    Npz,
    /// A .geojson for each picture.
    Geojson,
}

impl Format {
    pub const ALL: [Format; 10] = [
        Format::Png,
        Format::Tiff,
        Format::Coco,
        Format::CocoResults,
        Format::Yolo,
        Format::Labelme,
        Format::LabelStudio,
        Format::LabelMap,
        Format::Npz,
        Format::Geojson,
    ];

    /// Its name in commands.
    pub fn name(self) -> &'static str {
        match self {
            Format::Png => "png",
            Format::Tiff => "tiff",
            Format::Coco => "coco",
            Format::CocoResults => "coco-results",
            Format::Yolo => "yolo",
            Format::Labelme => "labelme",
            Format::LabelStudio => "labelstudio",
            Format::LabelMap => "labelmap",
            Format::Npz => "npz",
            Format::Geojson => "geojson",
        }
    }

    /// The format of this name.
    pub fn named(name: &str) -> Option<Format> {
        Format::ALL.into_iter().find(|format| format.name() == name)
    }

    /// Whether all pictures share one file.
    pub fn is_of_run(self) -> bool {
        matches!(self, Format::Coco | Format::CocoResults | Format::LabelStudio)
    }

    /// Whether a result is an image: a mask or a label map.
    pub fn is_picture(self) -> bool {
        matches!(self, Format::Png | Format::LabelMap | Format::Tiff)
    }

    /// The extension of results, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Format::Png | Format::LabelMap => "png",
            Format::Tiff => "tif",
            Format::Yolo => "txt",
            Format::Npz => "npz",
            Format::Geojson => "geojson",
            Format::Coco | Format::CocoResults | Format::Labelme | Format::LabelStudio => "json",
        }
    }

    /// Numbers the classes from 1, in order. Without names there is one class, "object".
    ///
    /// # Errors
    /// A name that the format cannot hold.
    pub fn categories(self, names: &[String]) -> Result<Vec<Category>, FormatError> {
        let names: Vec<String> = if names.is_empty() { vec!["object".into()] } else { names.to_vec() };
        if self == Format::Npz {
            npz::check_names(names.iter().map(String::as_str))?;
        }
        Ok((1..).zip(names).map(|(id, name)| Category { id, name }).collect())
    }

    /// Writes a mask or a label map as a picture.
    ///
    /// # Errors
    /// As [`write_mask`].
    pub fn write_picture(
        self,
        path: &Path,
        found: &Prediction,
        place: Option<&GeoTags>,
        force: bool,
    ) -> Result<(), FormatError> {
        match (self, found) {
            (Format::Tiff, Prediction::Mask { mask, .. }) => {
                let bytes: Vec<u8> = mask.foreground().iter().map(|&f| if f { 255 } else { 0 }).collect();
                geotiff::save(path, &bytes, mask.size(), place, force)
            }
            (Format::Tiff, Prediction::Labels { labels, .. }) => {
                geotiff::save(path, labels.labels(), labels.size(), place, force)
            }
            (_, Prediction::Mask { mask, .. }) => Ok(write_mask(path, mask, force)?),
            (_, Prediction::Labels { labels, .. }) => Ok(labels.write(path, force)?),
        }
    }
}

/// How results are written.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    pub format: Format,
    /// Largest distance of polygons from outlines. Without it COCO gets runs, and other formats get every corner.
    pub tolerance: Option<Tolerance>,
}

impl Output {
    fn polygons(&self) -> Tolerance {
        self.tolerance.unwrap_or(Tolerance::EXACT)
    }

    /// Creates the shared file of a run, for formats that have one.
    ///
    /// # Errors
    /// A path where no file can be written.
    pub fn begin(&self, path: &Path, force: bool, classes: &[Category]) -> Result<SharedFile, FormatError> {
        Ok(match self.format {
            Format::CocoResults => SharedFile::Results(CocoResultsFile::create(path, force)?),
            Format::LabelStudio => SharedFile::LabelStudio(LabelStudioFile::create(path, force, &Labeling::default())?),
            _ => SharedFile::Coco(CocoFile::create(path, force, classes, self.tolerance)?),
        })
    }

    /// The path and text of the file with the names of classes, for formats whose results hold only numbers. None if the same file exists
    /// already.
    ///
    /// # Errors
    /// A name that the format cannot hold.
    pub fn names_file(&self, folder: &Path, classes: &[Category]) -> Result<Option<(PathBuf, String)>, FormatError> {
        if self.format != Format::Yolo {
            return Ok(None);
        }
        let (path, text) = (folder.join("classes.txt"), yolo::classes(classes)?);
        let same = std::fs::read(&path).is_ok_and(|there| there == text.as_bytes());
        Ok((!same).then_some((path, text)))
    }

    /// Writes a picture's objects to their own file, in a format that is neither an image nor shared by a run. Only npz needs `found`, for
    /// its maps.
    ///
    /// # Errors
    /// Values that the format cannot hold, and I/O errors.
    pub fn write(
        &self,
        path: &Path,
        picture: &Picture,
        (classes, found): (&[Category], Option<&Prediction>),
        place: Option<&GeoTags>,
        force: bool,
    ) -> Result<(), FormatError> {
        let text = match self.format {
            Format::Yolo => yolo::labels(picture, classes, self.polygons())?,
            Format::Labelme => labelme::json(picture, self.polygons()),
            Format::Geojson => {
                let place = georeference(place).map_err(|error| FormatError::Place {
                    file: shown::text(picture.file_name()),
                    reason: error.to_string(),
                })?;
                geojson::feature_collection(picture, self.polygons(), place.as_ref())
            }
            _ => {
                let (width, height) = picture.size();
                let maps: Vec<Vec<f32>> =
                    found.iter().flat_map(|found| found.maps()).map(|map| map.map_at(width, height)).collect();
                let named: Vec<(&str, &[f32])> =
                    classes.iter().zip(&maps).map(|(class, map)| (class.name.as_str(), map.as_slice())).collect();
                return npz::save(path, &named, picture.size(), force);
            }
        };
        Ok(write_whole(path, text.as_bytes(), force)?)
    }
}

/// The georeference, if one affine transformation gives it.
fn georeference(place: Option<&GeoTags>) -> Result<Option<Georeference>, FormatError> {
    let Some((place, affine)) = place.and_then(|place| Some((place, place.affine()?))) else { return Ok(None) };
    let crs = place.epsg().map(|number| format!("urn:ogc:def:crs:EPSG::{number}"));
    Georeference::new(affine, crs.as_deref()).map(Some)
}

/// The shared file of a run.
pub enum SharedFile {
    Coco(CocoFile),
    Results(CocoResultsFile),
    LabelStudio(LabelStudioFile),
}

impl SharedFile {
    /// Adds a picture.
    ///
    /// # Errors
    /// Values that the format cannot hold, and I/O errors.
    pub fn add(&mut self, picture: &Picture) -> Result<(), FormatError> {
        match self {
            SharedFile::Coco(file) => file.add(picture),
            SharedFile::Results(file) => file.add(picture),
            SharedFile::LabelStudio(file) => file.add(picture),
        }
    }

    /// Completes the file.
    ///
    /// # Errors
    /// I/O errors.
    pub fn finish(self) -> Result<(), FormatError> {
        match self {
            SharedFile::Coco(file) => file.finish(),
            SharedFile::Results(file) => file.finish(),
            SharedFile::LabelStudio(file) => file.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_have_names() {
        for format in Format::ALL {
            assert_eq!(Format::named(format.name()), Some(format));
            assert!(!(format.is_of_run() && format.is_picture()));
        }
        assert_eq!(Format::named("bmp"), None);
        assert_eq!(Format::Npz.categories(&[]).unwrap()[0], Category { id: 1, name: "object".into() });
        assert!(Format::Npz.categories(&["a/b".into()]).is_err() && Format::Coco.categories(&["a/b".into()]).is_ok());
    }
}
