//! A query's map to its files and to what is said of it: beside the GPU's thread.

use super::super::output::Job;
use super::super::report::{Machine, Report, Support};
use super::super::show;
use super::Args;
use diffews_wgpu::Stage;
use diffews_wgpu::image_io::{DecodedMap, RgbImage, Threshold};

/// A query that was computed.
pub struct Computed {
    pub size: (u32, u32),
    pub whole: Option<RgbImage>,
    pub map: DecodedMap,
    pub machine: Machine,
    pub times: Vec<(Stage, f64)>,
}

/// What is printed of a query that is done.
pub struct Said {
    /// The line for people or the object for programs.
    pub line: Option<String>,
    pub drawing: Option<String>,
}

/// Writes the files of `job`.
pub fn write(
    args: &Args,
    supports: &[Support],
    job: &Job,
    computed: Computed,
    threshold: Threshold,
) -> anyhow::Result<Said> {
    let Computed { size: (width, height), whole, map, machine, times } = computed;
    let mask = map.mask_at(width, height, threshold)?;
    job.write(whole.as_ref(), &mask, &map, args.force)?;
    let report = Report::new(machine, supports, job, &mask, threshold, &times);
    let line = match (args.json, args.quiet) {
        (true, _) => Some(serde_json::to_string(&report)?),
        (false, true) => None,
        (false, false) => Some(report.summary()),
    };
    let drawing = whole.filter(|_| args.show).map(|rgb| show::draw(&rgb, &mask));
    Ok(Said { line, drawing })
}
