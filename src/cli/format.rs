//! The format of results, and which objects they hold.

use super::errors::usage;
use super::job::Prediction;
use clap::ValueEnum;
use diffews_wgpu::formats::coco::{CocoFile, CocoResultsFile};
use diffews_wgpu::formats::geojson::Georeference;
use diffews_wgpu::formats::label_studio::{LabelStudioFile, Labeling};
use diffews_wgpu::formats::{
    Category, FormatError, Instance, Picture, Tolerance, geojson, geotiff, labelme, npz, yolo,
};
use diffews_wgpu::image_io::{self, GeoTags, Object, ObjectOptions, write_whole};
use diffews_wgpu::shown;
use std::path::{Path, PathBuf};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A white-on-black mask for each query; with classes a label map
    Png,
    /// The same as .tif, with the query's georeference (GeoTIFF)
    Tiff,
    /// COCO instances: one file for all queries
    Coco,
    /// COCO results, with scores: one file for all queries
    CocoResults,
    /// YOLO segmentation: a .txt for each query, and classes.txt where --output is a folder
    Yolo,
    /// A .json for each query
    Labelme,
    /// Label Studio tasks with brush predictions: one file for all queries
    Labelstudio,
    /// A palette PNG of class numbers for each query
    Labelmap,
    /// The maps of all classes: a .npz for each query
    Npz,
    /// Polygons in pixels, or in map coordinates if the query is a GeoTIFF: a .geojson for each query
    Geojson,
}

/// How a result is written.
#[derive(clap::Args)]
#[command(next_help_heading = "Output")]
pub struct FormatArgs {
    /// Format of the results
    #[arg(long, value_enum, default_value = "png")]
    pub format: Format,
    /// Simplify polygons, which stay within this distance of the outline; without it COCO gets RLE, and other formats every corner
    #[arg(long, value_name = "PIXELS", value_parser = tolerance)]
    tolerance: Option<Tolerance>,
    /// Drop objects (connected components) of fewer pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 0)]
    min_area: u64,
    /// Fill holes in objects
    #[arg(long)]
    fill_holes: bool,
    /// Keep only the largest object of each class
    #[arg(long)]
    largest: bool,
}

impl FormatArgs {
    pub fn objects(&self) -> ObjectOptions {
        ObjectOptions { min_area: self.min_area, fill_holes: self.fill_holes, largest: self.largest }
    }

    fn tolerance(&self) -> Tolerance {
        self.tolerance.unwrap_or(Tolerance::EXACT)
    }

    /// Begins the file that all queries share.
    ///
    /// # Errors
    /// The file cannot be created.
    pub fn begin(&self, path: &Path, force: bool, classes: &[Category]) -> Result<RunFile, FormatError> {
        Ok(match self.format {
            Format::CocoResults => RunFile::Results(CocoResultsFile::create(path, force)?),
            Format::Labelstudio => RunFile::LabelStudio(LabelStudioFile::create(path, force, &Labeling::default())?),
            _ => RunFile::Coco(CocoFile::create(path, force, classes, self.tolerance)?),
        })
    }

    /// Writes the names of the classes to `classes.txt` in a folder of results, for formats whose files hold class numbers only.
    ///
    /// # Errors
    /// A different file of this name exists, or the format cannot hold a name.
    pub fn write_names(&self, folder: &Path, force: bool, classes: &[Category]) -> Result<(), FormatError> {
        match self.names_file(folder, classes)? {
            Some((path, text)) => Ok(write_whole(&path, text.as_bytes(), force)?),
            None => Ok(()),
        }
    }

    /// The path and content of `classes.txt`, unless it exists already.
    ///
    /// # Errors
    /// The format cannot hold a name.
    pub fn names_file(&self, folder: &Path, classes: &[Category]) -> Result<Option<(PathBuf, String)>, FormatError> {
        if self.format != Format::Yolo {
            return Ok(None);
        }
        let (path, text) = (folder.join("classes.txt"), yolo::classes(classes)?);
        let same = std::fs::read(&path).is_ok_and(|there| there == text.as_bytes());
        Ok((!same).then_some((path, text)))
    }

