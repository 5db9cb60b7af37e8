//! A query's map to its files and to what is said of it: beside the GPU's thread.

use super::super::output::{Existing, Job};
use super::super::report::{Machine, Report};
use super::super::{json_line, show};
use super::Args;
use super::load::Loaded;
use diffews_wgpu::Stage;
use diffews_wgpu::image_io::DecodedMap;
use diffews_wgpu::settings::Threshold;
use serde_json::Value;

/// A query that was computed.
pub struct Computed {
    pub loaded: Loaded,
    pub map: DecodedMap,
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
    examples: &[Value],
    job: &Job,
    computed: Computed,
    threshold: Threshold,
    existing: Existing,
) -> anyhow::Result<Said> {
    let Computed { loaded, map, machine, times } = computed;
    let (width, height) = loaded.size;
    let mask = map.mask_at(width, height, threshold);
    if !job.write(loaded.whole.as_ref(), &mask, &map, existing)? {
        return Ok(Said::Found);
    }
    let report = Report::new(machine, examples, job, &mask, threshold, &times);
    if args.json {
        return Ok(Said::Json(json_line(&report)?));
    }
    let drawing = loaded.whole.filter(|_| args.show).map(|rgb| show::draw(&rgb, &mask));
    Ok(Said::Line((!args.quiet).then(|| report.summary()), drawing))
}
