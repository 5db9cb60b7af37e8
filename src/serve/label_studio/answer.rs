//! Predictions as Label Studio reads them.

use super::super::answer::Wanted;
use super::super::app::App;
use super::super::problem::Problem;
use super::config::{Config, Kind};
use crate::formats::label_studio::brush;
use crate::image_io::{DecodedMap, ImageError, Labelling, Mask, Object, ObjectOptions, Region, find_objects};
use serde_json::{Value, json};

/// Smaller parts are left out, as a part of the picture's pixels: people would have to delete them one by one.
const LEAST: f64 = 1e-4;

/// The regions of a picture.
pub struct Regions<'a> {
    config: &'a Config,
    all: Vec<Value>,
    scores: Vec<f32>,
}

fn internal(error: ImageError) -> Problem {
    Problem::internal(error.to_string())
}

impl<'a> Regions<'a> {
    pub fn new(config: &'a Config) -> Regions<'a> {
        Regions { config, all: Vec::new(), scores: Vec::new() }
    }

    /// What users have marked, as one region.
    pub fn of_mask(mut self, mask: &Mask, label: &str) -> Result<Regions<'a>, Problem> {
        let objects = find_objects(mask, None, &ObjectOptions::default()).map_err(internal)?;
        if self.config.kind == Kind::Brush {
            // Things that are covered in part have several parts, and are one.
            let region = Region::of(mask);
            let value = self.brushed(&region)?;
            self.push(value, mask.size(), label, None);
        } else {
            self.add(&objects, mask.size(), label)?;
        }
        Ok(self)
    }

    /// What maps of classes show, one for each label. A pixel is of one class at most.
    pub fn of_maps(
        mut self,
        app: &App,
        maps: Vec<DecodedMap>,
        labels: &[String],
        size: (u32, u32),
    ) -> Result<Regions<'a>, Problem> {
        let least = (LEAST * f64::from(size.0) * f64::from(size.1)).ceil() as u64;
        let options = ObjectOptions { min_area: least, ..ObjectOptions::default() };
        let mut found = Vec::new();
        let mut labelling = Labelling::new(size);
        for map in maps {
            let map = Wanted::default().found(app, map, size, app.rule)?;
            let values = map.map.map_at(size.0, size.1);
            labelling.add(&values, &map.mask).map_err(internal)?;
            found.push(values);
        }
        let classes = labelling.finish(0.0);
        for (number, (values, label)) in (1..).zip(found.iter().zip(labels)) {
            let objects = find_objects(&classes.mask(number), Some(values), &options).map_err(internal)?;
            self.add(&objects, size, label)?;
        }
        Ok(self)
    }

    fn add(&mut self, objects: &[Object], size: (u32, u32), label: &str) -> Result<(), Problem> {
        let percent = |x: f64, y: f64| [100.0 * x / f64::from(size.0), 100.0 * y / f64::from(size.1)];
        match self.config.kind {
            Kind::Brush => {
                for object in objects {
                    let value = self.brushed(&object.region)?;
                    self.push(value, size, label, object.score);
                }
            }
            Kind::Polygon => {
                for outline in Wanted::default().outlines(objects)? {
                    let points: Vec<[f64; 2]> =
                        outline.points.iter().map(|&[x, y]| percent(f64::from(x), f64::from(y))).collect();
                    let score = objects.get(outline.object).and_then(|object| object.score);
                    self.push(json!({"points": points, "closed": true}), size, label, score);
                }
            }
            Kind::Rectangle => {
                for object in objects {
                    let b = object.bounding_box;
                    let [x, y] = percent(b.x.into(), b.y.into());
                    let [width, height] = percent(b.width.into(), b.height.into());
                    let value = json!({"x": x, "y": y, "width": width, "height": height, "rotation": 0});
                    self.push(value, size, label, object.score);
                }
            }
        }
        Ok(())
    }

    fn brushed(&self, region: &Region) -> Result<Value, Problem> {
        let rle =
            brush(region).ok_or_else(|| Problem::bad("the picture is too large for Label Studio's run lengths"))?;
        Ok(json!({"format": "rle", "rle": rle}))
    }

    fn push(&mut self, mut value: Value, size: (u32, u32), label: &str, score: Option<f32>) {
        let Config { kind, from_name, to_name, .. } = self.config;
        value[kind.name()] = json!([label]);
        self.scores.extend(score);
        let mut region = json!({
            "id": format!("{:010x}", fastrand::u64(..1 << 40)),
            "from_name": from_name,
            "to_name": to_name,
            "type": kind.name(),
            "original_width": size.0,
            "original_height": size.1,
            "image_rotation": 0,
            "value": value,
        });
        if let Some(score) = score {
            region["score"] = json!(score);
        }
        self.all.push(region);
    }

    /// With the mean of its regions' scores.
    pub fn prediction(self, version: &str) -> Result<Value, Problem> {
        let mean = self.scores.iter().sum::<f32>() / self.scores.len().max(1) as f32;
        Ok(json!({"result": self.all, "score": mean, "model_version": version}))
    }
}
