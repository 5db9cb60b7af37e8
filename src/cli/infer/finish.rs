//! A query's map to its files and to what is said of it: beside the GPU's thread.

use super::super::output::{Existing, Found, Job};
use super::super::report::{Examples, Machine, Report};
use super::super::{json_line, show};
use super::Args;
use super::load::Loaded;
use diffews_wgpu::Stage;
use diffews_wgpu::image_io::{DecodedMap, ImageError, Labelling};
use diffews_wgpu::settings::Threshold;

/// A query that was computed.
pub struct Computed {
    pub loaded: Loaded,
    /// Of each class.
    pub maps: Vec<DecodedMap>,
    pub machine: Machine,
    pub times: Vec<(Stage, f64)>,
}

/// What is printed of a query that is done.
pub enum Said {
    /// The object for programs.
    Json(String),
    /// The line for people, and a drawing.
    Line(Option<String>, Option<String>),
    /// Nothing: another run has written all of it meanwhile.
    Found,
}

/// Writes the files of `job`.
pub fn write(
    args: &Args,
    examples: &Examples,
    job: &Job,
    computed: Computed,
    threshold: Threshold,
    existing: Existing,
) -> anyhow::Result<Said> {
    let Computed { loaded, maps, machine, times } = computed;
    let found = found(maps, loaded.size, threshold, examples.are_named().then_some(args.margin as f32))?;
    if !job.write(loaded.whole.as_ref(), &found, loaded.size, existing)? {
        return Ok(Said::Found);
    }
    let mask = found.foreground();
    let report = Report::new(machine, examples, job, &found, threshold, &times);
    if args.json {
        return Ok(Said::Json(json_line(&report)?));
    }
    let drawing = loaded.whole.filter(|_| args.show).map(|rgb| show::draw(&rgb, &mask));
    Ok(Said::Line((!args.quiet).then(|| report.summary()), drawing))
}

/// A mask; of classes with names a label map, in which they are at least `margin` apart.
fn found(
    mut maps: Vec<DecodedMap>,
    size: (u32, u32),
    threshold: Threshold,
    margin: Option<f32>,
) -> Result<Found, ImageError> {
    let mask = |map: &DecodedMap| map.mask_at(size.0, size.1, threshold);
    let Some(margin) = margin else {
        let map = maps.swap_remove(0);
        return Ok(Found::Mask { mask: mask(&map), map });
    };
    let mut labelling = Labelling::new(size);
    for map in &maps {
        labelling.add(&map.map_at(size.0, size.1), &mask(map))?;
    }
    Ok(Found::Labels { labels: labelling.finish(margin), maps })
}
