//! Examples drawn from a COCO instances file.

use super::fill::Fill;
use super::{AnnotationError, json, unusable};
use crate::formats::rle;
use crate::image_io::{ImageError, Mask};
use crate::shown;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Largest file, in bytes; COCO's own have half of it.
const MAX_BYTES: u64 = 1 << 30;
/// Smallest part of a picture that the class must cover: little of it would be left at the network's size.
const LEAST_PART: f64 = 1e-3;
const MOST_NAMED: usize = 12;

#[derive(Deserialize)]
struct File {
    images: Vec<Image>,
    categories: Vec<Category>,
    annotations: Vec<Annotation>,
}

#[derive(Deserialize)]
struct Image {
    id: u64,
    file_name: String,
    width: u32,
    height: u32,
}

#[derive(Deserialize)]
struct Category {
    id: u64,
    name: String,
}

#[derive(Deserialize)]
struct Annotation {
    image_id: u64,
    category_id: u64,
    #[serde(default)]
    iscrowd: u8,
    area: Option<f64>,
    /// Parsed on demand: a file has hundreds of thousands.
    segmentation: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Runs {
    size: [u32; 2],
    counts: Box<RawValue>,
}

/// A COCO instances file.
pub struct Instances {
    path: PathBuf,
    file: File,
}

/// A picture with annotations of a class.
#[derive(Debug)]
pub struct Shot {
    /// The file of annotations.
    path: PathBuf,
    file_name: String,
    size: (u32, u32),
    segmentations: Vec<Box<RawValue>>,
}

impl Shot {
    /// The picture's name in the file.
    pub fn file_name(&self) -> &str {
        &self.file_name
    }

    /// The class's mask in the picture, which has `expect` (width, height) pixels.
    ///
    /// # Errors
    /// A size that differs from the file's, invalid segmentations, an empty mask.
    pub fn mask(&self, expect: (u32, u32)) -> Result<Mask, AnnotationError> {
        let path = &self.path;
        if self.size != expect {
            return Err(ImageError::MaskSize { path: path.clone(), mask: self.size, image: expect }.into());
        }
        let told = |reason: String| unusable(path, format!("{}: {reason}", shown::text(&self.file_name)));
        let mut pixels = vec![false; expect.0 as usize * expect.1 as usize];
        let mut fill = Fill::new(expect, &mut pixels);
        self.segmentations.iter().try_for_each(|segmentation| add(segmentation, &mut fill)).map_err(told)?;
        match pixels.contains(&true) {
            true => Ok(Mask::new(expect.0, expect.1, pixels)?),
            false => Err(told("no annotated pixel lies in the picture".into())),
        }
    }
}

impl Instances {
    /// # Errors
    /// A file that cannot be read or is not COCO's.
    pub fn open(path: &Path) -> Result<Instances, AnnotationError> {
        Ok(Instances { path: path.to_owned(), file: json(path, MAX_BYTES, "COCO's instances")? })
    }

    /// Draws `count` pictures of a category by `seed`, equally on all machines: each with all instances of the category except crowds.
    ///
    /// # Errors
    /// No such category, too few pictures of it, invalid masks.
    pub fn draw(&self, category: &str, count: usize, seed: u64) -> Result<Vec<Shot>, AnnotationError> {
        let File { images, categories, annotations } = &self.file;
        let Some(id) = categories.iter().find(|c| c.name == category).map(|c| c.id) else {
            let names: Vec<String> = categories.iter().map(|c| shown::text(&c.name)).collect();
            let names = shown::first(&names, MOST_NAMED).join(", ");
            return Err(self.unusable(format!("no category is called {}; there are {names}", shown::text(category))));
        };
        let mut of_image: BTreeMap<u64, Vec<&Annotation>> = BTreeMap::new();
        for annotation in
            annotations.iter().filter(|a| a.category_id == id && a.iscrowd == 0 && a.segmentation.is_some())
        {
            of_image.entry(annotation.image_id).or_default().push(annotation);
        }
        let by_id: BTreeMap<u64, &Image> = images.iter().map(|image| (image.id, image)).collect();
        let mut all: Vec<(&Image, Vec<&Annotation>)> = Vec::new();
        for (id, parts) in of_image {
            let Some(&image) = by_id.get(&id) else { continue };
            // If a file has no areas, every picture qualifies.
            let area: Option<f64> = parts.iter().map(|a| a.area).sum();
            if area.is_none_or(|area| area >= LEAST_PART * f64::from(image.width) * f64::from(image.height)) {
                all.push((image, parts));
            }
        }
        if all.len() < count {
            let name = shown::text(category);
            return Err(self.unusable(format!(
                "only {} pictures show enough of {name} to be examples, but {count} are needed",
                all.len()
            )));
        }
        // Use integers of a fixed width, so that all machines draw equally.
        let mut rng = fastrand::Rng::with_seed(seed);
        (1..all.len()).rev().for_each(|at| all.swap(at, rng.u64(..=at as u64) as usize));
        all.truncate(count);
        let shot = |(image, parts): (&Image, Vec<&Annotation>)| Shot {
            path: self.path.clone(),
            file_name: image.file_name.clone(),
            size: (image.width, image.height),
            segmentations: parts.into_iter().filter_map(|part| part.segmentation.clone()).collect(),
        };
        Ok(all.into_iter().map(shot).collect())
    }

