//! Masks from the regions of Label Studio's annotations
//! ([labelstud.io/guide/export](https://labelstud.io/guide/export#Label-Studio-JSON-format-of-annotated-tasks)). JSON is untrusted.

use super::fill::Fill;
use crate::image_io::{BoundingBox, ImageError, Mark, Marks, Mask, RgbImage, Stroke};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Corners of the polygon that approximates an ellipse.
const CORNERS: u32 = 64;
/// Most regions of a mask: each may be a pass over the whole picture.
const MOST_REGIONS: usize = 256;

/// A region of an annotation: its shape and labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawn {
    pub labels: Vec<String>,
    shape: Shape,
    /// The picture's size in pixels, if the tool gives it.
    size: Option<(u32, u32)>,
    /// False for negative marks of smart tools.
    inside: bool,
}

/// Coordinates in percent of the picture's sides, rotations in degrees.
#[derive(Clone, Debug, PartialEq)]
enum Shape {
    Brush(Vec<u8>),
    Polygon(Vec<[f64; 2]>),
    Ellipse {
        middle: [f64; 2],
        radius: [f64; 2],
        turn: f64,
    },
    /// A box around the thing.
    Box {
        from: [f64; 2],
        sides: [f64; 2],
        turn: f64,
    },
    /// A point on the thing.
    Point([f64; 2]),
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    r#type: String,
    original_width: Option<u32>,
    original_height: Option<u32>,
    is_positive: Option<bool>,
    #[serde(default)]
    value: Map<String, Value>,
}

impl Entry {
    fn number(&self, name: &str) -> Option<f64> {
        self.value.get(name).and_then(Value::as_f64).filter(|v| v.is_finite())
    }

    fn shape(&self) -> Option<Shape> {
        let field = |name: &str| self.value.get(name);
        let at = || Some([self.number("x")?, self.number("y")?]);
        if field("rle").is_some() {
            return serde_json::from_value(field("rle")?.clone()).ok().map(Shape::Brush);
        }
        if field("points").is_some() {
            return serde_json::from_value(field("points")?.clone()).ok().map(Shape::Polygon);
        }
        let turn = self.number("rotation").unwrap_or(0.0);
        if let (Some(x), Some(y)) = (self.number("radiusX"), self.number("radiusY")) {
            return Some(Shape::Ellipse { middle: at()?, radius: [x, y], turn });
        }
        match (self.r#type.starts_with("keypoint"), self.number("width"), self.number("height")) {
            (false, Some(width), Some(height)) => Some(Shape::Box { from: at()?, sides: [width, height], turn }),
            (true, ..) => at().map(Shape::Point),
            _ => None,
        }
    }

    /// Labels are stored under the name of their kind, such as brushlabels; for smart tools this differs from the type.
    fn labels(&self) -> Vec<String> {
        let lists =
            self.value.iter().filter(|(name, _)| name.ends_with("labels")).filter_map(|(_, all)| all.as_array());
        lists.flatten().filter_map(|label| label.as_str().map(str::to_owned)).collect()
    }
}

/// Rotates corners around a point, in degrees.
fn turned(about: [f64; 2], corners: impl Iterator<Item = [f64; 2]>, turn: f64) -> Vec<[f64; 2]> {
    let (sin, cos) = turn.to_radians().sin_cos();
    corners.map(|[x, y]| [about[0] + x * cos - y * sin, about[1] + x * sin + y * cos]).collect()
}

fn ellipse(middle: [f64; 2], radius: [f64; 2], turn: f64) -> Vec<[f64; 2]> {
    let corner = |i: u32| {
        let (y, x) = (f64::from(i) / f64::from(CORNERS) * std::f64::consts::TAU).sin_cos();
        [radius[0] * x, radius[1] * y]
    };
    turned(middle, (0..CORNERS).map(corner), turn)
}

