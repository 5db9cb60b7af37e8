//! COCO's two files: annotations (`instances_*.json`) and results, as [cocodataset.org/#format-data](https://cocodataset.org/#format-data)
//! describes them and `pycocotools` reads them.

use super::rle::Rle;
use super::run_file::{RunFile, lines};
use super::{Category, FormatError, Instance, Picture, Tolerance, joined, outlines, place_of};
use crate::image_io::Region;
use serde::Serialize;
use std::path::Path;

/// A COCO instances file that grows picture by picture and is valid whenever the run ends.
pub struct CocoFile {
    file: RunFile,
    categories: Vec<Category>,
    tolerance: Option<Tolerance>,
    /// Number of annotations; ids begin with 1, because `pycocotools` treats 0 as missing.
    annotations: u64,
}

#[derive(Serialize)]
struct Image<'a> {
    id: u64,
    file_name: &'a str,
    width: u32,
    height: u32,
}

#[derive(Serialize)]
struct Annotation {
    id: u64,
    image_id: u64,
    category_id: u32,
    /// x, y, width and height in pixels.
    bbox: [u32; 4],
    /// Area of the mask in pixels, also for polygons.
    area: u64,
    iscrowd: u8,
    segmentation: Segmentation,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Segmentation {
    Runs(Rle),
    /// x and y of each point, alternating.
    Polygons(Vec<Vec<u32>>),
}

#[derive(Serialize)]
struct Named<'a> {
    id: u32,
    name: &'a str,
}

impl CocoFile {
    /// Begins an instances file of `categories`. Masks are written as RLE, or with a tolerance as polygons. Polygons have no holes in this
    /// format, so each is one line around an outline and its holes ([`joined`]), which `pycocotools` fills correctly.
    ///
    /// With `force` an existing file is replaced once there is a picture.
    ///
    /// # Errors
    /// As [`check_place`](crate::image_io::check_place).
    pub fn create(
        path: &Path,
        force: bool,
        categories: &[Category],
        tolerance: Option<Tolerance>,
    ) -> Result<CocoFile, FormatError> {
        let named = categories.iter().map(|c| Named { id: c.id, name: &c.name });
        let named = String::from_utf8_lossy(&lines(named)).into_owned();
        let frame = [
            format!(
                "{{\"info\": {{\"description\": \"diffews-wgpu\"}}, \"licenses\": [],\n\"categories\": [\n{named}\n],\n\"images\": [\n"
            ),
            "\n],\n\"annotations\": [\n".to_owned(),
            "\n]}\n".to_owned(),
        ];
        let file = RunFile::create(path, force, frame.to_vec())?;
        Ok(CocoFile { file, categories: categories.to_vec(), tolerance, annotations: 0 })
    }

    /// Adds a picture, with or without instances.
    ///
    /// # Errors
    /// [`FormatError::Category`] for an instance of another class, before anything is written; I/O errors.
    pub fn add(&mut self, picture: &Picture) -> Result<(), FormatError> {
        let mut annotations = Vec::new();
        for instance in picture.instances() {
            place_of(&self.categories, instance, picture)?;
            let id = self.annotations + annotations.len() as u64 + 1;
            annotations.push(annotation(id, picture.id(), instance, self.tolerance));
        }
        self.annotations += annotations.len() as u64;
        let (width, height) = picture.size();
        let image = Image { id: picture.id(), file_name: picture.file_name(), width, height };
        self.file.add(&[lines([image]), lines(annotations)])
    }

    /// Writes the file. Dropping does so, too, but ignores errors.
    ///
    /// # Errors
    /// I/O errors.
    pub fn finish(self) -> Result<(), FormatError> {
        self.file.finish()
    }
}

fn annotation(id: u64, image_id: u64, instance: &Instance, tolerance: Option<Tolerance>) -> Annotation {
    let region = &instance.region;
    let segmentation = match tolerance {
        None => Segmentation::Runs(Rle::of(region)),
        Some(tolerance) => Segmentation::Polygons(polygons(region, tolerance)),
    };
    let category_id = instance.category.id;
    Annotation { id, image_id, category_id, bbox: bbox(region), area: region.area(), iscrowd: 0, segmentation }
}

/// Coordinates of each polygon: x and y alternating, in pixels.
fn polygons(region: &Region, tolerance: Tolerance) -> Vec<Vec<u32>> {
    let line = |p: &super::Polygon| joined([&p.outer].into_iter().chain(&p.holes)).into_flattened();
    outlines(region, tolerance).iter().map(line).collect()
}

