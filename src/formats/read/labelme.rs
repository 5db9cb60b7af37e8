//! Masks from labelme's JSON.

use super::fill::Fill;
use super::{AnnotationError, json, unusable};
use crate::image_io::Mask;
use crate::shown;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::Path;

/// Largest file, in bytes: it holds the picture, too.
const MAX_BYTES: u64 = 256 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    shapes: Vec<Shape>,
    image_height: u32,
    image_width: u32,
}

#[derive(Deserialize)]
struct Shape {
    label: String,
    points: Vec<[f64; 2]>,
    #[serde(default = "polygon")]
    shape_type: String,
}

fn polygon() -> String {
    "polygon".into()
}

/// The mask of all shapes (polygons, rectangles, circles) with this label, or of all shapes if there is only one label, for a picture of
/// `expect` (width, height) pixels.
///
/// # Errors
/// An unreadable file, another size, an unknown label, several labels if none is given, other kinds of shapes.
pub fn mask(path: &Path, label: Option<&str>, expect: (u32, u32)) -> Result<Mask, AnnotationError> {
    let file: File = json(path, MAX_BYTES, "a file of labelme")?;
    let size = (file.image_width, file.image_height);
    if size != expect {
        let reason = format!(
            "it is for a picture of {} x {} pixels, but the picture here has {} x {}",
            size.0, size.1, expect.0, expect.1
        );
        return Err(unusable(path, reason));
    }
    let labels: BTreeSet<&str> = file.shapes.iter().map(|shape| shape.label.as_str()).collect();
    let all = || shown::first(&labels.iter().map(|l| shown::text(l)).collect::<Vec<_>>(), 12).join(", ");
    let label = match (label, labels.iter().next()) {
        (_, None) => return Err(unusable(path, "it has no shapes")),
        (Some(label), _) if !labels.contains(label) => {
            return Err(unusable(path, format!("no shape is labelled {}; there are {}", shown::text(label), all())));
        }
        (Some(label), _) => label,
        (None, Some(only)) if labels.len() == 1 => *only,
        _ => return Err(AnnotationError::SeveralLabels { path: path.to_owned(), labels: all() }),
    };
    let mut pixels = vec![false; size.0 as usize * size.1 as usize];
    let mut fill = Fill::new(size, &mut pixels);
    for shape in file.shapes.iter().filter(|shape| shape.label == label) {
        outline(shape).and_then(|points| fill.polygon(&points)).map_err(|reason| unusable(path, reason))?;
    }
    match pixels.contains(&true) {
        true => Ok(Mask::new(size.0, size.1, pixels)?),
        false => Err(unusable(path, "no pixel of its shapes lies in the picture")),
    }
}

/// The corners of a shape, or of a polygon that approximates it.
fn outline(shape: &Shape) -> Result<Vec<[f64; 2]>, String> {
    match (shape.shape_type.as_str(), shape.points.as_slice()) {
        ("polygon", points) => Ok(points.to_vec()),
        ("rectangle", &[[x0, y0], [x1, y1]]) => Ok(vec![[x0, y0], [x1, y0], [x1, y1], [x0, y1]]),
        // The centre and a point on the circle.
        ("circle", &[[x, y], [rx, ry]]) => {
            let (radius, corners) = ((rx - x).hypot(ry - y), 360);
            let corner = |i: i32| {
                let angle = std::f64::consts::TAU * f64::from(i) / f64::from(corners);
                [x + radius * angle.cos(), y + radius * angle.sin()]
            };
            Ok((0..corners).map(corner).collect())
        }
        ("rectangle" | "circle", points) => {
            Err(format!("a {} has {} points; it must have two", shape.shape_type, points.len()))
        }
        (other, _) => Err(format!("a shape is a {}; polygons, rectangles and circles are read", shown::text(other))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count_shapes(text: &str, label: Option<&str>) -> Result<usize, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        std::fs::write(&path, text).unwrap();
        let made = mask(&path, label, (20, 10)).map_err(|e| e.to_string())?;
        Ok(made.foreground().iter().filter(|f| **f).count())
    }

    fn file(shapes: &str) -> String {
        format!(
            r#"{{"version": "5", "imagePath": "a.png", "imageHeight": 10, "imageWidth": 20, "shapes": [{shapes}]}}"#
        )
    }

    #[test]
    fn shapes_of_three_kinds() {
        let polygon =
            r#"{"label": "cat", "points": [[1, 1], [5, 1], [5, 4], [1, 4]], "shape_type": "polygon", "flags": {}}"#;
        let rectangle = r#"{"label": "cat", "points": [[8, 9], [6, 6]], "shape_type": "rectangle"}"#;
        let circle = r#"{"label": "dog", "points": [[14, 5], [14, 8]], "shape_type": "circle"}"#;
        assert_eq!(count_shapes(&file(polygon), None), Ok(12));
        assert_eq!(count_shapes(&file(&format!("{polygon},{rectangle},{circle}")), Some("cat")), Ok(18));
        let disc = count_shapes(&file(circle), Some("dog")).unwrap();
        assert!((26..=32).contains(&disc), "{disc}");
        assert!(count_shapes(&file(&format!("{polygon},{circle}")), None).unwrap_err().contains("cat, dog"));
        assert!(count_shapes(&file(polygon), Some("cow")).unwrap_err().contains("no shape is labelled cow"));
    }

    #[test]
    fn what_is_no_such_file_is_refused_by_name() {
        let line = r#"{"label": "cat", "points": [[1, 1], [5, 1]], "shape_type": "line"}"#;
        let one = r#"{"label": "cat", "points": [[1, 1]], "shape_type": "circle"}"#;
        let wide = file(line).replace("20", "21");
        for (text, word) in [
            ("{", "not a file of labelme"),
            ("{}", "shapes"),
            (&file(""), "no shapes"),
            (&file(line), "a line"),
            (&file(one), "1 points"),
            (&wide, "21 x 10"),
        ] {
            let error = count_shapes(text, None).unwrap_err();
            assert!(error.contains(word) && error.contains("a.json"), "{error}");
        }
    }
}
