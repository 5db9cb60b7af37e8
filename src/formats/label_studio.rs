//! Label Studio tasks with predictions: masks as `brushlabels`, in its RLE of RGBA
//! ([labelstud.io/guide/predictions](https://labelstud.io/guide/predictions)).

use super::run_file::{RunFile, lines};
use super::{FormatError, Picture};
use crate::image_io::Region;
use crate::shown;
use serde::Serialize;
use std::path::Path;

/// Names in the labeling configuration of the project that the file is imported into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labeling {
    /// Name of the `BrushLabels` tag.
    pub from_name: String,
    /// Name of the `Image` tag.
    pub to_name: String,
    /// The task's field that the `Image` tag shows: `image` for `value="$image"`.
    pub field: String,
    /// Prefix of the names of pictures, which Label Studio fetches, such as `/data/local-files/?d=`.
    pub prefix: String,
}

impl Default for Labeling {
    /// The names of Label Studio's template for brushes: `tag`, `image`, `image`, without a prefix.
    fn default() -> Labeling {
        let [from_name, to_name, field] = ["tag", "image", "image"].map(String::from);
        Labeling { from_name, to_name, field, prefix: String::new() }
    }
}

/// A file of tasks that grows picture by picture and is valid whenever the run ends.
pub struct LabelStudioFile {
    file: RunFile,
    labeling: Labeling,
}

#[derive(Serialize)]
struct Task<'a> {
    data: std::collections::BTreeMap<&'a str, String>,
    predictions: [Prediction<'a>; 1],
}

#[derive(Serialize)]
struct Prediction<'a> {
    model_version: &'static str,
    /// Mean score of the instances.
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f32>,
    result: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    id: String,
    r#type: &'static str,
    from_name: &'a str,
    to_name: &'a str,
    original_width: u32,
    original_height: u32,
    image_rotation: u32,
    score: f32,
    value: Value<'a>,
}

#[derive(Serialize)]
struct Value<'a> {
    format: &'static str,
    rle: Vec<u8>,
    brushlabels: [&'a str; 1],
}

impl LabelStudioFile {
    /// Begins a file of tasks.
    ///
    /// # Errors
    /// As [`check_place`](crate::image_io::check_place).
    pub fn create(path: &Path, force: bool, labeling: &Labeling) -> Result<LabelStudioFile, FormatError> {
        let file = RunFile::create(path, force, ["[\n".to_owned(), "\n]\n".to_owned()].to_vec())?;
        Ok(LabelStudioFile { file, labeling: labeling.clone() })
    }

    /// Adds a picture as a task with one prediction.
    ///
    /// # Errors
    /// [`FormatError::Pixels`] for a picture of 2^30 pixels or more; I/O errors.
    pub fn add(&mut self, picture: &Picture) -> Result<(), FormatError> {
        let Labeling { from_name, to_name, field, prefix } = &self.labeling;
        let (original_width, original_height) = picture.size();
        let mut result = Vec::new();
        for (number, instance) in picture.instances().iter().enumerate() {
            let rle = brush(&instance.region).ok_or_else(|| large(picture))?;
            result.push(Entry {
                id: format!("{}-{}", picture.id(), number + 1),
                r#type: "brushlabels",
                from_name,
                to_name,
                original_width,
                original_height,
                image_rotation: 0,
                score: instance.score,
                value: Value { format: "rle", rle, brushlabels: [&instance.category.name] },
            });
        }
        let sum: f32 = picture.instances().iter().map(|i| i.score).sum();
        let score = (!result.is_empty()).then(|| sum / result.len() as f32);
        let predictions = [Prediction { model_version: "diffews-wgpu", score, result }];
        let data = [(field.as_str(), format!("{prefix}{}", picture.file_name()))].into();
        self.file.add(&[lines([Task { data, predictions }])])
    }

    /// Writes the file. Dropping does so, too, but ignores errors.
    ///
    /// # Errors
    /// I/O errors.
    pub fn finish(self) -> Result<(), FormatError> {
        self.file.finish()
    }
}

fn large(picture: &Picture) -> FormatError {
    let (width, height) = picture.size();
    FormatError::Pixels { file: shown::text(picture.file_name()), width, height, format: "Label Studio's run lengths" }
}

