//! Reports of a result: a line for people, a JSON object for programs.

use super::advice::describe;
use super::classes::Class;
use super::job::{ClassFiles, Job, is_picture};
use super::{json_line, one_line};
use diffews_wgpu::image_io::{BoundingBox, DecodedMap, Object, Prediction, Tiles};
use diffews_wgpu::names::percent_encoded;
use diffews_wgpu::segment::{ClassExtent, StripPrediction};
use diffews_wgpu::settings::{MaskRule, Threshold};
use diffews_wgpu::tune::Tally;
use diffews_wgpu::{BankFile, Example, GuidedFilter, Precision, Segmenter, Stage};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// An example and its files.
pub struct Support {
    pub image: PathBuf,
    /// `None` if it was made from marks and not written.
    pub mask: Option<PathBuf>,
    /// What warnings of the mask name.
    pub named: String,
    pub data: Example,
}

/// The setup that computed a query.
#[derive(Serialize)]
pub struct Machine {
    /// Side of the square that the network saw.
    size: u32,
    /// How pictures were made square.
    fit: &'static str,
    /// Side and overlap of tiles, if queries were cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    tiles: Option<[u32; 2]>,
    /// The guided filter, if one was used.
    guided_filter: Option<GuidedFilter>,
    adapter: String,
    backend: String,
    driver: String,
    /// Whether the driver checks indices: newer versions of Mesa's CPU driver run without.
    range_checks: bool,
    precision: &'static str,
    /// Forms of kernels with several, such as `conv2d=tiled-64`, in the syntax of `--form`.
    forms: BTreeSet<String>,
    /// How many problems were measured; null if all forms were chosen by rule.
    tuned: Option<Tally>,
    /// Largest sum of GPU buffers at one time, as planned.
    peak_memory_bytes: u64,
}

impl Machine {
    pub fn of(segmenter: &Segmenter, tiles: Option<Tiles>, precision: Precision) -> Machine {
        let facts = segmenter.gpu().facts();
        Machine {
            size: segmenter.size(),
            fit: segmenter.framing().name(),
            tiles: tiles.map(|tiles| [tiles.side(), tiles.overlap()]),
            guided_filter: segmenter.guided_filter(),
            adapter: facts.name.clone(),
            backend: facts.backend.clone(),
            driver: facts.driver.clone(),
            range_checks: facts.range_checks,
            precision: precision.name(),
            forms: segmenter.memory().forms.clone(),
            tuned: segmenter.memory().tuned,
            peak_memory_bytes: segmenter.loaded_bytes(),
        }
    }
}

/// One line of `--json`.
#[derive(Serialize)]
pub struct Report {
    query: String,
    supports: Vec<Value>,
    /// The negative examples.
    #[serde(skip_serializing_if = "Option::is_none")]
    negatives: Option<Vec<Value>>,
    /// A mask or a label map.
    mask: Option<String>,
    /// A file of another format.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<String>,
    overlay: Option<String>,
    probability: Option<String>,
    /// Names that are not UTF-8, percent-encoded, as `query_bytes` and so on.
    #[serde(flatten)]
    exact: Map<String, Value>,
    width: u32,
    height: u32,
    foreground_fraction: f64,
    bounding_box: Option<Value>,
    /// Whether anything was found.
    found: bool,
    /// Score of a mask; classes have their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f32>,
    min_score: f64,
    /// Connected components; named classes have their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    objects: Option<Vec<Value>>,
    /// The named classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    classes: Option<Vec<Value>>,
    threshold: Value,
    #[serde(flatten)]
    machine: Machine,
    /// By stage. Loading and the supports count once for all queries of a run.
    seconds: Map<String, Value>,
}

/// What is said of what was found.
struct Summary {
    size: (u32, u32),
    foreground_fraction: f64,
    bounding_box: Option<BoundingBox>,
    /// Of a mask.
    score: Option<f32>,
}

