//! What is said of a result: one line for people, one JSON object for programs.

use super::output::Job;
use diffews_wgpu::image_io::{BoundingBox, Mask, RgbImage, Threshold};
use diffews_wgpu::plan::Storage;
use diffews_wgpu::{GuidedFilter, Segmenter, Stage};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// An example and where it came from.
pub struct Support {
    pub image: PathBuf,
    pub mask: PathBuf,
    pub data: (RgbImage, Mask),
}

/// What computed a query.
#[derive(Serialize)]
pub struct Machine {
    /// Side of the square that the network saw.
    size: u32,
    /// How outlines were refined, if they were.
    guided_filter: Option<GuidedFilter>,
    adapter: String,
    backend: String,
    driver: String,
    precision: &'static str,
    /// Largest sum of GPU buffers at one time, as planned.
    peak_memory_bytes: u64,
}

impl Machine {
    pub fn of(segmenter: &Segmenter) -> Machine {
        let facts = &segmenter.gpu().facts;
        Machine {
            size: segmenter.size(),
            guided_filter: segmenter.guided_filter(),
            adapter: facts.name.clone(),
            backend: facts.backend.clone(),
            driver: facts.driver.clone(),
            // As the flag has it.
            precision: if segmenter.storage() == Storage::F32 { "f32" } else { "f16" },
            peak_memory_bytes: segmenter.memory().peak(),
        }
    }
}

/// One line of `--json`.
#[derive(Serialize)]
pub struct Report {
    query: String,
    supports: Vec<Value>,
    mask: String,
    overlay: Option<String>,
    probability: Option<String>,
    width: u32,
    height: u32,
    foreground_fraction: f64,
    bounding_box: Option<Value>,
    threshold: Value,
    #[serde(flatten)]
    machine: Machine,
    /// By stage. Loading and the supports count once for all queries of a run.
    seconds: Map<String, Value>,
}

impl Report {
    pub fn new(
        machine: Machine,
        supports: &[Support],
        job: &Job,
        mask: &Mask,
        threshold: Threshold,
        times: &[(Stage, f64)],
    ) -> Report {
        let (width, height) = mask.size();
        let corners = |b: BoundingBox| json!({"x": b.x, "y": b.y, "width": b.width, "height": b.height});
        Report {
            query: text(&job.query),
            supports: supports.iter().map(|s| json!({"image": text(&s.image), "mask": text(&s.mask)})).collect(),
            mask: text(&job.mask),
            overlay: job.overlay.as_deref().map(text),
            probability: job.probability.as_deref().map(text),
            width,
            height,
            foreground_fraction: mask.foreground_fraction(),
            bounding_box: mask.bounding_box().map(corners),
            threshold: match threshold {
                Threshold::Relative(value) => json!({"relative": value}),
                Threshold::Absolute(value) => json!({"absolute": value}),
            },
            machine,
            seconds: times.iter().map(|(s, t)| (s.to_string().replace(' ', "_"), json!(t))).collect(),
        }
    }

    pub fn summary(&self) -> String {
        let seconds: f64 = self.seconds.values().filter_map(Value::as_f64).sum();
        let found = match self.foreground_fraction {
            0.0 => "nothing found".to_string(),
            part => format!("{:.1} % foreground", 100.0 * part),
        };
        format!("{} -> {} ({found}, {seconds:.2} s)", self.query, self.mask)
    }
}

/// JSON knows UTF-8 only, file systems more.
fn text(path: &Path) -> String {
    path.display().to_string()
}

/// The line of `--json` for a query that failed.
pub fn failure(job: &Job, error: &anyhow::Error) -> anyhow::Result<String> {
    Ok(serde_json::to_string(&json!({"query": text(&job.query), "error": error.to_string()}))?)
}
