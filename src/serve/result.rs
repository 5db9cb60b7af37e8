//! The answer of `/v1/segment`.

use super::answer::{self, Wanted};
use super::app::App;
use super::pictures;
use super::problem::Problem;
use crate::image_io::BoundingBox;
use crate::segment::Segmentation;
use crate::settings::{self, MaskRule};
use serde::Serialize;
use utoipa::ToSchema;

/// What a client wants in the answer.
pub struct ResultOptions {
    pub wanted: Wanted,
    pub rule: MaskRule,
    pub map: bool,
    pub polygons: bool,
    pub warnings: Vec<String>,
}

/// The result for a picture.
#[derive(Serialize, ToSchema)]
pub struct SegmentResult {
    width: u32,
    height: u32,
    /// Whether the mask is not empty.
    found: bool,
    /// The network's confidence that the thing is in the picture, from 0 to 1.
    score: f32,
    /// Bounding box of the mask: left, top, right and bottom.
    r#box: Option<[u32; 4]>,
    foreground_fraction: f64,
    objects: Vec<SegmentObject>,
    /// PNG in base64, 255 for foreground.
    mask: String,
    /// PNG in base64 of the map before the threshold, 255 for 1.
    map: Option<String>,
    /// The map's maximum; relative thresholds are parts of it.
    peak: f32,
    threshold: Threshold,
    min_score: f64,
    precision: &'static str,
    /// Seconds on the device.
    seconds: f64,
    /// Warnings about the masks of the request's examples.
    warnings: Vec<String>,
}

/// A connected component of the mask.
#[derive(Serialize, ToSchema)]
pub struct SegmentObject {
    /// Number of pixels.
    area: u64,
    /// Bounding box: left, top, right and bottom.
    r#box: [u32; 4],
    /// The map's mean inside the object.
    score: Option<f32>,
    /// Its outlines, joined with its holes.
    #[serde(skip_serializing_if = "Option::is_none")]
    polygons: Option<Vec<Vec<[u32; 2]>>>,
}

/// The threshold that made the mask.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Threshold {
    Relative(f64),
    Absolute(f64),
}

/// Left, top, right and bottom, in pixels.
fn corners(b: BoundingBox) -> [u32; 4] {
    [b.x, b.y, b.x + b.width, b.y + b.height]
}

impl ResultOptions {
    /// The result for a query of `size`, as JSON.
    pub fn json(self, app: &App, found: Segmentation, size: (u32, u32)) -> Result<String, Problem> {
        let seconds: f64 = found.times().iter().map(|(_, seconds)| seconds).sum();
        let precision = found.precision().name();
        let found = self.wanted.predict(app, found.into_map(), size, self.rule)?;
        let mut objects: Vec<SegmentObject> = found
            .objects
            .iter()
            .map(|object| {
                let polygons = self.polygons.then(Vec::new);
                SegmentObject { area: object.area, r#box: corners(object.bounding_box), score: object.score, polygons }
            })
            .collect();
        if self.polygons {
            for outline in self.wanted.outlines(&found.objects)? {
                if let Some(all) = objects.get_mut(outline.object).and_then(|object| object.polygons.as_mut()) {
                    all.push(outline.points);
                }
            }
        }
        let map = self.map.then(|| {
            let map = found.map.map_at(size.0, size.1);
            let levels: Vec<u8> = map.iter().map(|v| (v.clamp(0.0, 1.0) * 255.0 + 0.5) as u8).collect();
            pictures::grey_png(&levels, size)
        });
        let threshold = match self.rule.threshold {
            settings::Threshold::Relative(value) => Threshold::Relative(value),
            settings::Threshold::Absolute(value) => Threshold::Absolute(value),
        };
        answer::text(&SegmentResult {
            width: size.0,
            height: size.1,
            found: found.mask.bounding_box().is_some(),
            score: found.score,
            r#box: found.mask.bounding_box().map(corners),
            foreground_fraction: found.mask.foreground_fraction(),
            objects,
            mask: pictures::mask_png(&found.mask)?,
            map: map.transpose()?,
            peak: found.map.peak(),
            threshold,
            min_score: self.rule.min_score,
            precision,
            seconds,
            warnings: self.warnings,
        })
    }
}