/// The regions of an annotation's `result`; other entries are skipped.
pub fn drawn(result: &Value) -> Vec<Drawn> {
    let read = |entry: &Value| {
        let entry = Entry::deserialize(entry).ok()?;
        let size = entry.original_width.zip(entry.original_height);
        let inside = entry.is_positive.unwrap_or(true);
        Some(Drawn { labels: entry.labels(), shape: entry.shape()?, size, inside })
    };
    result.as_array().into_iter().flatten().filter_map(read).collect()
}

impl Drawn {
    /// Approximate bytes in memory.
    pub fn bytes(&self) -> usize {
        let labels: usize = self.labels.iter().map(|label| label.len() + size_of::<String>()).sum();
        let shape = match &self.shape {
            Shape::Brush(bytes) => bytes.len(),
            Shape::Polygon(points) => size_of_val(&points[..]),
            _ => 0,
        };
        size_of::<Drawn>() + labels + shape
    }
}

/// The mask of these regions of `picture`. Brushes and polygons are taken as they are; boxes and points become a mask by
/// [`Marks`].
///
/// # Errors
/// As text: regions of a picture of another size, damaged RLE, invalid polygons, boxes and points that give no mask, too many
/// regions.
pub fn mask<'a>(regions: impl IntoIterator<Item = &'a Drawn>, picture: &RgbImage) -> Result<Mask, String> {
    let (width, height) = picture.dimensions();
    let mut pixels = vec![false; width as usize * height as usize];
    let mut fill = Fill::new((width, height), &mut pixels);
    let mut marks = Marks::default();
    let place = |[x, y]: [f64; 2]| [x / 100.0 * f64::from(width), y / 100.0 * f64::from(height)];
    for (number, region) in regions.into_iter().enumerate() {
        if number == MOST_REGIONS {
            return Err(format!("the annotation has more than {MOST_REGIONS} regions"));
        }
        if let Some((w, h)) = region.size.filter(|size| *size != (width, height)) {
            return Err(format!(
                "the annotation is for a picture of {w} x {h} pixels, but this one has {width} x {height}"
            ));
        }
        match &region.shape {
            Shape::Brush(bytes) => brush(bytes, fill.pixels())?,
            Shape::Polygon(points) => fill.polygon(&points.iter().map(|point| place(*point)).collect::<Vec<_>>())?,
            Shape::Ellipse { middle, radius, turn } => fill.polygon(&ellipse(place(*middle), place(*radius), *turn))?,
            Shape::Box { from, sides, turn } if *turn != 0.0 => {
                // A rotated box is not a box of pixels.
                let [w, h] = place(*sides);
                let corners = [[0.0, 0.0], [w, 0.0], [w, h], [0.0, h]];
                fill.polygon(&turned(place(*from), corners.into_iter(), *turn))?;
            }
            Shape::Box { from, sides, .. } => {
                let [left, top] = place(*from).map(|v| v.round());
                let [right, bottom] = place([from[0] + sides[0], from[1] + sides[1]]).map(|v| v.round());
                let within = |v: f64, most: u32| v.clamp(0.0, f64::from(most)) as u32;
                let (x, y) = (within(left, width), within(top, height));
                let (width, height) =
                    (within(right, width).saturating_sub(x), within(bottom, height).saturating_sub(y));
                marks.boxes.push(BoundingBox { x, y, width, height });
            }
            Shape::Point(point) => {
                let mark = if region.inside { Mark::Inside } else { Mark::Outside };
                marks.strokes.push(Stroke { points: vec![place(*point).map(|v| v as f32)], width: None, mark });
            }
        }
    }
    if marks != Marks::default() {
        let made = marks.mask(picture).map_err(|error| error.to_string())?;
        pixels.iter_mut().zip(made.foreground()).for_each(|(pixel, on)| *pixel |= on);
    }
    if !pixels.contains(&true) {
        return Err("the annotation marks no pixel".into());
    }
    Mask::new(width, height, pixels).map_err(|error: ImageError| error.to_string())
}

