//! Marks from files: strokes as JSON, and painted pictures.

use super::{Mark, Marks, Stroke};
use crate::files::read_regular;
use crate::image_io::{ImageError, PictureOptions, load_rgb_with};
use crate::shown;
use serde::Deserialize;
use std::path::Path;

/// Largest file of strokes, in bytes.
const MAX_BYTES: u64 = 16 << 20;
/// Level from which a channel is on.
const ON: u8 = 128;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Strokes {
    strokes: Vec<Drawn>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Drawn {
    points: Vec<[f32; 2]>,
    #[serde(default)]
    width: Option<f32>,
    #[serde(default = "inside")]
    inside: bool,
}

fn inside() -> bool {
    true
}

impl Marks {
    /// Adds the marks of a file for a picture of `size` (width, height). A `.json` holds `{"strokes": [{"points": [[x, y], ...], "width": pixels,
    /// "inside": true}]}`; `width` and `inside` are optional. Any other file is a picture of that size: green and white mark
    /// the thing, red marks the rest; other colours and transparent pixels are no marks.
    ///
    /// # Errors
    /// A file that cannot be read or is invalid.
    pub fn add_scribble(&mut self, path: &Path, size: (u32, u32)) -> Result<(), ImageError> {
        match path.extension().is_some_and(|e| e.eq_ignore_ascii_case("json")) {
            true => self.strokes.extend(strokes(path)?),
            false => {
                let marks = painted(path, size)?;
                let all = self.painted.get_or_insert_with(|| vec![None; marks.len()]);
                all.iter_mut().zip(marks).for_each(|(old, new)| *old = new.or(*old));
            }
        }
        Ok(())
    }
}

fn strokes(path: &Path) -> Result<Vec<Stroke>, ImageError> {
    let unusable = |reason: String| ImageError::Scribble { path: path.to_owned(), reason };
    let bytes = read_regular(path, MAX_BYTES).map_err(|cause| ImageError::Read { path: path.to_owned(), cause })?;
    let bytes = bytes.ok_or_else(|| unusable(format!("the file is larger than {} MiB", MAX_BYTES >> 20)))?;
    let Strokes { strokes } = serde_json::from_slice(&bytes)
        .map_err(|error| unusable(format!("not strokes: {}", shown::text(&error.to_string()))))?;
    let stroke = |drawn: Drawn| {
        let mark = if drawn.inside { Mark::Inside } else { Mark::Outside };
        Stroke { points: drawn.points, width: drawn.width, mark }
    };
    Ok(strokes.into_iter().map(stroke).collect())
}

fn painted(path: &Path, size: (u32, u32)) -> Result<Vec<Option<Mark>>, ImageError> {
    let unusable = |reason: String| ImageError::Scribble { path: path.to_owned(), reason };
    let rgb = load_rgb_with(path, &PictureOptions { background: Some([0; 3]), ..Default::default() })?.rgb;
    if rgb.dimensions() != size {
        return Err(ImageError::MaskSize { path: path.to_owned(), mask: rgb.dimensions(), image: size });
    }
    let mark = |[red, green, blue]: [u8; 3]| match (red >= ON, green >= ON, blue >= ON) {
        (_, true, _) => Some(Mark::Inside),
        (true, false, false) => Some(Mark::Outside),
        _ => None,
    };
    let marks: Vec<Option<Mark>> = rgb.pixels().map(|p| mark(p.0)).collect();
    let count = marks.iter().flatten().count();
    match (count, 2 * count > marks.len()) {
        (0, _) => Err(unusable("nothing is painted in it; paint the thing green or white, and the rest red".into())),
        (_, true) => Err(unusable(
            "most of it is painted, as in a photograph; leave unmarked pixels black or transparent".into(),
        )),
        _ => Ok(marks),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Rgba, RgbaImage};

    #[test]
    fn strokes_and_paint_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let json = dir.path().join("s.json");
        let mut marks = Marks::default();
        std::fs::write(
            &json,
            r#"{"strokes": [{"points": [[1, 2], [3, 4.5]], "width": 2}, {"points": [[0, 0]], "inside": false}]}"#,
        )
        .unwrap();
        marks.add_scribble(&json, (4, 4)).unwrap();
        let first = Stroke { points: vec![[1.0, 2.0], [3.0, 4.5]], width: Some(2.0), mark: Mark::Inside };
        assert_eq!(marks.strokes, [first, Stroke { points: vec![[0.0, 0.0]], width: None, mark: Mark::Outside }]);

        let png = dir.path().join("s.png");
        let mut paint = RgbaImage::new(4, 3);
        paint.put_pixel(0, 0, Rgba([0, 255, 0, 255]));
        paint.put_pixel(1, 0, Rgba([250, 250, 250, 255]));
        paint.put_pixel(2, 0, Rgba([255, 0, 0, 255]));
        paint.put_pixel(3, 0, Rgba([0, 0, 255, 255]));
        paint.put_pixel(0, 1, Rgba([255, 255, 255, 0]));
        paint.save(&png).unwrap();
        marks.add_scribble(&png, (4, 3)).unwrap();
        let (inside, outside) = (Some(Mark::Inside), Some(Mark::Outside));
        assert_eq!(marks.painted.as_ref().unwrap()[..5], [inside, inside, outside, None, None]);
        assert!(matches!(marks.add_scribble(&png, (3, 4)), Err(ImageError::MaskSize { .. })));
    }

    #[test]
    fn other_files_are_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let json = dir.path().join("s.json");
        for text in
            ["", "[]", "{}", r#"{"strokes": 1}"#, r#"{"strokes": [{"points": [[1]]}]}"#, r#"{"strokes": [], "x": 1}"#]
        {
            std::fs::write(&json, text).unwrap();
            let told = Marks::default().add_scribble(&json, (4, 4)).unwrap_err().to_string();
            assert!(told.contains("s.json") && told.contains("not strokes"), "{told}");
        }
        for (colour, word) in [([0, 0, 0, 255], "nothing is painted"), ([200, 190, 180, 255], "photograph")] {
            let png = dir.path().join("p.png");
            RgbaImage::from_pixel(4, 4, Rgba(colour)).save(&png).unwrap();
            let told = Marks::default().add_scribble(&png, (4, 4)).unwrap_err().to_string();
            assert!(told.contains("p.png") && told.contains(word), "{told}");
        }
        assert!(Marks::default().add_scribble(&dir.path().join("gone.json"), (4, 4)).is_err());
    }
}
