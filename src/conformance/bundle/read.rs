//! Reads a case from an untrusted file, and runs it.

use super::super::LANGUAGE;
use super::super::on::{finish, open};
use super::super::options::Options;
use super::super::report::Row;
use super::{BundleError, CASE, DispatchOf, ElementOf, FORMAT, Manifest, Role, TensorOf, WindowOf};
use crate::check::bound::{Allowed, Range};
use crate::check::{Outcome, Prepared, Tested, is_id, run_prepared};
use crate::files::read_regular;
use crate::gpu::{AdapterChoice, AdapterFacts, CHECKED};
use crate::panics;
use crate::plan::{Channels, Dispatch, Element, Limits, Policy, Recording, Schedule, Tensor, TensorId, Window};
use crate::shader::{Form, Kernel};
use crate::shown;
use crate::twins;
use flate2::read::GzDecoder;
use std::collections::HashMap;
use std::io::Read;
use std::path::Path;
use tar::EntryType;

/// Byte limits of a file, and of its unpacked contents.
const MOST_PACKED: u64 = 256 << 20;
const MOST: u64 = 512 << 20;
/// Limit of a tensor's memory: an intermediate may be as large as a binding.
const MOST_TENSOR: u64 = 1 << 31;
const MOST_MEMORY: u64 = 1 << 32;
const MOST_TENSORS: usize = 1000;
const MOST_DISPATCHES: usize = 10_000;
const MOST_SHADER: usize = 1 << 18;
/// Stack for translators, which recurse into a text's nesting, not always with a limit of their own. It suffices for the deepest nesting of
/// a text of the permitted size.
const STACK: usize = 1 << 30;
const MOST_PARAMS: usize = 64;

/// Compared elements, by index.
type Elements = Vec<(usize, Allowed)>;

/// A case from a file: consistent, but not yet checked against an adapter.
pub struct Bundle {
    manifest: Manifest,
    tensors: Vec<Tensor>,
    data: Vec<(Tensor, Vec<u8>)>,
    expected: Vec<(Tensor, Elements)>,
    texts: HashMap<String, String>,
}

/// Its outcome here.
pub struct Replayed {
    pub row: Row,
    /// Its shaders are not this program's own, so they ran with the translator's bounds checks.
    pub foreign: bool,
}

/// Reads a file of `conformance report`.
///
/// # Errors
/// [`BundleError`]: everything in the file is validated before use.
pub fn read_bundle(path: &Path) -> Result<Bundle, BundleError> {
    let no_bundle = |reason: String| BundleError::NoBundle { path: path.into(), reason };
    let read = read_regular(path, MOST_PACKED).map_err(|cause| BundleError::Read { path: path.into(), cause })?;
    let bytes = read.ok_or_else(|| no_bundle(format!("it exceeds {MOST_PACKED} bytes")))?;
    bundle(&bytes).map_err(no_bundle)
}

