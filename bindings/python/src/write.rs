//! Results in the formats of other tools.

use crate::engine::unknown;
use crate::prediction::{self, Prediction};
use diffews_wgpu::Error;
use diffews_wgpu::formats::{Format, Output, Picture, Tolerance};
use diffews_wgpu::image_io::{ObjectOptions, check_place};
use pyo3::prelude::*;
use std::path::Path;

/// What `write` of Python is asked for.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct Asked {
    format: String,
    tolerance: Option<f64>,
    margin: f64,
    min_area: u64,
    fill_holes: bool,
    largest: bool,
    overwrite: bool,
}

/// An image's name, and what was found in it, of each class.
pub type Item = (String, Vec<Py<Prediction>>);

/// Writes all of `items`; classes have `names`, or there is one without. Nothing is written where one of them fails.
pub fn write(path: &Path, asked: &Asked, names: Option<&[String]>, items: &[Item]) -> Result<(), Error> {
    let format = Format::named(&asked.format);
    let format = format.ok_or_else(|| unknown("format", &asked.format, &Format::ALL.map(Format::name)))?;
    if !format.is_of_run() && items.len() != 1 {
        return Err(Error::Usage(format!(
            "{} results, and a file of the format {} is of one image: write each to a file of its own",
            items.len(),
            format.name()
        )));
    }
    if !(0.0..=1.0).contains(&asked.margin) {
        return Err(Error::Usage(format!("margin is {}; it must be a number from 0 to 1", asked.margin)));
    }
    let output = Output { format, tolerance: asked.tolerance.map(Tolerance::new).transpose()? };
    let classes = format.categories(names.unwrap_or_default())?;
    let margin = (names.is_some() || format == Format::LabelMap).then_some(asked.margin as f32);
    let options = ObjectOptions { min_area: asked.min_area, fill_holes: asked.fill_holes, largest: asked.largest };
    check_place(path, asked.overwrite)?;
    let mut pictures = Vec::new();
    for (number, (name, all)) in items.iter().enumerate() {
        let all: Vec<&Prediction> = all.iter().map(Py::get).collect();
        let mut found = prediction::prediction(&all, margin)?;
        let place = all.first().and_then(|first| first.place());
        if format.is_picture() {
            if options != ObjectOptions::default() {
                found.keep_objects(&options)?;
            }
            return Ok(format.write_picture(path, &found, place, asked.overwrite)?);
        }
        let objects = found.keep_objects(&options)?;
        let picture = Picture::of_objects(number, name, found.size(), (&classes, &objects))?;
        if !format.is_of_run() {
            return Ok(output.write(path, &picture, (&classes, Some(&found)), place, asked.overwrite)?);
        }
        pictures.push(picture);
    }
    let mut file = output.begin(path, asked.overwrite, &classes)?;
    pictures.iter().try_for_each(|picture| file.add(picture))?;
    Ok(file.finish()?)
}
