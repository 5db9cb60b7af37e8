//! Results in the formats of tools for annotation, training and evaluation.
//!
//! Everything starts from a [`Picture`] with its [`Instance`]s and ends in text or bytes:
//!
//! | function | is | outlines or masks |
//! |---|---|---|
//! | [`coco::CocoFile`], [`coco::CocoResultsFile`] | COCO instances and results, one file for a run | RLE, or polygons |
//! | [`yolo::labels`], [`yolo::data_yaml`] | YOLO segmentation, a file for each picture | polygons |
//! | [`labelme::json`] | labelme, a file for each picture | polygons |
//! | [`label_studio::LabelStudioFile`] | Label Studio's tasks with predictions, one file for a run | RLE |
//! | [`label_map::labels`] | class numbers, written as a palette PNG, a file for each picture | pixels |
//! | [`npz::write`] | the maps of several classes, a file for each picture | values |
//! | [`geojson::feature_collection`] | GeoJSON, a file for each picture | polygons with holes |
//!
//! [`Format`] chooses one of them by its name, [`Output`] writes it.
//!
//! [`read`] is the reverse: annotations of such tools as masks of examples.
//!
//! Points of polygons are corners of pixels, in pixels from the picture's top left corner ([`outlines`]). Formats whose polygons have no
//! holes get one line around an outline and its holes, which goes to each hole and back on the same path ([`joined`]): both the even-odd
//! and the nonzero rule fill it correctly.

pub mod coco;
mod contour;
pub mod geojson;
pub mod geotiff;
pub mod label_map;
pub mod label_studio;
pub mod labelme;
pub mod npz;
mod output;
pub mod read;
mod rings;
pub mod rle;
mod run_file;
pub mod yolo;

use crate::image_io::{ImageError, Object, Region};
use crate::shown;

pub use contour::{Point, Polygon, Ring, Tolerance, outlines};
pub use output::{Format, Output, SharedFile};
pub use rings::joined;

/// A class of instances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Category {
    /// The number in the file; COCO's begin with 1.
    pub id: u32,
    pub name: String,
}

/// A thing in a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    pub category: Category,
    /// Its mask, of the picture's size.
    pub region: Region,
    /// Confidence in [0, 1].
    pub score: f32,
}

/// A picture and its instances.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    id: u64,
    file_name: String,
    size: (u32, u32),
    instances: Vec<Instance>,
}

impl Picture {
    /// A picture of `size` (width, height) in pixels. `id` is COCO's `image_id`; `file_name` is written as it is. Empty instances
    /// are dropped, because no format has them.
    ///
    /// # Errors
    /// [`FormatError::Size`] for an instance of another size than the picture's, [`FormatError::Score`] for a score that is not finite.
    pub fn new(id: u64, file_name: &str, size: (u32, u32), instances: Vec<Instance>) -> Result<Picture, FormatError> {
        for Instance { region, score, .. } in &instances {
            if region.size() != size {
                return Err(FormatError::Size { file: shown::text(file_name), got: region.size(), want: size });
            }
            if !score.is_finite() {
                return Err(FormatError::Score { file: shown::text(file_name), score: *score });
            }
        }
        let instances = instances.into_iter().filter(|i| !i.region.runs().is_empty()).collect();
        Ok(Picture { id, file_name: file_name.to_owned(), size, instances })
    }

    /// A picture with the objects of each class. `number` counts pictures from 0: COCO's `image_id` is one more.
    ///
    /// # Errors
    /// As [`Picture::new`].
    pub fn of_objects(
        number: usize,
        file_name: &str,
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
        Picture::new(number as u64 + 1, file_name, size, instances)
    }

    pub fn id(&self) -> u64 {
        self.id
    }

    pub fn file_name(&self) -> &str {
        &self.file_name
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        self.size
    }

    /// The instances with at least one pixel, in the given order.
    pub fn instances(&self) -> &[Instance] {
        &self.instances
    }
}

/// Why a format cannot hold a result. Messages are one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    #[error("outlines cannot be simplified by {0} pixels: a tolerance is a finite number from 0")]
    Tolerance(f64),

    #[error(
        "{file}: an instance's mask is {} x {} pixels, the picture {} x {}", .got.0, .got.1, .want.0, .want.1
    )]
    Size { file: String, got: (u32, u32), want: (u32, u32) },

    #[error("{file}: an instance's score is {score}")]
    Score { file: String, score: f32 },

    #[error("{file}: the class \"{name}\" (number {id}) is not among those of the whole file")]
    Category { file: String, name: String, id: u32 },

    #[error(
        "the class \"{name}\" has the number {id}: label maps have 0 for background, 1 to 254 for classes and 255 for void"
    )]
    Label { name: String, id: u32 },

    #[error("the class name \"{name}\" {reason}; give the class another name")]
    Name { name: String, reason: &'static str },

    #[error("{file}: {width} x {height} pixels are more than {format} has numbers for")]
    Pixels { file: String, width: u32, height: u32, format: &'static str },

    #[error("{file}: {reason}; its GeoTIFF tags cannot be used: remove them, or choose a format without coordinates")]
    Place { file: String, reason: String },

    #[error("{0:?} is not a georeference: it needs six finite numbers of an invertible transform")]
    Affine([f64; 6]),

    #[error(transparent)]
    Image(#[from] ImageError),
}

/// Index of `instance`'s class in `categories`.
fn place_of(categories: &[Category], instance: &Instance, picture: &Picture) -> Result<usize, FormatError> {
    let Category { id, name } = &instance.category;
    categories.iter().position(|c| c.id == *id).ok_or_else(|| FormatError::Category {
        file: shown::text(&picture.file_name),
        name: shown::text(name),
        id: *id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image_io::Mask;

    /// Rows of `#` and `.`.
    pub fn drawn(rows: &[&str]) -> Region {
        let foreground = rows.iter().flat_map(|r| r.bytes().map(|b| b == b'#')).collect();
        let width = rows.first().map_or(0, |r| r.len() as u32);
        Region::of(&Mask::new(width, rows.len() as u32, foreground).unwrap())
    }

    /// A name of everything that formats escape.
    pub const HOSTILE: &str = "a \"b\" \\ 'c'\n\u{85}\u{2028}\u{7f}: é 猫 😀";

    pub fn instance(id: u32, name: &str, rows: &[&str]) -> Instance {
        Instance { category: Category { id, name: name.into() }, region: drawn(rows), score: 0.9 }
    }

    /// A cat with a hole, another part of it, and a dog of one pixel, in 6 x 4 pixels.
    pub fn pets(file_name: &str) -> Picture {
        let cat = instance(1, "cat", &["###..#", "#.#..#", "###...", "......"]);
        let dog = instance(2, HOSTILE, &["......", "......", "......", "...#.."]);
        let none = instance(2, "dog", &["......", "......", "......", "......"]);
        Picture::new(7, file_name, (6, 4), vec![cat, dog, none]).unwrap()
    }

    #[test]
    fn pictures_are_checked() {
        assert_eq!(pets("a.png").instances().len(), 2);
        let told = |size, score| {
            let instance = Instance { score, ..instance(1, "cat", &["#."]) };
            Picture::new(1, "a\nb.png", size, vec![instance]).unwrap_err().to_string()
        };
        assert_eq!(told((1, 2), 0.5), "a\\nb.png: an instance's mask is 2 x 1 pixels, the picture 1 x 2");
        assert_eq!(told((2, 1), f32::NAN), "a\\nb.png: an instance's score is NaN");
    }
}