fn bundle(bytes: &[u8]) -> Result<Bundle, String> {
    let mut files = unpacked(bytes)?;
    let text = files.remove(CASE).ok_or_else(|| format!("it lacks {CASE}"))?;
    let mut manifest: Manifest =
        serde_json::from_slice(&text).map_err(|e| format!("{CASE}: {}", shown::text(&e.to_string())))?;
    if !is_id(&manifest.row.id) {
        return Err(format!("{} is not a case id", shown::text(&manifest.row.id)));
    }
    let Row { case, place, reason, adapter, driver, .. } = &mut manifest.row;
    for text in [case, place, adapter, driver].into_iter().chain(reason) {
        *text = shown::text(text);
    }
    if manifest.format != FORMAT {
        return Err(format!("it has format {}, but this program reads {FORMAT}", manifest.format));
    }
    if manifest.tensors.len() > MOST_TENSORS || manifest.dispatches.len() > MOST_DISPATCHES {
        return Err(format!("it has more than {MOST_TENSORS} tensors or {MOST_DISPATCHES} dispatches"));
    }
    let tensors = manifest.tensors.iter().enumerate().map(|(i, of)| tensor(i, of)).collect::<Result<Vec<_>, _>>()?;
    if tensors.iter().map(Tensor::bytes).sum::<u64>() > MOST_MEMORY {
        return Err(format!("its tensors take more than {MOST_MEMORY} bytes"));
    }
    let mut take = |name: String| files.remove(&name).ok_or_else(|| format!("it lacks {}", shown::text(&name)));
    let (mut data, mut expected) = (Vec::new(), Vec::new());
    for (i, (of, tensor)) in manifest.tensors.iter().zip(&tensors).enumerate() {
        if of.role == Role::Input {
            let bytes = take(format!("data/{i}.bin"))?;
            if bytes.len() as u64 != tensor.bytes() {
                return Err(format!("data/{i}.bin has {} bytes, but its tensor has {}", bytes.len(), tensor.bytes()));
            }
            data.push((tensor.clone(), bytes));
        }
        if of.role == Role::Output {
            let name = format!("elements/{i}.csv");
            expected.push((tensor.clone(), elements(&name, &take(name.clone())?, tensor)?));
        }
    }
    if expected.is_empty() || manifest.dispatches.is_empty() {
        return Err("it has nothing to run, or nothing to compare".into());
    }
    let mut texts = HashMap::new();
    for dispatch in &manifest.dispatches {
        checked(dispatch, &tensors)?;
        if !texts.contains_key(&dispatch.shader) {
            let text = take(format!("shaders/{}.wgsl", dispatch.shader))?;
            let text = String::from_utf8(text).ok().filter(|text| text.len() <= MOST_SHADER);
            let text = text.ok_or_else(|| {
                format!(
                    "shaders/{}.wgsl is not UTF-8 text of at most {MOST_SHADER} bytes",
                    shown::text(&dispatch.shader)
                )
            })?;
            // Directives of our preprocessor, which may expand to a very long text.
            if text.lines().any(|line| line.trim_start().starts_with('#')) {
                return Err(format!(
                    "shaders/{}.wgsl has lines that begin with #, which is not WGSL",
                    shown::text(&dispatch.shader)
                ));
            }
            texts.insert(dispatch.shader.clone(), text);
        }
    }
    Ok(Bundle { manifest, tensors, data, expected, texts })
}

/// Unpacks the regular files, by name below `case/`, in memory.
fn unpacked(bytes: &[u8]) -> Result<HashMap<String, Vec<u8>>, String> {
    let wrong = |e: std::io::Error| shown::text(&e.to_string());
    let mut all = HashMap::new();
    let mut left = MOST;
    // Data beyond the limit is cut off, and the archive then lacks its end.
    let mut archive = tar::Archive::new(GzDecoder::new(bytes).take(MOST));
    for file in archive.entries().map_err(wrong)? {
        let file = file.map_err(wrong)?;
        if file.header().entry_type() != EntryType::Regular {
            continue;
        }
        let path = file.path().map_err(wrong)?;
        let Some(name) = path.to_str().and_then(|name| name.strip_prefix("case/")).map(String::from) else { continue };
        drop(path);
        let mut bytes = Vec::new();
        file.take(left).read_to_end(&mut bytes).map_err(wrong)?;
        left -= bytes.len() as u64;
        if left == 0 {
            return Err(format!("it unpacks to {MOST} bytes or more"));
        }
        all.insert(name, bytes);
    }
    Ok(all)
}

fn tensor(number: usize, of: &TensorOf) -> Result<Tensor, String> {
    let wrong = || format!("tensor {number} ({}) has an invalid shape", shown::text(&of.name));
    let vec4s = of.channels.iter().try_fold(0u64, |sum, &c| sum.checked_add(u64::from(c.div_ceil(4))));
    let positions = u64::from(of.height) * u64::from(of.width);
    let size = vec4s.and_then(|vec4s| positions.checked_mul(vec4s)?.checked_mul(16)).ok_or_else(wrong)?;
    if size == 0 || size > MOST_TENSOR || of.channels.len() > 4096 || positions > u64::from(u32::MAX) {
        return Err(wrong());
    }
    let mut channels = Channels::one(of.channels[0]);
    if of.channels.len() > 1 {
        channels = of.channels[1..].iter().fold(channels, |all, &c| all.concat(&Channels::one(c)));
    }
    Ok(Tensor {
        id: TensorId::Value(number as u32),
        name: shown::text(&of.name).into(),
        height: of.height,
        width: of.width,
        channels,
        element: match of.element {
            ElementOf::F32 => Element::F32,
            ElementOf::Packed => Element::Packed,
            ElementOf::F16 => Element::F16,
            ElementOf::Q8 if of.role == Role::Input => Element::Q8,
            ElementOf::Q8 => {
                return Err(format!(
                    "tensor {number} ({}) has 8-bit storage, which only weights can have",
                    shown::text(&of.name)
                ));
            }
        },
    })
}

