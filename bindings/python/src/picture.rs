//! Pictures, masks and marks from Python.

use diffews_wgpu::image_io::{
    self, BoundingBox, ImageError, LoadedPicture, Mark, Marks, Mask, MaskReading, Note, PictureOptions, Stroke,
};
use diffews_wgpu::{Error, Example, RgbImage};
use image::metadata::Orientation;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(FromPyObject)]
pub enum Picture {
    /// Height, width, and RGB.
    Pixels(u32, u32, PyBackedBytes),
    /// Content of a file.
    File(PyBackedBytes),
    Path(PathBuf),
}

#[derive(FromPyObject)]
pub enum Shape {
    /// Height, width, and a byte for each pixel, not 0 for foreground.
    Pixels(u32, u32, PyBackedBytes),
    File(PyBackedBytes),
    Path(PathBuf),
    /// Corners of boxes; points of strokes with their width, and whether they are on the thing.
    Marks(Vec<(u32, u32, u32, u32)>, Vec<Line>),
}

type Line = (Vec<(f32, f32)>, Option<f32>, bool);

/// The name of a picture that is not a file.
fn name(what: &str) -> &Path {
    Path::new(what)
}

/// Warnings about a picture. Colour profiles and transparent parts give none: docs/python.md says how they are
/// read.
pub fn odd(loaded: &LoadedPicture, name: &str) -> impl Iterator<Item = String> {
    let odd = loaded.notes.iter().filter(|note| !matches!(note, Note::Profile | Note::Background { .. }));
    odd.map(move |note| format!("{name}: {note}"))
}

impl Picture {
    /// Its name in messages: the path, or `else_`.
    pub fn name(&self, else_: &str) -> String {
        match self {
            Picture::Path(path) => path.display().to_string(),
            _ => else_.into(),
        }
    }

    /// Reads it in display orientation.
    pub fn load(&self, options: &PictureOptions) -> Result<LoadedPicture, Error> {
        Ok(match self {
            Picture::Pixels(height, width, bytes) => {
                let (got, want) = (bytes.len(), 3 * *height as usize * *width as usize);
                let rgb = RgbImage::from_raw(*width, *height, bytes.to_vec());
                let rgb = rgb.ok_or(ImageError::Length { what: "the image", got, want })?;
                LoadedPicture { rgb, orientation: Orientation::NoTransforms, notes: Vec::new(), place: None }
            }
            Picture::File(bytes) => image_io::load_rgb_from(&bytes[..], name("the image's bytes"), options)?,
            Picture::Path(path) => image_io::load_rgb_with(path, options)?,
        })
    }

    /// Reads examples like the command: the bits of 16-bit ones are determined together, in `options`.
    fn load_all(all: &[Picture], options: &mut PictureOptions) -> Result<Vec<LoadedPicture>, Error> {
        let path = |picture: &'_ Picture| match picture {
            Picture::Path(path) => Some(path.clone()),
            _ => None,
        };
        let paths: Vec<PathBuf> = all.iter().filter_map(path).collect();
        let paths: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
        let mut files = image_io::load_together(&paths, options)?.into_iter();
        let load = |picture: &Picture| match picture {
            Picture::Path(_) => files.next().map_or_else(|| picture.load(options), Ok),
            _ => picture.load(options),
        };
        all.iter().map(load).collect()
    }
}

impl Shape {
    /// The mask of `picture`, and warnings about it.
    pub fn mask(&self, picture: &LoadedPicture) -> Result<(Mask, Vec<String>), Error> {
        let how = MaskReading::default();
        let loaded = match self {
            Shape::Path(path) => image_io::load_mask_of(path, picture, how)?,
            Shape::File(bytes) => image_io::load_mask_from(&bytes[..], name("the mask's bytes"), picture, how)?,
            Shape::Marks(boxes, lines) => return Ok((marks(boxes, lines)?.mask(&picture.rgb)?, Vec::new())),
            Shape::Pixels(height, width, bytes) => {
                let mask = Mask::new(*width, *height, bytes.iter().map(|&byte| byte != 0).collect())?;
                let empty = !mask.foreground().contains(&true);
                return Ok((mask, if empty { vec!["it is False everywhere".into()] } else { Vec::new() }));
            }
        };
        Ok((loaded.mask, loaded.warnings.iter().map(ToString::to_string).collect()))
    }

    /// For messages.
    fn name(&self) -> String {
        match self {
            Shape::Path(path) => path.display().to_string(),
            _ => "the mask".into(),
        }
    }
}

fn marks(boxes: &[(u32, u32, u32, u32)], lines: &[Line]) -> Result<Marks, Error> {
    let boxed = |&(x, y, right, bottom): &(u32, u32, u32, u32)| match x < right && y < bottom {
        true => Ok(BoundingBox { x, y, width: right - x, height: bottom - y }),
        false => Err(Error::Usage(format!(
            "the box {x},{y},{right},{bottom} is empty: give the left, top, right and bottom of its corners in pixels"
        ))),
    };
    let stroke = |(points, width, inside): &Line| Stroke {
        points: points.iter().map(|&(x, y)| [x, y]).collect(),
        width: *width,
        mark: if *inside { Mark::Inside } else { Mark::Outside },
    };
    let boxes = boxes.iter().map(boxed).collect::<Result<_, _>>()?;
    Ok(Marks { boxes, strokes: lines.iter().map(stroke).collect(), painted: None })
}

/// Examples, warnings about them, and how query pictures must be read.
pub struct Examples {
    pub all: Vec<Example>,
    pub warnings: Vec<String>,
    pub options: PictureOptions,
}

impl Examples {
    pub fn load(pictures: &[Picture], shapes: &[Shape]) -> Result<Examples, Error> {
        let mut options = PictureOptions::default();
        let loaded = Picture::load_all(pictures, &mut options)?;
        let (mut all, mut warnings) = (Vec::new(), Vec::new());
        for ((picture, shape), loaded) in pictures.iter().zip(shapes).zip(loaded) {
            let (mask, odd_mask) = shape.mask(&loaded)?;
            warnings.extend(odd(&loaded, &picture.name("the image")));
            warnings.extend(odd_mask.into_iter().map(|odd| format!("{}: {odd}", shape.name())));
            let example = Example::shared(Arc::new(loaded.rgb), mask)?;
            let name = match picture {
                Picture::Path(path) => path.file_name().map(|name| name.to_string_lossy().into_owned()),
                _ => None,
            };
            all.push(match name {
                Some(name) => example.named(name),
                None => example,
            });
        }
        Ok(Examples { all, warnings, options })
    }
}