    fn unusable(&self, reason: String) -> AnnotationError {
        unusable(&self.path, reason)
    }
}

/// Adds a segmentation: polygons or RLE, compressed or not.
fn add(segmentation: &RawValue, fill: &mut Fill) -> Result<(), String> {
    let text = segmentation.get();
    let wrong = |error: serde_json::Error| {
        format!("a segmentation is neither polygons nor RLE: {}", shown::text(&error.to_string()))
    };
    if text.starts_with('[') {
        let polygons: Vec<Vec<f64>> = serde_json::from_str(text).map_err(wrong)?;
        return polygons.iter().try_for_each(|flat| match flat.as_chunks::<2>() {
            (points, []) => fill.polygon(points),
            _ => Err("a polygon has an odd number of coordinates".to_string()),
        });
    }
    let runs: Runs = serde_json::from_str(text).map_err(wrong)?;
    let size = fill.size();
    if runs.size != [size.1, size.0] {
        let [height, width] = runs.size;
        return Err(format!("the RLE has {width} x {height} pixels, the picture {} x {}", size.0, size.1));
    }
    let counts: Vec<u64> = match runs.counts.get().starts_with('[') {
        true => serde_json::from_str(runs.counts.get()).map_err(wrong)?,
        false => rle::counts_of(&serde_json::from_str::<String>(runs.counts.get()).map_err(wrong)?)?,
    };
    rle::add(&counts, size, fill.pixels())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{"info": {}, "images": [{"id": 1, "file_name": "a.png", "width": 6, "height": 4, "license": 3}, {"id": 2, "file_name": "b.png", "width": 3, "height": 2}],
        "categories": [{"id": 7, "name": "cat", "supercategory": "animal"}, {"id": 9, "name": "dog"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 7, "area": 4, "bbox": [1, 1, 2, 2], "iscrowd": 0, "segmentation": [[1, 1, 3, 1, 3, 3, 1, 3]]},
            {"id": 2, "image_id": 1, "category_id": 7, "area": 1, "segmentation": {"size": [4, 6], "counts": [0, 1, 23]}},
            {"id": 3, "image_id": 1, "category_id": 7, "area": 24, "iscrowd": 1, "segmentation": {"size": [4, 6], "counts": [0, 24]}},
            {"id": 4, "image_id": 2, "category_id": 7, "area": 3, "segmentation": {"size": [2, 3], "counts": "33"}},
            {"id": 5, "image_id": 2, "category_id": 9, "area": 3, "segmentation": [[0, 0, 1]]}]}"#;

    fn opened(text: &str) -> Result<Instances, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("i.json");
        std::fs::write(&path, text).unwrap();
        Instances::open(&path).map_err(|e| e.to_string())
    }

    #[test]
    fn pictures_are_drawn_with_all_that_is_of_the_class() {
        let file = opened(FILE).unwrap();
        let mut shots = file.draw("cat", 2, 0).unwrap();
        shots.sort_by(|a, b| a.file_name.cmp(&b.file_name));
        let masks = [shots[0].mask((6, 4)).unwrap(), shots[1].mask((3, 2)).unwrap()];
        assert!(shots[0].mask((4, 6)).unwrap_err().to_string().contains("i.json"));
        let rows = |mask: &Mask| -> Vec<String> {
            let row = |row: &[bool]| row.iter().map(|&p| if p { '#' } else { '.' }).collect();
            mask.foreground().chunks(mask.width() as usize).map(row).collect()
        };
        assert_eq!(rows(&masks[0]), ["#.....", ".##...", ".##...", "......"]);
        assert_eq!(rows(&masks[1]), ["..#", ".##"]);
        let draw = |seed| file.draw("cat", 1, seed).unwrap().remove(0).file_name;
        assert_eq!(draw(5), draw(5));
        assert!((0..20).any(|seed| draw(seed) != draw(5)));
    }

    #[test]
    fn what_cannot_be_drawn_is_refused_by_name() {
        let told = |text: &str, category: &str, count| {
            let drawn = opened(text).and_then(|file| file.draw(category, count, 0).map_err(|e| e.to_string()));
            let masks = drawn.and_then(|shots| {
                shots.iter().map(|shot| shot.mask(shot.size).map_err(|e| e.to_string())).collect::<Result<Vec<_>, _>>()
            });
            masks.map(|masks| masks.len()).unwrap_err()
        };
        for (text, category, count, word) in [
            ("[]".to_string(), "cat", 1, "not COCO's instances"),
            (FILE.into(), "cow", 1, "there are cat, dog"),
            (FILE.into(), "cat", 3, "2 pictures show enough"),
            (FILE.into(), "dog", 1, "odd number"),
            (FILE.replace("\"33\"", "\"3\""), "cat", 2, "the RLE has"),
            (FILE.replace("[0, 1, 23]", "[0, 1, 24]"), "cat", 2, "the RLE has"),
            (FILE.replace("[4, 6]", "[6, 4]"), "cat", 2, "4 x 6"),
            (
                FILE.replace("[[1, 1, 3, 1, 3, 3, 1, 3]]", "[[9, 9, 9, 8, 8, 8]]").replace("[0, 1, 23]", "[24]"),
                "cat",
                2,
                "no annotated pixel",
            ),
        ] {
            let error = told(&text, category, count);
            assert!(error.contains(word) && error.contains("i.json"), "{error}");
        }
    }
}