    /// Writes a query's prediction to its own file, in a format that is not a picture.
    ///
    /// # Errors
    /// The format cannot hold the prediction, or the file cannot be written.
    pub fn write(
        &self,
        path: &Path,
        picture: &Picture,
        (classes, found): (&[Category], &Prediction),
        place: Option<&GeoTags>,
        force: bool,
    ) -> Result<(), FormatError> {
        let text = match self.format {
            Format::Yolo => yolo::labels(picture, classes, self.tolerance())?,
            Format::Labelme => labelme::json(picture, self.tolerance()),
            Format::Geojson => {
                let place = georeference(place).map_err(|error| FormatError::Place {
                    file: shown::text(picture.file_name()),
                    reason: error.to_string(),
                })?;
                geojson::feature_collection(picture, self.tolerance(), place.as_ref())
            }
            _ => {
                let (width, height) = picture.size();
                let maps: Vec<Vec<f32>> = found.maps().iter().map(|map| map.map_at(width, height)).collect();
                let named: Vec<(&str, &[f32])> =
                    classes.iter().zip(&maps).map(|(class, map)| (class.name.as_str(), map.as_slice())).collect();
                return npz::save(path, &named, picture.size(), force);
            }
        };
        Ok(write_whole(path, text.as_bytes(), force)?)
    }
}

/// The georeference, if it is a single affine transformation.
fn georeference(place: Option<&GeoTags>) -> Result<Option<Georeference>, FormatError> {
    let Some((place, affine)) = place.and_then(|place| Some((place, place.affine()?))) else { return Ok(None) };
    let crs = place.epsg().map(|number| format!("urn:ogc:def:crs:EPSG::{number}"));
    Georeference::new(affine, crs.as_deref()).map(Some)
}

impl Format {
    /// Writes a mask or a label map as a picture.
    ///
    /// # Errors
    /// As [`image_io::write_mask`].
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
            (_, Prediction::Mask { mask, .. }) => Ok(image_io::write_mask(path, mask, force)?),
            (_, Prediction::Labels { labels, .. }) => Ok(labels.write(path, force)?),
        }
    }

    /// Whether all queries share one file.
    pub fn is_of_run(self) -> bool {
        matches!(self, Format::Coco | Format::CocoResults | Format::Labelstudio)
    }

    /// Whether a query's result is a picture, a mask or a label map.
    pub fn is_picture(self) -> bool {
        matches!(self, Format::Png | Format::Labelmap | Format::Tiff)
    }

    /// Extension of results, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Format::Png | Format::Labelmap => "png",
            Format::Tiff => "tif",
            Format::Yolo => "txt",
            Format::Npz => "npz",
            Format::Geojson => "geojson",
            Format::Coco | Format::CocoResults | Format::Labelme | Format::Labelstudio => "json",
        }
    }
}

/// The classes as categories, numbered from 1.
///
/// # Errors
/// The format cannot hold a name.
pub fn categories(format: Format, names: &[String]) -> anyhow::Result<Vec<Category>> {
    let names: Vec<String> = if names.is_empty() { vec!["object".into()] } else { names.to_vec() };
    if format == Format::Npz {
        npz::check_names(names.iter().map(String::as_str)).map_err(|error| usage(error.to_string()))?;
    }
    Ok((1..).zip(names).map(|(id, name)| Category { id, name }).collect())
}

/// A picture's objects for the formats, class by class.
pub fn picture(
    number: usize,
    query: &Path,
    size: (u32, u32),
    (classes, objects): (&[Category], &[Vec<Object>]),
) -> Result<Picture, FormatError> {
    let instance = |category: &Category, object: &Object| Instance {
        category: category.clone(),
        region: object.region.clone(),
        score: object.score.unwrap_or(1.0),
    };
    let of_class = |(category, objects): (&Category, &Vec<Object>)| -> Vec<Instance> {
        objects.iter().map(|object| instance(category, object)).collect()
    };
    let instances = classes.iter().zip(objects).flat_map(of_class).collect();
    Picture::new(number as u64 + 1, &query.to_string_lossy(), size, instances)
}

/// The file that all queries of a run share.
pub enum RunFile {
    Coco(CocoFile),
    Results(CocoResultsFile),
    LabelStudio(LabelStudioFile),
}

impl RunFile {
    pub fn add(&mut self, picture: &Picture) -> Result<(), FormatError> {
        match self {
            RunFile::Coco(file) => file.add(picture),
            RunFile::Results(file) => file.add(picture),
            RunFile::LabelStudio(file) => file.add(picture),
        }
    }

    pub fn finish(self) -> Result<(), FormatError> {
        match self {
            RunFile::Coco(file) => file.finish(),
            RunFile::Results(file) => file.finish(),
            RunFile::LabelStudio(file) => file.finish(),
        }
    }

    /// The file's name by default.
    pub fn default_path() -> PathBuf {
        "annotations.json".into()
    }
}

fn tolerance(text: &str) -> Result<Tolerance, String> {
    let pixels = text.parse().map_err(|_| "it must be a number of pixels from 0".to_string())?;
    Tolerance::new(pixels).map_err(|error| error.to_string())
}