/// The bytes of `label_studio_converter.brush.mask2rle` for a mask of 0 and 255: four equal bytes per pixel, row by row. `None` for 2^30
/// pixels or more, whose number of bytes the format cannot hold.
pub fn brush(region: &Region) -> Option<Vec<u8>> {
    let (width, height) = region.size();
    let total = u64::from(width) * u64::from(height) * 4;
    let mut bits = Bits::default();
    bits.push(u32::try_from(total).ok()?.into(), 32);
    // The size of words and the four sizes of lengths, each minus 1.
    bits.push(8 - 1, 5);
    SIZES.iter().for_each(|size| bits.push(size - 1, 4));
    let mut at = 0;
    // Runs that continue in the next row are one run.
    let mut run = 0..0;
    let place = |y: u32, x: u32| (u64::from(y) * u64::from(width) + u64::from(x)) * 4;
    for next in region.runs() {
        let next = place(next.y, next.start)..place(next.y, next.end);
        if next.start != run.end || run.is_empty() {
            bits.series(run.start - at, 0);
            bits.series(run.end - run.start, 255);
            (at, run) = (run.end, next);
        } else {
            run.end = next.end;
        }
    }
    bits.series(run.start - at, 0);
    bits.series(run.end - run.start, 255);
    bits.series(total - run.end, 0);
    Some(bits.finish())
}

/// Sizes of lengths in bits; two bits select one.
const SIZES: [u64; 4] = [3, 4, 8, 16];

/// Writes bits, high bits first.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: u32,
}

impl Bits {
    fn push(&mut self, value: u64, count: u64) {
        for bit in (0..count).rev() {
            if self.used == 0 {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= ((value >> bit & 1) as u8) << (7 - self.used);
            }
            self.used = (self.used + 1) % 8;
        }
    }

    /// Writes a run of `length` equal bytes.
    fn series(&mut self, mut length: u64, value: u64) {
        while length > 0 {
            let part = length.min(1 << 16);
            let size = SIZES.iter().position(|&size| part <= 1 << size).unwrap_or(SIZES.len() - 1);
            self.push(1, 1);
            self.push(size as u64, 2);
            self.push(part - 1, SIZES[size]);
            self.push(value, 8);
            length -= part;
        }
    }

    /// The converter pads the last byte, or adds one if it is full.
    fn finish(mut self) -> Vec<u8> {
        if self.used == 0 {
            self.bytes.push(0);
        }
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::tests::{HOSTILE, drawn, pets};
    use serde_json::{Value, json};

    #[expect(clippy::unusual_byte_groupings, reason = "groups are the fields of the format")]
    #[test]
    fn lengths_have_four_sizes() {
        // One pixel: 4 bytes of 255 are 1, 00, 011, 11111111.
        let one = brush(&drawn(&["#"])).unwrap();
        assert_eq!(one[..4], [0, 0, 0, 4]);
        assert_eq!(one[4..], [0b00111_001, 0b0_0011_011, 0b1_1111_1_00, 0b011_11111, 0b111_00000]);
        // 4 pixels are 16 bytes, of the second size.
        let four = brush(&drawn(&["##", "##"])).unwrap();
        assert_eq!(four[6..], [0b11111_101, 0b1111_1111, 0b1111_0000]);
    }

    #[test]
    fn tasks_have_predictions() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.json");
        let labeling = Labeling { prefix: "/data/local-files/?d=".into(), ..Labeling::default() };
        let mut file = LabelStudioFile::create(&path, false, &labeling).unwrap();
        file.add(&pets(HOSTILE)).unwrap();
        file.add(&Picture::new(8, "b.png", (2, 1), vec![]).unwrap()).unwrap();
        file.finish().unwrap();
        let all: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(all[0]["data"]["image"], format!("/data/local-files/?d={HOSTILE}"));
        let result = &all[0]["predictions"][0]["result"];
        assert_eq!(
            (&result[0]["value"]["brushlabels"], &result[1]["value"]["brushlabels"]),
            (&json!(["cat"]), &json!([HOSTILE]))
        );
        assert_eq!((&result[1]["id"], &result[1]["original_width"]), (&json!("7-2"), &json!(6)));
        assert_eq!(all[1]["predictions"], json!([{"model_version": "diffews-wgpu", "result": []}]));
    }

    #[test]
    fn pictures_without_a_number_are_refused() {
        assert!(brush(&Region::new(1 << 15, 1 << 15, vec![]).unwrap()).is_none());
        assert!(brush(&Region::new(1 << 15, (1 << 15) - 1, vec![]).unwrap()).is_some());
    }
}