/// Index, value and ranges of each line but the first.
fn elements(name: &str, bytes: &[u8], tensor: &Tensor) -> Result<Elements, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| format!("{name} is not UTF-8 text"))?;
    let count = tensor.positions() as usize * tensor.channels.logical() as usize;
    let mut all = Vec::new();
    for (i, line) in text.lines().enumerate().skip(1) {
        let mut fields = line.split(',');
        let index = fields.next().and_then(|f| f.parse::<usize>().ok()).filter(|&index| index < count);
        let mut number = || fields.next().and_then(|f| f.parse::<f64>().ok());
        let value = number().filter(|v| !v.is_nan());
        let mut range = || {
            let (low, high, scale) = (number()?, number()?, number()?);
            (low <= high && scale >= 0.0).then_some(Range { low, high, scale })
        };
        match (index, value, range(), range()) {
            (Some(index), Some(value), Some(wgsl), Some(strict)) => all.push((index, Allowed { value, wgsl, strict })),
            _ => {
                return Err(format!(
                    "{name}, line {}: expected an element of its tensor, a value and two ranges",
                    i + 1
                ));
            }
        }
    }
    if all.is_empty() { Err(format!("{name}: it lists no elements")) } else { Ok(all) }
}

/// The checks of a dispatch that do not depend on an adapter.
fn checked(dispatch: &DispatchOf, tensors: &[Tensor]) -> Result<(), String> {
    let DispatchOf { inputs, outputs, params, workgroups, .. } = dispatch;
    let name = shown::text(&dispatch.shader);
    for WindowOf { tensor, offset, size } in inputs.iter().chain(outputs) {
        let whole = tensors.get(*tensor).map(Tensor::bytes);
        let ends = offset.checked_add(*size);
        if whole.is_none_or(|whole| ends.is_none_or(|end| end > whole)) || *size == 0 || size % 4 != 0 {
            return Err(format!("{name} binds {size} bytes at {offset} of tensor {tensor}, which is outside of it"));
        }
    }
    let bindings = inputs.len() + outputs.len();
    if outputs.is_empty() || bindings > 8 || params.is_empty() || params.len() > MOST_PARAMS || workgroups.contains(&0)
    {
        return Err(format!("{name} has {bindings} bindings, {} parameters, workgroups {workgroups:?}", params.len()));
    }
    // Reading and writing one tensor in a dispatch is a race.
    match inputs.iter().find(|read| outputs.iter().any(|written| written.tensor == read.tensor)) {
        Some(both) => Err(format!("{name} both reads and writes tensor {}", both.tensor)),
        None => Ok(()),
    }
}

impl Bundle {
    /// Its outcome where the file was made.
    pub fn row(&self) -> &Row {
        &self.manifest.row
    }