/// Reads bits, high bits first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.bytes.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }
}

/// Adds the pixels of Label Studio's RLE of RGBA whose alpha is above half, like `label_studio_converter.brush.decode_rle`.
fn brush(bytes: &[u8], pixels: &mut [bool]) -> Result<(), String> {
    let mut bits = Bits { bytes, at: 0 };
    let cut = || "the annotation's RLE is cut off".to_owned();
    let total = bits.take(32).ok_or_else(cut)? as usize;
    if total != 4 * pixels.len() {
        return Err(format!("the annotation's RLE has {} pixels, but the picture has {}", total / 4, pixels.len()));
    }
    let word = bits.take(5).ok_or_else(cut)? + 1;
    let mut sizes = [0; 4];
    for size in &mut sizes {
        *size = bits.take(4).ok_or_else(cut)? + 1;
    }
    let mut at = 0;
    while at < total {
        let repeats = bits.take(1).ok_or_else(cut)? == 1;
        let size = sizes[bits.take(2).ok_or_else(cut)? as usize];
        let length = (bits.take(size).ok_or_else(cut)? as usize + 1).min(total - at);
        let run = at..at + length;
        // Every fourth byte is alpha.
        if repeats {
            if bits.take(word).ok_or_else(cut)? > 127 {
                // From the pixel with the run's first alpha to the pixel with its last.
                pixels[run.start / 4..run.end / 4].fill(true);
            }
        } else {
            for byte in run {
                let value = bits.take(word).ok_or_else(cut)?;
                if byte % 4 == 3 && value > 127 {
                    pixels[byte / 4] = true;
                }
            }
        }
        at += length;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::label_studio;
    use crate::formats::tests::drawn as region;
    use serde_json::json;

    fn picture(width: u32, height: u32) -> RgbImage {
        // The left half is light.
        RgbImage::from_fn(width, height, |x, _| image::Rgb([if x < width / 2 { 250 } else { 5 }; 3]))
    }

    fn of(entries: Value, width: u32, height: u32) -> Result<Vec<String>, String> {
        let mask = mask(&drawn(&entries), &picture(width, height))?;
        let rows = mask.foreground().chunks(width as usize);
        Ok(rows.map(|row| row.iter().map(|&on| if on { '#' } else { '.' }).collect()).collect())
    }

    #[test]
    fn run_lengths_come_back() {
        for rows in [&["#..#", "####", "...."][..], &["#"], &["..", ".#"]] {
            let region = region(rows);
            let (width, height) = region.size();
            let rle = label_studio::brush(&region).unwrap();
            let entry = json!([{"type": "brushlabels", "original_width": width, "original_height": height,
                "value": {"format": "rle", "rle": rle, "brushlabels": ["cat"]}}]);
            assert_eq!(drawn(&entry)[0].labels, ["cat"]);
            assert_eq!(of(entry, width, height).unwrap(), rows);
            let short = json!([{"type": "brushlabels", "value": {"rle": rle[..rle.len() / 2]}}]);
            assert!(of(short, width, height).unwrap_err().contains("cut off"));
        }
        // Bytes that do not repeat, of words of 8 bits: two pixels, the second one seen.
        let mut bits = format!("{:032b}{:05b}{:04b}{:04b}{:04b}{:04b}", 8, 7, 2, 3, 7, 15);
        bits += &format!("0{:02b}{:03b}", 0, 7);
        [0, 0, 0, 0, 255, 255, 255, 255].iter().for_each(|value| bits += &format!("{value:08b}"));
        bits += &"0".repeat((8 - bits.len() % 8) % 8);
        let bytes: Vec<u8> =
            (0..bits.len() / 8).map(|i| u8::from_str_radix(&bits[8 * i..8 * i + 8], 2).unwrap()).collect();
        assert_eq!(of(json!([{"type": "brush", "value": {"rle": bytes}}]), 2, 1).unwrap(), [".#"]);
    }

    #[test]
    fn labels_lie_under_several_names() {
        let smart =
            json!([{"type": "rectangle", "value": {"x": 0, "y": 0, "width": 9, "height": 9, "brushlabels": ["bee"]}}]);
        assert_eq!(drawn(&smart)[0].labels, ["bee"]);
        let many = Value::Array(vec![
            json!({"type": "polygon", "value": {"points": [[0, 0], [1, 0], [1, 1]]}});
            MOST_REGIONS + 1
        ]);
        assert!(of(many, 4, 4).unwrap_err().contains("regions"));
    }

    #[test]
    fn shapes_are_percent_of_the_picture() {
        let square = json!([{"type": "polygonlabels", "value": {"points": [[25, 25], [75, 25], [75, 75], [25, 75]]}}]);
        assert_eq!(of(square, 4, 4).unwrap(), ["....", ".##.", ".##.", "...."]);
        let ellipse = json!([{"type": "ellipselabels", "value": {"x": 50, "y": 50, "radiusX": 50, "radiusY": 50, "rotation": 0}}]);
        assert_eq!(of(ellipse, 4, 4).unwrap(), [".##.", "####", "####", ".##."]);
        let turned =
            json!([{"type": "rectanglelabels", "value": {"x": 50, "y": 0, "width": 50, "height": 50, "rotation": 90}}]);
        assert_eq!(of(turned, 4, 4).unwrap(), ["##..", "##..", "....", "...."]);
        // Sides are turned in pixels: four wide and one high becomes one wide and four high.
        let long =
            json!([{"type": "rectanglelabels", "value": {"x": 50, "y": 0, "width": 50, "height": 25, "rotation": 90}}]);
        assert_eq!(of(long, 8, 4).unwrap(), ["...#....", "...#....", "...#....", "...#...."]);
    }

    #[test]
    fn boxes_and_points_are_marks() {
        let entry = json!([{"type": "rectanglelabels", "value": {"x": 0, "y": 0, "width": 75, "height": 100}}]);
        let rows = of(entry, 16, 16).unwrap();
        assert!(rows.iter().all(|row| row.starts_with('#') && !row.ends_with('#')), "{rows:?}");
        let point = |x: u32, positive: bool| {
            json!({"type": "keypointlabels", "is_positive": positive,
            "value": {"x": x, "y": 50, "width": 1, "keypointlabels": ["a"]}})
        };
        let rows = of(json!([point(25, true), point(80, false)]), 16, 16).unwrap();
        assert!(rows[8].starts_with("..") || rows[8].contains("####"), "{rows:?}");
        assert!(!rows[8].ends_with('#'));
    }

    #[test]
    fn what_makes_no_mask_is_told() {
        let cases = [
            (json!([]), "no pixel"),
            (json!("x"), "no pixel"),
            (json!([{"type": "choices", "value": {"choices": ["a"]}}]), "no pixel"),
            (json!([{"type": "brushlabels", "value": {"rle": "x"}}]), "no pixel"),
            (json!([{"type": "brushlabels", "value": {"rle": [0, 0, 0]}}]), "cut off"),
            (json!([{"type": "brushlabels", "value": {"rle": [255, 255, 255, 255]}}]), "RLE has"),
            (json!([{"type": "polygonlabels", "value": {"points": [[1, 1]]}}]), "three"),
            (
                json!([{"type": "polygonlabels", "original_width": 9, "original_height": 4, "value": {"points": []}}]),
                "9 x 4",
            ),
            (json!([{"type": "rectanglelabels", "value": {"x": 1e300, "y": -1e300, "width": 1, "height": 1}}]), "box"),
        ];
        for (entries, part) in cases {
            let told = of(entries.clone(), 4, 4).unwrap_err();
            assert!(told.contains(part), "{entries}: {told}");
        }
    }
}