impl Report {
    pub fn new(
        machine: Machine,
        examples: &Examples,
        job: &Job,
        (found, objects): (&Prediction, Option<&[Vec<Object>]>),
        rule: MaskRule,
        times: &[(Stage, f64)],
    ) -> Report {
        let mask = found.foreground();
        let summary = Summary {
            size: mask.size(),
            foreground_fraction: mask.foreground_fraction(),
            bounding_box: mask.bounding_box(),
            score: match found {
                Prediction::Mask { map, .. } => Some(map.score(rule.threshold)),
                Prediction::Labels { maps, .. } if !examples.are_named() => {
                    maps.first().map(|map| map.score(rule.threshold))
                }
                Prediction::Labels { .. } => None,
            },
        };
        Report {
            objects: objects
                .filter(|_| !examples.are_named())
                .map(|all| all.iter().flatten().map(told_object).collect()),
            classes: examples.are_named().then(|| examples.of(job, class_summaries(found, objects, rule.threshold))),
            ..Report::of(machine, examples, job, summary, rule, times)
        }
    }

    /// Of a picture that was read by rows.
    pub fn of_strips(
        machine: Machine,
        examples: &Examples,
        job: &Job,
        (found, classes): (&StripPrediction, &[ClassExtent]),
        rule: MaskRule,
        times: &[(Stage, f64)],
    ) -> Report {
        let all = ClassExtent::of_all(classes);
        let pixels = f64::from(found.size().0) * f64::from(found.size().1);
        let part = |foreground: u64| foreground as f64 / pixels.max(1.0);
        let summary = Summary {
            size: found.size(),
            foreground_fraction: part(all.foreground),
            bounding_box: all.bounding_box,
            score: found.scores().next().filter(|_| !examples.are_named()),
        };
        let objects = found.objects();
        let said = |place: usize| -> Vec<Value> {
            let own = objects.as_ref().and_then(|all| all.get(place)).into_iter().copied().flatten();
            own.map(|o| object(o.area, o.bounding_box, Some(o.score))).collect()
        };
        let each = classes.iter().zip(found.scores()).enumerate().map(|(place, (own, score))| ClassSummary {
            foreground_fraction: part(own.foreground),
            bounding_box: own.bounding_box,
            score,
            objects: said(place),
        });
        Report {
            objects: objects.as_ref().filter(|_| !examples.are_named()).map(|_| said(0)),
            classes: examples.are_named().then(|| examples.of(job, each.collect())),
            ..Report::of(machine, examples, job, summary, rule, times)
        }
    }