/// Bounding box of a region that is not empty.
fn bbox(region: &Region) -> [u32; 4] {
    region.bounding_box().map_or([0; 4], |b| [b.x, b.y, b.width, b.height])
}

/// A COCO results file for `COCO.loadRes` that grows picture by picture and is valid whenever the run ends.
pub struct CocoResultsFile(RunFile);

#[derive(Serialize)]
struct ResultEntry {
    image_id: u64,
    category_id: u32,
    bbox: [u32; 4],
    score: f32,
    segmentation: Rle,
}

impl CocoResultsFile {
    /// Begins a results file. Use the ids of pictures and categories of the annotations that it will be compared with.
    ///
    /// # Errors
    /// As [`CocoFile::create`].
    pub fn create(path: &Path, force: bool) -> Result<CocoResultsFile, FormatError> {
        RunFile::create(path, force, ["[\n".to_owned(), "\n]\n".to_owned()].to_vec()).map(CocoResultsFile)
    }

    /// Adds the instances of a picture.
    ///
    /// # Errors
    /// I/O errors.
    pub fn add(&mut self, picture: &Picture) -> Result<(), FormatError> {
        self.0.add(&[lines(picture.instances().iter().map(|instance| result_entry(picture.id(), instance)))])
    }

    /// As [`CocoFile::finish`].
    ///
    /// # Errors
    /// I/O errors.
    pub fn finish(self) -> Result<(), FormatError> {
        self.0.finish()
    }
}

fn result_entry(image_id: u64, Instance { category, region, score }: &Instance) -> ResultEntry {
    ResultEntry { image_id, category_id: category.id, bbox: bbox(region), score: *score, segmentation: Rle::of(region) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::tests::{HOSTILE, pets};
    use serde_json::{Value, json};

    fn categories() -> Vec<Category> {
        [(1, "cat"), (2, HOSTILE)].map(|(id, name)| Category { id, name: name.into() }).to_vec()
    }

    fn written(tolerance: Option<Tolerance>) -> Value {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        let mut file = CocoFile::create(&path, false, &categories(), tolerance).unwrap();
        file.add(&pets(HOSTILE)).unwrap();
        file.add(&Picture::new(8, "b.png", (2, 1), vec![]).unwrap()).unwrap();
        file.finish().unwrap();
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap()
    }

    #[test]
    fn instances_as_runs() {
        let all = written(None);
        assert_eq!(all["categories"][1], json!({"id": 2, "name": HOSTILE}));
        assert_eq!(all["images"][0], json!({"id": 7, "file_name": HOSTILE, "width": 6, "height": 4}));
        assert_eq!(all["images"][1]["id"], 8);
        let [cat, dog] = all["annotations"].as_array().unwrap().as_slice() else { panic!("{all}") };
        assert_eq!(
            *dog,
            json!({
                "id": 2, "image_id": 7, "category_id": 2, "bbox": [3, 3, 1, 1], "area": 1, "iscrowd": 0,
                "segmentation": {"size": [4, 6], "counts": super::super::rle::compressed(&[15, 1, 8])},
            })
        );
        assert_eq!((&cat["area"], &cat["bbox"]), (&json!(10), &json!([0, 0, 6, 3])));
    }

    #[test]
    fn instances_as_polygons() {
        let all = written(Some(Tolerance::EXACT));
        let polygons = all["annotations"][0]["segmentation"].as_array().unwrap();
        // The part with the hole: 4 corners, 4 of the hole, and 2 repeated ones.
        assert_eq!(polygons.iter().map(|p| p.as_array().unwrap().len()).collect::<Vec<_>>(), [20, 8]);
        assert_eq!(polygons[1], json!([5, 0, 6, 0, 6, 2, 5, 2]));
        assert_eq!(all["annotations"][0]["area"], 10);
    }

    #[test]
    fn results_have_scores() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.json");
        let mut file = CocoResultsFile::create(&path, false).unwrap();
        file.add(&Picture::new(6, "a", (1, 1), vec![]).unwrap()).unwrap();
        file.add(&pets("b")).unwrap();
        file.finish().unwrap();
        let all: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(all.as_array().unwrap().len(), 2);
        assert_eq!(
            (&all[1]["image_id"], &all[1]["category_id"], &all[1]["score"]),
            (&json!(7), &json!(2), &json!(0.9))
        );
    }

    #[test]
    fn a_class_that_was_not_named_is_refused_before_anything_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        let mut file = CocoFile::create(&path, false, &categories()[..1], None).unwrap();
        let error = file.add(&pets("a")).unwrap_err().to_string();
        assert!(error.contains("(number 2)") && error.lines().count() == 1, "{error}");
        drop(file);
        assert!(!path.exists());
    }
}