    /// Runs it on an adapter that `choice` finds.
    ///
    /// # Errors
    /// No device, or the adapter's limits are too small for its bindings.
    pub fn replay(&self, facts: &AdapterFacts, choice: &AdapterChoice, options: &Options) -> Result<Replayed, String> {
        let work = || panics::caught(|| self.run(facts, choice, options)).unwrap_or_else(Err);
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("replay".into()).stack_size(STACK);
            let thread = thread.spawn_scoped(scope, work).map_err(|e| e.to_string())?;
            thread.join().unwrap_or_else(|_| Err("it panicked".into()))
        })
    }

    fn run(&self, facts: &AdapterFacts, choice: &AdapterChoice, options: &Options) -> Result<Replayed, String> {
        let mut gpu = open(facts, choice, options)?;
        let (prepared, foreign) = self.prepared(gpu.limits())?;
        if foreign && !gpu.facts().range_checks {
            // Nothing but these checks would keep such a shader from this process's memory.
            gpu = open(facts, &AdapterChoice { checked: true, ..choice.clone() }, options)?;
        }
        let mut outcome = Outcome::new(self.row().id.as_str(), "replayed", Policy::F32, "plain");
        let result = run_prepared(&gpu, "replay", prepared, &mut outcome, &mut |_, _| {});
        // The message may quote the untrusted shader.
        outcome.fault = result.err().map(|fault| shown::text(&fault));
        let row = Row { adapter: facts.name.clone(), driver: facts.driver.clone(), ..self.row().clone() };
        Ok(Replayed { row: finish(row, options.strict, outcome), foreign })
    }

    fn prepared(&self, limits: Limits) -> Result<(Prepared, bool), String> {
        // The texts are complete. A kernel is leaked, which is fine because the program replays a single case.
        let mut kernels: HashMap<&str, (&'static Kernel, bool)> = HashMap::new();
        let mut dispatches = Vec::new();
        for dispatch in &self.manifest.dispatches {
            let (kernel, own) = *kernels.entry(dispatch.shader.as_str()).or_insert_with(|| {
                let text = &self.texts[&dispatch.shader];
                (leaked(&shown::text(&dispatch.shader), text), is_own(dispatch, text))
            });
            dispatches.push(Dispatch {
                kernel,
                form: &kernel.forms[0],
                defines: if own { vec![] } else { vec![CHECKED] },
                inputs: self.windows(&dispatch.inputs, &limits)?,
                outputs: self.windows(&dispatch.outputs, &limits)?,
                params: bytemuck::cast_slice(&dispatch.params).to_vec(),
                workgroups: match dispatch.workgroups.iter().all(|&n| n <= limits.max_workgroups) {
                    true => dispatch.workgroups,
                    false => {
                        return Err(format!("the adapter allows {} workgroups per dimension", limits.max_workgroups));
                    }
                },
                flops: dispatch.work.min(1 << 50),
                padding: 0,
                saved: 0,
                turns: 0,
            });
        }
        let recording = Recording {
            // The texts include their storage.
            storage: Policy::F32,
            limits,
            values: self.tensors.clone(),
            dispatches,
            inputs: self.data.iter().map(|(tensor, _)| tensor.clone()).collect(),
            outputs: self.expected.iter().map(|(tensor, _)| tensor.clone()).collect(),
            handed: Vec::new(),
            marks: HashMap::new(),
        };
        let schedule = Schedule::new(recording);
        let foreign = kernels.values().any(|(_, own)| !own);
        let (data, expected) = (self.data.clone(), self.expected.clone());
        Ok((Prepared { schedule, data, expected, joint: vec![], growth: 1.0 }, foreign))
    }

    fn windows(&self, all: &[WindowOf], limits: &Limits) -> Result<Vec<Window>, String> {
        let window = |w: &WindowOf| {
            let tensor = self.tensors[w.tensor].clone();
            if w.size > limits.max_binding || tensor.bytes() > limits.max_buffer {
                return Err(format!(
                    "{} needs a binding of {} bytes, which exceeds the adapter's limit",
                    tensor.name, w.size
                ));
            }
            if !w.offset.is_multiple_of(limits.offset_alignment.max(1)) {
                let unit = limits.offset_alignment;
                return Err(format!(
                    "a binding begins at byte {} of {}, but the adapter requires multiples of {unit}",
                    w.offset, tensor.name
                ));
            }
            Ok(Window { tensor, offset: w.offset, size: w.size })
        };
        all.iter().map(window).collect()
    }
}

/// Whether this program generates this text itself, so that it bounds its own loops and indices.
fn is_own(dispatch: &DispatchOf, text: &str) -> bool {
    let tested = LANGUAGE.iter().chain(&twins::ALL).map(|t: &Tested| t.kernel);
    let kernel = tested.into_iter().find(|kernel| kernel.name == dispatch.kernel);
    let defines: Vec<&str> = dispatch.defines.iter().map(String::as_str).collect();
    let own = kernel.and_then(|kernel| kernel.form(&dispatch.form)?.text(&defines).ok());
    own.is_some_and(|own| own == text) && !defines.contains(&CHECKED)
}

fn leaked(name: &str, text: &str) -> &'static Kernel {
    let leak = |text: &str| -> &'static str { Box::leak(text.to_owned().into_boxed_str()) };
    let forms: &'static [Form] = Box::leak(Box::new([Form::plain(leak(text))]));
    Box::leak(Box::new(Kernel { name: leak(name), params: &[], variants: &[], forms }))
}
