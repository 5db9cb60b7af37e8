//! Layers 3 to 6: the embedded model's blocks and result against PyTorch's recorded numbers, ten identical results, and a hundred runs
//! without a memory leak.
//!
//! The record (`recorded/`, made by `tools/reference/make_conformance.py` in f64) holds a drawn episode, every 61st element of each block's
//! output, and the decoder's full output.

use crate::check::bound::EPS;
use crate::gpu::{Gpu, Wait};
use crate::image_io::{DecodedMap, Mask, RgbImage};
use crate::kernels::winograd_input;
use crate::plan::winograd::GAIN;
use crate::plan::{Dispatch, Forms, Recording, TensorId, Window};
use crate::segment::{Pass, SelfCheck};
use crate::settings::Threshold;
use crate::shader::Sums;
use crate::weights::ModelFiles;
use crate::{Error, Example, GuidedFilter, Precision, Segmentation, Segmenter, SupportBank};
use safetensors::SafeTensors;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

static EXPECTED: &[u8] = include_bytes!("recorded/expected.safetensors");
static SUPPORT: &[u8] = include_bytes!("recorded/support_0.png");
static MASK: &[u8] = include_bytes!("recorded/support_0_mask.png");
static QUERY: &[u8] = include_bytes!("recorded/query.png");

/// The record holds every STRIDE-th element of a block's output.
const STRIDE: usize = 61;
/// Permitted error of an element, in standard deviations as estimated from the preceding roundings.
const SIGMAS: f64 = 4.0;

/// Maximum difference of the decoded picture from PyTorch's in f64, on [0, 1], in f32 and in f16: the project promises it for every form on
/// every adapter. The sum of all roundings up to there is a weaker bound: some ten times as much in f32, and a seventh of the range in f16.
const PROMISED: [f64; 2] = [5e-5, 4e-3];

/// The result of one comparison.
pub struct Finding {
    /// The subject of the comparison.
    pub what: &'static str,
    pub ratio: f64,
    pub error: f64,
    pub bound: f64,
    pub place: String,
    pub fault: Option<String>,
    /// The forms of kernels that ran: `conv2d=tiled-64`.
    pub forms: BTreeSet<String>,
}

impl Finding {
    fn empty(what: &'static str) -> Finding {
        Finding { what, ratio: 0.0, error: 0.0, bound: 0.0, place: String::new(), fault: None, forms: BTreeSet::new() }
    }

    fn see(&mut self, got: f64, expected: f64, bound: f64, place: impl FnOnce() -> String) {
        let error = (got - expected).abs();
        let ratio = if error == 0.0 { 0.0 } else { error / bound };
        if !(ratio <= self.ratio) && !self.ratio.is_nan() {
            (self.ratio, self.error, self.bound) = (ratio, error, bound);
            self.place = format!("{}: got {got:e}, expected {expected:e}", place());
        }
    }
}

/// The kinds of block; each has a row in a report.
pub const BLOCKS: [&str; 6] = [
    "VAE resnets",
    "VAE attention",
    "UNet resnets, support and query",
    "transformer blocks, support",
    "keys and values of the bank",
    "transformer blocks with the bank, query",
];

pub const WHOLE: [&str; 2] = ["decoded picture", "mask"];

fn kind(path: &str) -> Option<&'static str> {
    let block = |name: &str| path.contains(name);
    Some(match path {
        _ if path.starts_with("vae.") && block(".resnets.") => BLOCKS[0],
        _ if path.starts_with("vae.") && block(".attentions.") => BLOCKS[1],
        _ if path.starts_with("vae.") => return None,
        _ if block(".resnets.") => BLOCKS[2],
        _ if path.ends_with("attn1.k") || path.ends_with("attn1.v") => BLOCKS[4],
        _ if path.starts_with("support.") => BLOCKS[3],
        _ if path.starts_with("query.") && block(".attentions.") => BLOCKS[5],
        _ => return None,
    })
}

struct Episode {
    supports: Vec<Example>,
    query: RgbImage,
}