    /// Without objects and classes.
    fn of(
        machine: Machine,
        examples: &Examples,
        job: &Job,
        summary: Summary,
        rule: MaskRule,
        times: &[(Stage, f64)],
    ) -> Report {
        let (width, height) = summary.size;
        Report {
            query: text(&job.query),
            negatives: examples.negatives.clone(),
            supports: examples.classes.iter().flat_map(|(_, examples)| examples.clone()).collect(),
            objects: None,
            classes: None,
            mask: job.result.as_deref().filter(|path| is_picture(path)).map(text),
            result: job.result.as_deref().filter(|path| !is_picture(path)).map(text),
            overlay: job.overlay.as_deref().map(text),
            probability: job.probability.as_deref().map(text),
            exact: exact([
                ("query_bytes", Some(&job.query)),
                ("mask_bytes", job.result.as_ref().filter(|path| is_picture(path))),
                ("result_bytes", job.result.as_ref().filter(|path| !is_picture(path))),
                ("overlay_bytes", job.overlay.as_ref()),
                ("probability_bytes", job.probability.as_ref()),
            ]),
            width,
            height,
            foreground_fraction: summary.foreground_fraction,
            bounding_box: summary.bounding_box.map(corners),
            score: summary.score,
            found: summary.bounding_box.is_some(),
            min_score: rule.min_score,
            threshold: match rule.threshold {
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
        let result =
            self.mask.as_ref().or(self.result.as_ref()).map_or(String::new(), |path| format!(" -> {}", one_line(path)));
        format!("{}{result} ({found}, {seconds:.2} s)", one_line(&self.query))
    }
}

/// A path for JSON, which holds UTF-8 only.
fn text(path: &Path) -> String {
    path.display().to_string()
}

/// The names among these that [`text`] does not preserve.
fn exact<const N: usize>(names: [(&str, Option<&PathBuf>); N]) -> Map<String, Value> {
    let encoded = |(key, path): (&str, Option<&PathBuf>)| Some((key.to_string(), percent_encoded(path?)?.into()));
    names.into_iter().filter_map(encoded).collect()
}

/// The classes in reports: their names, if any, and examples.
pub struct Examples {
    classes: Vec<Told>,
    /// Negative examples.
    negatives: Option<Vec<Value>>,
}

/// A class's name and examples.
type Told = (Option<String>, Vec<Value>);

pub fn examples(classes: &[Class]) -> Examples {
    let bank = |bank: &BankFile| json!({"bank": bank.file(), "name": bank.name(), "examples": bank.examples()});
    let of = |class: &Class| {
        let examples = class.banks.iter().map(bank).chain(class.supports.iter().map(support)).collect();
        (class.name.clone(), examples)
    };
    let (negatives, things): (Vec<&Class>, Vec<&Class>) = classes.iter().partition(|class| class.negative);
    Examples {
        classes: things.into_iter().map(of).collect(),
        negatives: negatives.into_iter().next().map(|class| of(class).1),
    }
}

impl Examples {
    pub fn are_named(&self) -> bool {
        self.classes.iter().all(|(name, _)| name.is_some())
    }

    pub fn have_negatives(&self) -> bool {
        self.negatives.is_some()
    }

    /// What is said of each class in a query.
    fn of(&self, job: &Job, classes: Vec<ClassSummary>) -> Vec<Value> {
        let class = |(label, ((own, files), (name, examples))): (u8, ((ClassSummary, &ClassFiles), &Told))| {
            json!({
                "name": name, "value": label, "supports": examples,
                "mask": files.mask.as_deref().map(text), "probability": files.probability.as_deref().map(text),
                "foreground_fraction": own.foreground_fraction, "bounding_box": own.bounding_box.map(corners),
                "found": own.bounding_box.is_some(), "score": own.score, "objects": own.objects,
            })
        };
        (1..=255).zip(classes.into_iter().zip(&job.classes).zip(&self.classes)).map(class).collect()
    }
}

/// What is said of a class's pixels.
struct ClassSummary {
    foreground_fraction: f64,
    bounding_box: Option<BoundingBox>,
    score: f32,
    objects: Vec<Value>,
}

fn class_summaries(found: &Prediction, objects: Option<&[Vec<Object>]>, threshold: Threshold) -> Vec<ClassSummary> {
    let Prediction::Labels { labels, maps } = found else { return Vec::new() };
    let of = |label: u8| objects.and_then(|all| all.get(usize::from(label) - 1)).into_iter().flatten();
    let class = |(label, map): (u8, &DecodedMap)| {
        let mask = labels.mask(label);
        ClassSummary {
            foreground_fraction: mask.foreground_fraction(),
            bounding_box: mask.bounding_box(),
            score: map.score(threshold),
            objects: of(label).map(told_object).collect(),
        }
    };
    (1..=255).zip(maps).map(class).collect()
}

fn told_object(own: &Object) -> Value {
    object(own.area, own.bounding_box, own.score)
}

fn object(area: u64, bounding_box: BoundingBox, score: Option<f32>) -> Value {
    json!({"area": area, "bounding_box": corners(bounding_box), "score": score})
}

fn corners(b: BoundingBox) -> Value {
    json!({"x": b.x, "y": b.y, "width": b.width, "height": b.height})
}

fn support(support: &Support) -> Value {
    let mut object = exact([("image_bytes", Some(&support.image)), ("mask_bytes", support.mask.as_ref())]);
    object.insert("image".into(), text(&support.image).into());
    object.insert("mask".into(), support.mask.as_deref().map(text).into());
    object.into()
}

/// The line of `--json` for a query that failed.
pub fn failure(job: &Job, error: &anyhow::Error) -> anyhow::Result<String> {
    let mut object = exact([("query_bytes", Some(&job.query))]);
    object.insert("query".into(), text(&job.query).into());
    object.insert("error".into(), describe(error).into());
    json_line(&object)
}
