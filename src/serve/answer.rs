//! From a map to the parts of an answer: mask, objects, outlines.

use super::app::App;
use super::problem::Problem;
use crate::formats::{Ring, Tolerance, joined, outlines};
use crate::image_io::{DecodedMap, Mask, Object, ObjectOptions, Region, RgbImage, find_objects, mask_of_objects};
use crate::settings::{MaskRule, Threshold};
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Default tolerance of outlines in pixels: it turns one-pixel stairs into straight lines.
const TOLERANCE: f64 = 1.0;

/// How a map becomes a mask, and which objects are kept.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
pub struct Wanted {
    /// Threshold as a part of the map's maximum; replaces the model's own.
    #[schema(minimum = 0, maximum = 1)]
    threshold: Option<f64>,
    /// Threshold as a fixed value.
    #[schema(minimum = 0, maximum = 1)]
    absolute_threshold: Option<f64>,
    /// If the score is lower, the mask is empty.
    #[schema(minimum = 0, maximum = 1)]
    min_score: Option<f64>,
    /// Another name of `min_score`, which annotation tools use.
    #[schema(minimum = 0, maximum = 1)]
    conf_threshold: Option<f64>,
    /// Area of the smallest object to keep, in pixels.
    // Some clients write integers with a decimal point.
    #[schema(minimum = 0)]
    min_area: Option<f64>,
    #[serde(default)]
    fill_holes: bool,
    /// Keep only the largest object.
    #[serde(default)]
    largest: bool,
    /// Largest distance of outlines from the mask in pixels; 1 by default.
    #[schema(minimum = 0)]
    tolerance: Option<f64>,
    /// The tolerance as a part of an object's perimeter, for X-AnyLabeling's slider, which is meant for OpenCV's `approxPolyDP`.
    #[schema(minimum = 0)]
    epsilon_factor: Option<f64>,
}

/// A query: scaled to the network's size, and its original size.
pub struct Query {
    pub small: RgbImage,
    pub size: (u32, u32),
}

impl Query {
    pub fn new(app: &App, rgb: &RgbImage) -> Query {
        Query { small: app.framing.picture(rgb, app.size), size: rgb.dimensions() }
    }
}

/// The result for a query.
pub struct Prediction {
    pub map: DecodedMap,
    pub mask: Mask,
    pub score: f32,
    pub objects: Vec<Object>,
}

/// An outline of an object.
pub struct Outline {
    pub points: Ring,
    /// Index of its object.
    pub object: usize,
    /// Whether the object has several outlines.
    pub is_part: bool,
}

impl Wanted {
    /// The rule for the mask; `default` is the model's own. Fails for invalid numbers, before anything is computed.
    pub fn rule(&self, default: MaskRule) -> Result<MaskRule, Problem> {
        let threshold = match (self.threshold, self.absolute_threshold) {
            (Some(_), Some(_)) => return Err(Problem::bad("threshold and absolute_threshold exclude each other")),
            (Some(part), None) => Threshold::Relative(part),
            (None, Some(level)) => Threshold::Absolute(level),
            (None, None) => default.threshold,
        };
        let min_score = self.min_score.or(self.conf_threshold).unwrap_or(default.min_score);
        self.tolerance(None)?;
        if self.min_area.is_some_and(|area| area < 0.0) {
            return Err(Problem::bad("min_area must be a number of pixels from 0"));
        }
        MaskRule { threshold, min_score }.check().map_err(Problem::bad)
    }

    /// The tolerance; `region` is needed if it is relative to a perimeter.
    fn tolerance(&self, region: Option<&Region>) -> Result<Tolerance, Problem> {
        let pixels = match (self.tolerance, self.epsilon_factor) {
            (Some(pixels), _) => pixels,
            (None, Some(factor)) => factor * region.map_or(1.0, perimeter),
            (None, None) => TOLERANCE,
        };
        Tolerance::new(pixels).map_err(|error| Problem::bad(error.to_string()))
    }

    /// The prediction for a query of `size` from the network's square map.
    pub fn predict(&self, app: &App, map: DecodedMap, size: (u32, u32), rule: MaskRule) -> Result<Prediction, Problem> {
        let map = app.framing.map(map, size);
        let mask = map.mask_at(size.0, size.1, rule);
        let options =
            // The cast saturates for numbers larger than any picture.
            ObjectOptions {
                min_area: self.min_area.unwrap_or(0.0).ceil() as u64,
                fill_holes: self.fill_holes,
                largest: self.largest,
            };
        let internal = |error: crate::image_io::ImageError| Problem::internal(error.to_string());
        let objects = find_objects(&mask, Some(&map.map_at(size.0, size.1)), &options).map_err(internal)?;
        let mask = if options == ObjectOptions::default() {
            mask
        } else {
            mask_of_objects(&objects, size).map_err(internal)?
        };
        Ok(Prediction { score: map.score(rule.threshold), map, mask, objects })
    }

    /// The outlines of all objects, each joined with its holes to one line.
    pub fn outlines(&self, objects: &[Object]) -> Result<Vec<Outline>, Problem> {
        let mut all = Vec::new();
        for (object, found) in objects.iter().enumerate() {
            let polygons = outlines(&found.region, self.tolerance(Some(&found.region))?);
            let is_part = polygons.len() > 1;
            let lines = polygons.iter().map(|p| joined([&p.outer].into_iter().chain(&p.holes)));
            all.extend(lines.map(|points| Outline { points, object, is_part }));
        }
        Ok(all)
    }
}

/// Perimeter of the largest part of a region, in pixels.
fn perimeter(region: &Region) -> f64 {
    let length = |ring: &Ring| {
        let next = ring.iter().cycle().skip(1);
        let side = |(a, b): (&[u32; 2], &[u32; 2])| {
            let along = |i: usize| f64::from(a[i]) - f64::from(b[i]);
            along(0).hypot(along(1))
        };
        ring.iter().zip(next).map(side).sum::<f64>()
    };
    // Stairs of pixels are up to half longer than OpenCV's perimeter: a tolerance of one pixel makes them straight.
    let smooth = Tolerance::new(TOLERANCE).map(|tolerance| outlines(region, tolerance)).unwrap_or_default();
    smooth.iter().map(|polygon| length(&polygon.outer)).fold(0.0, f64::max)
}

/// Serializes an answer.
pub fn text(value: &impl Serialize) -> Result<String, Problem> {
    serde_json::to_string(value).map_err(|error| Problem::internal(error.to_string()))
}

/// An answer in JSON.
pub fn json(status: StatusCode, text: String) -> Response {
    let mut response = (status, Body::from(text)).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
