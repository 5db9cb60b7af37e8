//! Predictions in Label Studio's format.

use super::super::answer::Wanted;
use super::super::app::App;
use super::super::problem::Problem;
use super::config::{Config, Kind};
use crate::formats::label_studio::brush;
use crate::image_io::{self, DecodedMap, ImageError, Labelling, Mask, Object, ObjectOptions, find_objects};
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Smallest part to keep, as a fraction of the picture: users would have to delete smaller ones by hand.
const LEAST: f64 = 1e-4;

/// The regions of a picture.
pub struct Regions<'a> {
    config: &'a Config,
    all: Vec<Region>,
    scores: Vec<f32>,
}

/// A region in Label Studio's format.
#[derive(Serialize)]
struct Region {
    id: String,
    from_name: String,
    to_name: String,
    r#type: &'static str,
    original_width: u32,
    original_height: u32,
    image_rotation: u32,
    value: Drawn,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f32>,
}

#[derive(Serialize)]
struct Drawn {
    #[serde(flatten)]
    shape: Shape,
    /// Labels under the name of their kind.
    #[serde(flatten)]
    labels: BTreeMap<&'static str, [String; 1]>,
}

/// Coordinates in percent of the picture's sides.
#[derive(Serialize)]
#[serde(untagged)]
enum Shape {
    Brush { format: &'static str, rle: Vec<u8> },
    Polygon { points: Vec<[f64; 2]>, closed: bool },
    Rectangle { x: f64, y: f64, width: f64, height: f64, rotation: u32 },
}

#[derive(Serialize)]
struct Prediction<'a> {
    result: &'a [Region],
    /// Mean score of its regions.
    score: f32,
    model_version: &'a str,
}

fn internal(error: ImageError) -> Problem {
    Problem::internal(error.to_string())
}

impl<'a> Regions<'a> {
    pub fn new(config: &'a Config) -> Regions<'a> {
        Regions { config, all: Vec::new(), scores: Vec::new() }
    }

    /// The mask of a user's marks, as one region.
    pub fn of_mask(mut self, mask: &Mask, label: &str) -> Result<Regions<'a>, Problem> {
        if self.config.kind == Kind::Brush {
            // A partly covered thing has several parts but is one region.
            let shape = brushed(&image_io::Region::of(mask))?;
            self.push(shape, mask.size(), label, None);
        } else {
            let objects = find_objects(mask, None, &ObjectOptions::default()).map_err(internal)?;
            self.add(&objects, mask.size(), label)?;
        }
        Ok(self)
    }

    /// Regions from the maps of classes, one map for each label. A pixel has at most one class.
    pub fn of_maps(
        mut self,
        app: &App,
        maps: Vec<DecodedMap>,
        labels: &[String],
        size: (u32, u32),
    ) -> Result<Regions<'a>, Problem> {
        let least = (LEAST * f64::from(size.0) * f64::from(size.1)).ceil() as u64;
        let options = ObjectOptions { min_area: least, ..ObjectOptions::default() };
        // Keep maps at the network's size, and enlarge only one at a time.
        let maps: Vec<DecodedMap> = maps.into_iter().map(|map| app.framing.map(map, size)).collect();
        let mut labelling = Labelling::new(size);
        for map in &maps {
            let mask = map.mask_at(size.0, size.1, app.rule);
            labelling.add(&map.map_at(size.0, size.1), &mask).map_err(internal)?;
        }
        let classes = labelling.finish(0.0);
        for (number, (map, label)) in (1..).zip(maps.iter().zip(labels)) {
            let values = map.map_at(size.0, size.1);
            let objects = find_objects(&classes.mask(number), Some(&values), &options).map_err(internal)?;
            self.add(&objects, size, label)?;
        }
        Ok(self)
    }

    fn add(&mut self, objects: &[Object], size: (u32, u32), label: &str) -> Result<(), Problem> {
        let percent =
            |x: u32, y: u32| [100.0 * f64::from(x) / f64::from(size.0), 100.0 * f64::from(y) / f64::from(size.1)];
        match self.config.kind {
            Kind::Brush => {
                for object in objects {
                    self.push(brushed(&object.region)?, size, label, object.score);
                }
            }
            Kind::Polygon => {
                for outline in Wanted::default().outlines(objects)? {
                    let points = outline.points.iter().map(|&[x, y]| percent(x, y)).collect();
                    let score = objects.get(outline.object).and_then(|object| object.score);
                    self.push(Shape::Polygon { points, closed: true }, size, label, score);
                }
            }
            Kind::Rectangle => {
                for object in objects {
                    let b = object.bounding_box;
                    let ([x, y], [width, height]) = (percent(b.x, b.y), percent(b.width, b.height));
                    self.push(Shape::Rectangle { x, y, width, height, rotation: 0 }, size, label, object.score);
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, shape: Shape, size: (u32, u32), label: &str, score: Option<f32>) {
        let Config { kind, from_name, to_name, .. } = self.config;
        self.scores.extend(score);
        self.all.push(Region {
            id: format!("{:010x}", fastrand::u64(..1 << 40)),
            from_name: from_name.clone(),
            to_name: to_name.clone(),
            r#type: kind.name(),
            original_width: size.0,
            original_height: size.1,
            image_rotation: 0,
            value: Drawn { shape, labels: [(kind.name(), [label.to_owned()])].into() },
            score,
        });
    }

    /// The prediction as JSON.
    pub fn prediction(self, version: &str) -> Result<Box<RawValue>, Problem> {
        let score = self.scores.iter().sum::<f32>() / self.scores.len().max(1) as f32;
        super::raw(&Prediction { result: &self.all, score, model_version: version })
    }
}

fn brushed(region: &image_io::Region) -> Result<Shape, Problem> {
    let rle = brush(region).ok_or_else(|| Problem::bad("the picture is too large for Label Studio's run lengths"))?;
    Ok(Shape::Brush { format: "rle", rle })
}
