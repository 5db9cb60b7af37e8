//! The format of results, and which objects they hold.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use diffews_wgpu::formats::{Category, Format, FormatError, Output, Tolerance};
use diffews_wgpu::image_io::{ObjectOptions, write_whole};
use std::path::Path;

/// What the help says of each.
fn about(format: Format) -> &'static str {
    match format {
        Format::Png => "A white-on-black mask for each query; with classes a label map",
        Format::Tiff => "The same as .tif, with the query's georeference (GeoTIFF)",
        Format::Coco => "COCO instances: one file for all queries",
        Format::CocoResults => "COCO results, with scores: one file for all queries",
        Format::Yolo => "YOLO segmentation: a .txt for each query, and classes.txt where --output is a folder",
        Format::Labelme => "A .json for each query",
        Format::LabelStudio => "Label Studio tasks with brush predictions: one file for all queries",
        Format::LabelMap => "A palette PNG of class numbers for each query",
        Format::Npz => "The maps of all classes: a .npz for each query",
        Format::Geojson => {
            "Polygons in pixels, or in map coordinates if the query is a GeoTIFF: a .geojson for each query"
        }
    }
}

fn format() -> impl TypedValueParser<Value = Format> {
    let values = Format::ALL.map(|format| PossibleValue::new(format.name()).help(about(format)));
    PossibleValuesParser::new(values).try_map(|name| Format::named(&name).ok_or("no format has this name"))
}

/// How a result is written.
#[derive(clap::Args)]
#[command(next_help_heading = "Output")]
pub struct FormatArgs {
    /// Format of the results
    #[arg(long, value_parser = format(), default_value = "png")]
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

    pub fn output(&self) -> Output {
        Output { format: self.format, tolerance: self.tolerance }
    }

    /// Writes the names of the classes to `classes.txt` in a folder of results, for formats whose files hold class numbers only.
    ///
    /// # Errors
    /// A different file of this name exists, or the format cannot hold a name.
    pub fn write_names(&self, folder: &Path, force: bool, classes: &[Category]) -> Result<(), FormatError> {
        match self.output().names_file(folder, classes)? {
            Some((path, text)) => Ok(write_whole(&path, text.as_bytes(), force)?),
            None => Ok(()),
        }
    }
}

fn tolerance(text: &str) -> Result<Tolerance, String> {
    let pixels = text.parse().map_err(|_| "it must be a number of pixels from 0".to_string())?;
    Tolerance::new(pixels).map_err(|error| error.to_string())
}
