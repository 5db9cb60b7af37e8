//! Marks, and annotations of other tools, read as masks of examples.

use super::{Ran, Runner, picture};
use diffews_wgpu::formats::label_studio::brush as label_studio_rle;
use diffews_wgpu::formats::read::{coco::Instances, label_studio, labelme};
use diffews_wgpu::image_io::{self, MAX_PIXELS, Marks, Mask, Region, RgbImage};
use serde_json::Value;
use std::path::Path;

/// Bytes of memory per pixel of a mask that a file announces: the pixels, and a copy of them.
const PER_PIXEL: u64 = 4;

pub fn coco_seeds() -> Vec<Vec<u8>> {
    let whole = r#"{"images": [{"id": 1, "file_name": "a.png", "width": 6, "height": 4}, {"id": 2, "file_name": "b.png", "width": 3, "height": 2}],
        "categories": [{"id": 7, "name": "cat"}], "annotations": [
        {"image_id": 1, "category_id": 7, "area": 4, "iscrowd": 0, "segmentation": [[1, 1, 3, 1, 3, 3, 1, 3]]},
        {"image_id": 1, "category_id": 7, "area": 1, "segmentation": {"size": [4, 6], "counts": [0, 1, 23]}},
        {"image_id": 2, "category_id": 7, "area": 3, "segmentation": {"size": [2, 3], "counts": "33"}}]}"#;
    vec![whole.as_bytes().to_vec()]
}

pub fn open_coco(_: &Path) -> Runner {
    Box::new(|bytes, file| {
        let Ok(instances) = Instances::open(file) else { return Ran::new(false) };
        let drawn = instances.draw("cat", 1, 0);
        if let Ok(shots) = &drawn {
            assert_eq!(shots.len(), 1);
        }
        Ran { accepted: drawn.is_ok(), allowed: announced(bytes, "/images", ["width", "height"]) }
    })
}

/// Memory for the largest announced picture, if its mask may be made.
fn announced(bytes: &[u8], list: &str, [width, height]: [&str; 2]) -> usize {
    let json: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let all = json.pointer(list).map_or(std::slice::from_ref(&json), |list| list.as_array().map_or(&[], Vec::as_slice));
    let pixels = |picture: &Value| Some(picture[width].as_u64()?.saturating_mul(picture[height].as_u64()?));
    let largest = all.iter().filter_map(pixels).filter(|&pixels| pixels <= MAX_PIXELS).max();
    largest.map_or(0, |pixels| (pixels * PER_PIXEL) as usize)
}

pub fn labelme_seeds() -> Vec<Vec<u8>> {
    let whole = r#"{"imageHeight": 10, "imageWidth": 20, "shapes": [{"label": "cat", "points": [[1, 1], [5, 1], [5, 4], [1, 4]], "shape_type": "polygon"},
        {"label": "cat", "points": [[8, 9], [6, 6]], "shape_type": "rectangle"}, {"label": "cat", "points": [[14, 5], [14, 8]], "shape_type": "circle"}]}"#;
    vec![whole.as_bytes().to_vec()]
}

pub fn open_labelme(_: &Path) -> Runner {
    Box::new(|_, file| {
        let masks = [labelme::mask(file, None, (20, 10)), labelme::mask(file, Some("cat"), (20, 10))];
        masks.iter().flatten().for_each(|mask| assert_eq!(mask.size(), (20, 10)));
        Ran::new(masks.iter().any(Result::is_ok))
    })
}

pub fn strokes_seeds() -> Vec<Vec<u8>> {
    let whole = r#"{"strokes": [{"points": [[4, 5], [9, 9]], "width": 3}, {"points": [[1, 1]], "inside": false}]}"#;
    vec![whole.as_bytes().to_vec()]
}

/// Strokes, and the mask that they draw on a picture.
pub fn open_strokes(dir: &Path) -> Runner {
    let copy = dir.join("strokes.json");
    let picture = image_io::open_image(picture()).expect("a picture that is sound");
    Box::new(move |bytes, _| {
        if std::fs::write(&copy, bytes).is_err() {
            return Ran::new(false);
        }
        let mut marks = Marks::default();
        let made = marks.add_scribble(&copy, picture.dimensions()).and_then(|()| marks.mask(&picture));
        if let Ok(mask) = &made {
            assert_eq!(mask.size(), picture.dimensions());
        }
        Ran::new(made.is_ok())
    })
}

/// Regions of every kind on the 16 x 8 picture that they are drawn on.
pub fn label_studio_seeds() -> Vec<Vec<u8>> {
    let mask = Mask::new(16, 8, (0..128).map(|i| i % 5 < 2).collect()).expect("a mask of that size");
    let rle = label_studio_rle(&Region::of(&mask)).expect("few pixels");
    let brush = format!(
        r#"{{"type": "brushlabels", "original_width": 16, "original_height": 8, "value": {{"rle": {rle:?}, "brushlabels": ["cat"]}}}}"#
    );
    let whole = format!(
        "[{brush}, {}",
        r#"{"type": "polygonlabels", "value": {"points": [[10, 10], [60, 10], [60, 90]], "polygonlabels": ["cat"]}},
        {"type": "ellipselabels", "value": {"x": 50, "y": 50, "radiusX": 20, "radiusY": 30, "rotation": 20, "ellipselabels": ["cat"]}},
        {"type": "rectanglelabels", "value": {"x": 5, "y": 5, "width": 50, "height": 60, "rotation": 0, "rectanglelabels": ["cat"]}},
        {"type": "rectangle", "value": {"x": 5, "y": 5, "width": 50, "height": 60, "rotation": 30, "brushlabels": ["dog"]}},
        {"type": "keypointlabels", "is_positive": false, "value": {"x": 90, "y": 90, "width": 1, "keypointlabels": ["cat"]}}]"#
    );
    let all: Vec<Value> = serde_json::from_str(&whole).unwrap_or_default();
    let each = all.iter().map(|region| Value::Array(vec![region.clone()]).to_string().into_bytes());
    each.chain([whole.clone().into_bytes()]).collect()
}

pub fn open_label_studio(_: &Path) -> Runner {
    let colours = (0..16 * 8 * 3).map(|i| (i * 7) as u8).collect();
    let picture = RgbImage::from_raw(16, 8, colours).expect("a picture of that size");
    Box::new(move |bytes, _| {
        let Ok(result) = serde_json::from_slice::<Value>(bytes) else { return Ran::new(false) };
        let mask = label_studio::mask(&label_studio::drawn(&result), &picture);
        if let Ok(mask) = &mask {
            assert!(mask.size() == (16, 8) && mask.foreground().contains(&true));
        }
        Ran::new(mask.is_ok())
    })
}