fn episode() -> Result<Episode, String> {
    let open =
        |bytes: &[u8]| image::load_from_memory(bytes).map_err(|e| format!("cannot read the embedded episode: {e}"));
    let support = open(SUPPORT)?.to_rgb8();
    let mask = open(MASK)?.to_luma8();
    let foreground = mask.pixels().map(|p| p.0[0] > 127).collect();
    let mask = Mask::new(mask.width(), mask.height(), foreground).map_err(|e| e.to_string())?;
    let example = Example::new(support, mask).map_err(|e| e.to_string())?;
    Ok(Episode { supports: vec![example], query: open(QUERY)?.to_rgb8() })
}

fn recorded() -> Result<HashMap<String, Vec<f32>>, String> {
    let tensors = SafeTensors::deserialize(EXPECTED).map_err(|e| format!("cannot read the recorded numbers: {e}"))?;
    Ok(tensors.tensors().into_iter().map(|(name, t)| (name, bytemuck::pod_collect_to_vec(t.data()))).collect())
}

/// Identifies the record by the first digits that `sha256sum` prints for it.
pub fn record() -> String {
    let digest = Sha256::digest(EXPECTED);
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Tracks roundings through the plans: for each marked value, the sum of the squared relative errors of all dispatches recorded before it.
#[derive(Default)]
struct Roundings {
    total: f64,
    of: HashMap<String, f64>,
    keep: bool,
}

impl Roundings {
    /// A dispatch with K products per element errs by EPS (sqrt(K) + 1) of its result (see [`bound`](super::bound)); by one f16 unit if the
    /// result is stored as f16; and by half an f16 unit if the host rounded its weights to f16. The errors of different dispatches are
    /// independent, so their squares add up; the bands of one tensor count as one dispatch. Norms and residual connections keep the gain of
    /// a layer near one.
    fn edit(&mut self, pass: Pass, recording: &mut Recording) {
        let kept = |w: &Window| w.tensor.element.is_half();
        let weight = |w: &Window| kept(w) && matches!(w.tensor.id, TensorId::Constant(..));
        let mut written: HashMap<TensorId, f64> = HashMap::new();
        // Bands may have tensors of their own, with the same name.
        let mut counted: HashSet<(&str, Arc<str>)> = HashSet::new();
        // Several dispatches may add to one sum.
        let place = |d: &Dispatch| d.outputs.first().map(|w| (w.tensor.id, w.offset, w.size));
        let mut flops: HashMap<_, u64> = HashMap::new();
        recording.dispatches.iter().for_each(|d| *flops.entry(place(d)).or_default() += d.flops);
        for dispatch in &recording.dispatches {
            let vec4s = |w: &Window| w.size / w.tensor.vec4_bytes();
            let elements = (dispatch.outputs.iter().map(vec4s).sum::<u64>() * 4).max(1);
            let products = flops[&place(dispatch)] as f64 / (2.0 * elements as f64);
            // Winograd's terms are larger than their sum.
            let terms = dispatch.form.sums == Sums::Winograd || dispatch.kernel.name == winograd_input::KERNEL.name;
            let gain = if terms { GAIN } else { 1.0 };
            let error = gain * EPS * (products.sqrt() + 1.0);
            let half = |any: bool, bits: i32| if any { 4f64.powi(-bits) } else { 0.0 };
            let weights = gain * gain * half(dispatch.inputs.iter().any(weight), 11);
            let halves = half(dispatch.outputs.iter().any(kept), 10) + weights;
            let name = |w: &Window| (dispatch.kernel.name, w.tensor.name.clone());
            let new: Vec<bool> = dispatch.outputs.iter().map(|w| counted.insert(name(w))).collect();
            if new.contains(&true) {
                self.total += error * error + halves;
            }
            for output in &dispatch.outputs {
                written.insert(output.tensor.id, self.total);
            }
        }
        let prefix = pass.prefix();
        for (path, tensor) in &recording.marks {
            if let Some(&sum) = written.get(&tensor.id) {
                self.of.insert(format!("{prefix}{path}"), sum);
            }
        }
        if self.keep {
            recording.outputs.extend(recording.marks.values().cloned());
        }
    }
}

/// A device, and how to wait for it.
pub type On = (Wait, Gpu);

/// Runs the episode: the bank, and the result for the query.
async fn shown(wait: Wait, segmenter: &Segmenter, episode: &Episode) -> Result<(SupportBank, Segmentation), String> {
    let text = |e: Error| e.to_string();
    let bank = segmenter.encode_by(wait, &episode.supports).await.map_err(text)?;
    let found = segmenter.segment_by(wait, &bank, &episode.query).await.map_err(text)?;
    Ok((bank, found))
}

/// The embedded model on a device, with storage in f16 or f32.
async fn segmenter(
    (wait, gpu): On,
    files: ModelFiles,
    half: bool,
    guided_filter: Option<GuidedFilter>,
    roundings: &mut Roundings,
) -> Result<Segmenter, Error> {
    let precision = if half { Precision::F16 } else { Precision::F32 };
    let mut builder = Segmenter::builder().files(files).precision(precision).gpu(gpu);
    // The suite itself reports errors.
    builder = builder.self_check(SelfCheck::Off);
    if let Some(filter) = guided_filter {
        builder = builder.guided_filter(filter);
    }
    // f16 overflow must become visible, so there must be no retry: `plan_with` makes none.
    let planned = builder.plan_with(&mut |pass, r| roundings.edit(pass, r))?;
    planned.allocate_by(wait, &mut |_, _| ControlFlow::Continue(())).await
}

/// Runs the episode once and compares every block and the result.
pub async fn against_pytorch(
    (wait, mut gpu): On,
    files: ModelFiles,
    half: bool,
    forms: Forms,
) -> Result<Vec<Finding>, String> {
    let text = |e: Error| e.to_string();
    gpu.forms = forms;
    let mut roundings = Roundings { keep: true, ..Default::default() };
    // The record has the decoder's unfiltered output.
    let segmenter = segmenter((wait, gpu), files, half, Some(GuidedFilter::OFF), &mut roundings).await.map_err(text)?;
    let recorded = recorded()?;
    let (bank, result) = shown(wait, &segmenter, &episode()?).await?;

    let mut found: BTreeMap<usize, Finding> =
        BLOCKS.iter().enumerate().map(|(i, what)| (i, Finding::empty(what))).collect();
    let mut compared = [0; BLOCKS.len()];
    for (path, _, values) in segmenter.outputs_by(wait, &bank).await.map_err(text)? {
        let name = path.replacen("support.", "support_0.", 1);
        let (Some(kind), Some(expected)) = (kind(&path), recorded.get(&name)) else { continue };
        let Some(i) = BLOCKS.iter().position(|b| *b == kind) else { continue };
        let Some(found) = found.get_mut(&i) else { continue };
        compared[i] += 1;
        let bound = bound(&roundings, &path, &recorded, &name)?;
        if expected.len() != values.len().div_ceil(STRIDE) {
            return Err(format!("{path}: got {} values, but the record has {}", values.len(), expected.len()));
        }
        for (k, (got, expected)) in values.iter().step_by(STRIDE).zip(expected).enumerate() {
            found.see((*got).into(), (*expected).into(), bound, || format!("{path}[{}]", k * STRIDE));
        }
    }
    if let Some(i) = compared.iter().position(|&n| n == 0) {
        return Err(format!("{}: the record has nothing for the embedded weights", BLOCKS[i]));
    }
    let mut all: Vec<Finding> = found.into_values().collect();
    all.extend(whole(&segmenter, result.map(), &recorded, PROMISED[usize::from(half)])?);
    all.iter_mut().for_each(|found| found.forms = segmenter.memory().forms.clone());
    Ok(all)
}

fn bound(r: &Roundings, path: &str, recorded: &HashMap<String, Vec<f32>>, name: &str) -> Result<f64, String> {
    let sum = r.of.get(path).ok_or_else(|| format!("{path} is not in the plan"))?;
    let rms = recorded.get(&format!("{name}.rms")).and_then(|v| v.first());
    Ok(SIGMAS * sum.sqrt() * f64::from(*rms.ok_or_else(|| format!("{name} is not in the record"))?))
}

/// Compares the decoded picture, and the mask at the model's own threshold.
fn whole(
    segmenter: &Segmenter,
    map: &DecodedMap,
    recorded: &HashMap<String, Vec<f32>>,
    bound: f64,
) -> Result<[Finding; 2], String> {
    let raw = recorded.get("decoder").ok_or("the record has no decoded picture")?;
    let expected = DecodedMap::new(segmenter.size(), raw.clone()).map_err(|e| e.to_string())?;
    let mut picture = Finding::empty(WHOLE[0]);
    if map.values().len() != expected.values().len() {
        return Err(format!("got {} values, but the record has {}", map.values().len(), expected.values().len()));
    }
    for (i, (got, expected)) in map.values().iter().zip(expected.values()).enumerate() {
        picture.see((*got).into(), (*expected).into(), bound, || format!("rgb[{i}]"));
    }
    // The paper's rule, whatever the model's: it selects something in any picture.
    let ratio = 0.25;
    let [got, wanted] = [map, &expected].map(|m| m.mask(Threshold::Relative(ratio)));
    // Bytes are truncated, so a channel and the peak may move by one more than the bound.
    let margin = (1.0 + ratio) * (255.0 * bound + 1.0);
    let peak = (expected.peak() * 255.0).floor();
    let mut mask = Finding::empty(WHOLE[1]);
    mask.bound = margin;
    for (i, pixel) in expected.values().chunks_exact(3).enumerate() {
        if got.foreground()[i] != wanted.foreground()[i] {
            let mean = pixel.iter().map(|v| f64::from((v * 255.0).floor())).sum::<f64>() / 3.0;
            let level = ratio * f64::from(peak);
            mask.see(mean, level, margin, || format!("pixel {i} changed sides; byte mean against threshold"));
        }
    }
    Ok([picture, mask])
}

/// Runs the episode `runs` times; every result must have the same bits as the first.
pub async fn repeated(
    (wait, mut gpu): On,
    files: ModelFiles,
    half: bool,
    forms: Forms,
    runs: usize,
) -> Result<Finding, String> {
    let text = |e: Error| e.to_string();
    gpu.forms = forms;
    let segmenter = segmenter((wait, gpu), files, half, None, &mut Roundings::default()).await.map_err(text)?;
    let episode = episode()?;
    let mut found = Finding::empty("bit-equal");
    found.forms = segmenter.memory().forms.clone();
    let mut first: Option<Vec<f32>> = None;
    for run in 0..runs {
        let (_, drawn) = shown(wait, &segmenter, &episode).await?;
        let map = drawn.into_map();
        let first = first.get_or_insert_with(|| map.values().to_vec());
        if let Some(i) = first.iter().zip(map.values()).position(|(a, b)| a.to_bits() != b.to_bits()) {
            let (a, b) = (f64::from(map.values()[i]), f64::from(first[i]));
            found.see(a, b, 0.0, || format!("run {}, rgb[{i}]", run + 1));
        }
    }
    Ok(found)
}

/// Runs the episode `runs` times; memory must not grow after the first tenth of the runs. `None` if the memory in use is unknown.
pub async fn stress(
    (wait, mut gpu): On,
    files: ModelFiles,
    half: bool,
    forms: Forms,
    runs: usize,
) -> Result<Option<Finding>, String> {
    let text = |e: Error| e.to_string();
    gpu.forms = forms;
    let segmenter = segmenter((wait, gpu), files, half, None, &mut Roundings::default()).await.map_err(text)?;
    let episode = episode()?;
    let mut found = Finding::empty("memory");
    found.forms = segmenter.memory().forms.clone();
    let mut start = None;
    if segmenter.gpu().allocated_bytes().is_none() && resident_bytes().is_none() {
        return Ok(None);
    }
    for run in 0..runs {
        shown(wait, &segmenter, &episode).await?;
        let device = segmenter.gpu().allocated_bytes();
        let resident = resident_bytes();
        // The process's own heap needs a few runs to reach its size.
        let Some((device_start, resident_start)) = start else {
            if run + 1 >= (runs / 10).max(1) {
                start = Some((device, resident));
            }
            continue;
        };
        if let (Some(now), Some(then)) = (device, device_start) {
            found.see((now as f64 - then as f64).max(0.0), 0.0, 0.0, || {
                format!("run {}, bytes in the device's buffers", run + 1)
            });
        }
        if let (Some(now), Some(then)) = (resident, resident_start) {
            // Less than a thousandth of a picture's work per run; a leak of one buffer per run exceeds it.
            let slack = 64.0 * 1024.0 * runs as f64;
            let grown = (now as f64 - then as f64).max(0.0);
            found.see(grown, 0.0, slack, || format!("run {}, bytes that the process grew by", run + 1));
        }
    }
    Ok(Some(found))
}

/// Memory of this process, where the system reports it.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? * 1024)
}
