//! Kernels append shape-checked dispatches, and a [`Recorder`] keeps them in order. Plain data, without wgpu.

use super::choose::{Forms, Key, Offer};
use super::tensor::{Channels, Element, Policy, Tensor, TensorId};
use crate::shader::{Form, Kernel};
use std::any::Any;
use std::collections::HashMap;
use std::fmt::Display;
use std::sync::Arc;

/// The adapter's limits that recording depends on.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Largest range of a buffer that one binding may cover, in bytes.
    pub max_binding: u64,
    /// A binding's start must be a multiple of this, in bytes.
    pub offset_alignment: u64,
    /// Largest number of workgroups in one dimension of a dispatch.
    pub max_workgroups: u32,
    /// Largest single buffer, in bytes.
    pub max_buffer: u64,
    /// Multiply-adds that take about [`DISPATCH_SECONDS`] on this device. Larger dispatches are split.
    pub max_work: u64,
    /// The least workgroups of a piece: fewer would leave the device idle.
    pub least_workgroups: u64,
    /// Most turns of one invocation's loops together: [`MAX_TURNS`], or less in tests.
    pub max_turns: u64,
}

/// Longest time that a dispatch should take: it must stay below a watchdog's limit, and it delays Ctrl-C.
pub const DISPATCH_SECONDS: f64 = 0.1;

impl Limits {
    /// WebGPU's default limits, which every adapter has.
    pub const WEBGPU: Limits = Limits {
        max_binding: 128 << 20,
        offset_alignment: 256,
        max_workgroups: 65_535,
        max_buffer: 256 << 20,
        max_work: 4_000_000_000,
        least_workgroups: 1,
        max_turns: MAX_TURNS,
    };

    /// The number of dispatches that `work` in `workgroups` is split into.
    pub fn pieces(&self, work: u64, workgroups: u64) -> u64 {
        let most = (workgroups / self.least_workgroups.max(1)).max(1);
        work.div_ceil(self.max_work.max(1)).clamp(1, most)
    }
}

/// Mesa's CPU drivers silently end the loops of a shader once an invocation has taken 65,535 turns over all its loops. The margin is for
/// loops that a driver's compiler adds.
pub const MAX_TURNS: u64 = 60_000;

/// Most dispatches of one recording. SD 2.1 at 2048 pixels has a few thousand; a size that needs more would take days.
const MOST_DISPATCHES: usize = 1 << 18;

/// Turns of a loop that iterates `n` times, with `inner` turns of its inner loops per iteration. The final test counts as one.
pub fn turns(n: u64, inner: u64) -> u64 {
    n.saturating_mul(inner.saturating_add(1)).saturating_add(1)
}

#[cfg(test)]
impl Limits {
    /// The limits of any GPU, without a budget.
    pub(crate) const TEST: Limits = Limits {
        max_binding: 1 << 27,
        offset_alignment: 256,
        max_workgroups: 65_535,
        max_buffer: 1 << 30,
        max_work: 1 << 40,
        least_workgroups: 1,
        max_turns: MAX_TURNS,
    };
}

/// A part of a tensor, as one binding covers it.
#[derive(Clone, Debug)]
pub struct Window {
    pub tensor: Tensor,
    /// Byte range in the tensor's buffer; the start has the adapter's alignment.
    pub offset: u64,
    pub size: u64,
}

/// One dispatch: everything that an executor needs, independent of wgpu.
#[derive(Clone, Debug)]
pub struct Dispatch {
    pub kernel: &'static Kernel,
    pub form: &'static Form,
    /// `#ifdef` symbols beyond the storage kind.
    pub defines: Vec<&'static str>,
    /// Inputs in the order of the shader's bindings.
    pub inputs: Vec<Window>,
    pub outputs: Vec<Window>,
    /// The parameter struct, as the shader's uniform.
    pub params: Vec<u8>,
    pub workgroups: [u32; 3],
    /// Multiplications and additions, counted separately.
    pub flops: u64,
    /// Operations on padding, not included above.
    pub padding: u64,
    /// Operations of the definition that the algorithm saves.
    pub saved: u64,
    /// Most turns of one invocation's loops together (see [`turns`]).
    pub turns: u64,
}

impl Dispatch {
    /// Bytes that it reads and writes, counting each window once.
    pub fn bytes(&self) -> u64 {
        self.inputs.iter().chain(&self.outputs).map(|window| window.size).sum()
    }
}

/// A plan that cannot be made: an internal error, or a tensor beyond the adapter's limits.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{what}")]
#[non_exhaustive]
pub struct PlanError {
    pub what: String,
    pub less: Less,
}

/// The change of the request that would make the plan possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Less {
    Nothing,
    /// A smaller size.
    Size,
    /// A smaller size, or f16 instead of f32.
    SizeOrPrecision,
    /// Fewer examples, or a smaller size.
    ShotsOrSize,
    /// Another form of a kernel than the requested one.
    OtherForm,
}

impl PlanError {
    pub fn new(what: String, less: Less) -> PlanError {
        PlanError { what, less }
    }
}

/// Appends dispatches. It keeps errors until [`Recorder::finish`] returns them, so that a model's forward pass reads like the paper and not
/// like error handling.
pub struct Recorder {
    pub storage: Policy,
    pub forms: Forms,
    pub limits: Limits,
    values: Vec<Tensor>,
    dispatches: Vec<Dispatch>,
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
    handed: Vec<Tensor>,
    marks: HashMap<String, Tensor>,
    error: Option<PlanError>,
    refused: bool,
}

/// A finished recording.
#[derive(Clone)]
pub struct Recording {
    pub storage: Policy,
    pub limits: Limits,
    pub values: Vec<Tensor>,
    pub dispatches: Vec<Dispatch>,
    pub inputs: Vec<Tensor>,
    pub outputs: Vec<Tensor>,
    /// Read after the plan has run and before any other plan runs. They lie in working memory, unless they are outputs, too.
    pub handed: Vec<Tensor>,
    pub marks: HashMap<String, Tensor>,
}

impl Recorder {
    pub fn new(storage: Policy, forms: Forms, limits: Limits) -> Self {
        Recorder {
            storage,
            forms,
            limits,
            values: Vec::new(),
            dispatches: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            handed: Vec::new(),
            marks: HashMap::new(),
            error: None,
            refused: false,
        }
    }

    /// Replaces the kernel of that name by `to` in everything recorded.
    pub(crate) fn replace_kernel(&mut self, name: &str, to: &'static Kernel) {
        for dispatch in self.dispatches.iter_mut().filter(|d| d.kernel.name == name) {
            (dispatch.kernel, dispatch.form) = (to, to.form(dispatch.form.name).unwrap_or(dispatch.form));
        }
    }

    /// The form of the first dispatch of that kernel.
    pub(crate) fn form_of(&self, kernel: &str) -> Option<&'static str> {
        self.dispatches.iter().find(|d| d.kernel.name == kernel).map(|d| d.form.name)
    }

    /// The storage of the weights of the first dispatch of that kernel.
    pub(crate) fn weights_of(&self, kernel: &str) -> Option<Element> {
        let first = self.dispatches.iter().find(|d| d.kernel.name == kernel)?;
        let weight = |w: &&Window| matches!(w.tensor.id, TensorId::Constant(..));
        first.inputs.iter().find(weight).map(|w| w.tensor.element)
    }

    /// Multiply-adds of the dispatches of that kernel, including padding.
    pub(crate) fn work_of(&self, kernel: &str) -> u64 {
        self.dispatches.iter().filter(|d| d.kernel.name == kernel).map(|d| d.flops + d.padding).sum()
    }

    /// Chooses a form of `kernel` among `offers` for `layer`, whose text is unique within the kernel. Returns its index; if none can run,
    /// keeps the error and returns the first.
    pub fn choose<L: Any + Display + Send + Sync>(&mut self, kernel: &Kernel, layer: L, offers: &[Offer]) -> usize {
        let text = format!("{layer}, {}", self.storage.name());
        let key = Key { storage: self.storage, text, layer: Arc::new(layer) };
        match self.forms.choose.choose(kernel, &key, offers, &self.forms.facts) {
            Ok(i) => i,
            Err(reason) => {
                self.refused = true;
                self.keep(false, Less::OtherForm, || reason);
                0
            }
        }
    }

    /// A new value `[height, width, channels]`, stored as the policy says.
    pub fn value(&mut self, name: &str, height: u32, width: u32, channels: Channels) -> Tensor {
        self.value_of(name, height, width, channels, self.storage.values)
    }

    pub fn value_of(&mut self, name: &str, height: u32, width: u32, channels: Channels, element: Element) -> Tensor {
        let id = TensorId::Value(self.values.len() as u32);
        let tensor = Tensor { id, name: name.into(), height, width, channels, element };
        let (bytes, most) = (tensor.bytes(), self.limits.max_buffer);
        self.check_room(bytes <= most, || {
            format!(
                "{name} {} takes {bytes} bytes, more than this adapter's largest buffer ({most})",
                tensor.shape_string()
            )
        });
        self.values.push(tensor.clone());
        tensor
    }

    /// A value that the host writes before the plan runs.
    pub fn input(&mut self, name: &str, height: u32, width: u32, channels: Channels) -> Tensor {
        self.input_of(name, height, width, channels, self.storage.values)
    }

    pub fn input_of(&mut self, name: &str, height: u32, width: u32, channels: Channels, element: Element) -> Tensor {
        let tensor = self.value_of(name, height, width, channels, element);
        self.inputs.push(tensor.clone());
        tensor
    }

    /// Declares that `tensor` is read after the plan has run. Dispatches that no output depends on are dropped.
    pub fn output(&mut self, tensor: &Tensor) {
        self.outputs.push(tensor.clone());
    }

    /// Declares that `tensor` is read after the plan has run and before another plan runs, so it needs no buffer of its own.
    pub fn hand_on(&mut self, tensor: &Tensor) {
        self.handed.push(tensor.clone());
    }

    /// Records `tensor` under the checkpoint's path of the module that made it.
    pub fn mark(&mut self, path: &str, tensor: &Tensor) {
        self.marks.insert(path.to_string(), tensor.clone());
    }

    /// Keeps the first failed check as the recording's error.
    pub fn check(&mut self, holds: bool, message: impl FnOnce() -> String) -> bool {
        self.keep(holds, Less::Nothing, message)
    }

    /// Like [`Recorder::check`], for a condition that a smaller size or f16 may satisfy.
    fn check_room(&mut self, holds: bool, message: impl FnOnce() -> String) -> bool {
        self.keep(holds, Less::SizeOrPrecision, message)
    }

    fn keep(&mut self, holds: bool, less: Less, message: impl FnOnce() -> String) -> bool {
        if !holds && self.error.is_none() {
            self.error = Some(PlanError::new(message(), less));
        }
        holds
    }

    /// Whether a requested form cannot compute what was recorded.
    pub fn refused(&self) -> bool {
        self.refused
    }

    /// Whether a check has failed; nothing more is recorded then.
    pub fn has_failed(&self) -> bool {
        self.error.is_some()
    }

    pub fn push(&mut self, dispatch: Dispatch) {
        self.check_room(self.dispatches.len() < MOST_DISPATCHES, || {
            format!("{} takes more than {MOST_DISPATCHES} dispatches", dispatch.kernel.name)
        });
        for window in dispatch.inputs.iter().chain(&dispatch.outputs) {
            let (size, most) = (window.size, self.limits.max_binding);
            self.check_room(size <= most, || {
                format!(
                    "{}: a binding of {} {} takes {size} bytes, more than this adapter's {most}",
                    dispatch.kernel.name,
                    window.tensor.name,
                    window.tensor.shape_string()
                )
            });
        }
        let most = self.limits.max_workgroups;
        self.check(dispatch.workgroups.iter().all(|&n| n <= most), || {
            format!("{}: {:?} workgroups, more than this adapter's {most}", dispatch.kernel.name, dispatch.workgroups)
        });
        let (turns, most) = (dispatch.turns, self.limits.max_turns);
        self.check(turns <= most, || {
            let output = dispatch.outputs.first().map_or("", |w| &w.tensor.name);
            format!(
                "{} of {output}: its loops take {turns} turns, more than the {most} that every driver completes; a network \
                 with such wide layers cannot be computed",
                dispatch.kernel.name
            )
        });
        if !self.has_failed() {
            self.dispatches.push(dispatch);
        }
    }

    /// The whole of `tensor` as one binding.
    pub fn whole(&self, tensor: &Tensor) -> Window {
        Window { tensor: tensor.clone(), offset: 0, size: tensor.bytes() }
    }

    /// The vec4s `from..to` of `tensor` as one binding, and the index of `from` in it. A binding's start is aligned downwards, so the
    /// shader adds this number (in vec4s) to its index.
    pub fn window(&self, tensor: &Tensor, from: u64, to: u64) -> (Window, u32) {
        let unit = tensor.vec4_bytes();
        let offset = from * unit / self.limits.offset_alignment * self.limits.offset_alignment;
        let window = Window { tensor: tensor.clone(), offset, size: to * unit - offset };
        (window, ((from * unit - offset) / unit) as u32)
    }

    /// Workgroups along x and y for `n` of them, folded where they exceed the adapter's limit of one dimension. The shader's index is `x +
    /// y * groups.x`; indices from `n` on do nothing.
    pub fn fold_workgroups(&self, n: u64) -> [u32; 3] {
        let most = self.limits.max_workgroups as u64;
        if n <= most {
            return [n as u32, 1, 1];
        }
        let rows = n.div_ceil(most);
        [n.div_ceil(rows) as u32, rows as u32, 1]
    }

    pub fn finish(self) -> Result<Recording, PlanError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        Ok(Recording {
            storage: self.storage,
            limits: self.limits,
            values: self.values,
            dispatches: self.dispatches,
            inputs: self.inputs,
            outputs: self.outputs,
            handed: self.handed,
            marks: self.marks,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::attention::{self, KeyValue};
    use crate::shader::Facts;

    /// Workgroups of each dispatch of the largest attention of SD 2.1 at 512 pixels.
    fn workgroups(limits: Limits) -> Vec<u32> {
        let mut r = Recorder::new(Policy::F32, Forms::first(Facts::LEAST), limits);
        let mut tokens = |name: &str| r.input(name, 1, 4096, Channels::heads(5, 64));
        let [q, k, v, bank_k, bank_v] = ["q", "k", "v", "bank k", "bank v"].map(&mut tokens);
        attention::record(&mut r, "out", &q, &KeyValue { k, v }, &[KeyValue { k: bank_k, v: bank_v }]);
        r.finish().expect("records").dispatches.iter().map(|d| d.workgroups.iter().product()).collect()
    }

    #[test]
    fn dispatches_are_as_long_as_the_device_is_fast_and_never_leave_it_empty() {
        let of = |max_work, least_workgroups| workgroups(Limits { max_work, least_workgroups, ..Limits::WEBGPU });
        assert_eq!(of(100_000_000_000, 4 * 64), [1280]);
        // On a slower device it is split, with enough workgroups in each.
        let slow = of(5_000_000_000, 4 * 8);
        assert!(slow.len() > 5 && slow.iter().sum::<u32>() == 1280, "{slow:?}");
        let many_cores = of(5_000_000_000, 4 * 128);
        assert!(many_cores.len() == 2 && many_cores.iter().all(|&n| n >= 4 * 128), "{many_cores:?}");
        assert_eq!(of(1, 4 * 1000), [1280]);
    }

    #[test]
    fn a_recording_has_an_end() {
        let limits = Limits { max_work: 1, max_turns: 200, max_buffer: 1 << 40, max_binding: 1 << 40, ..Limits::TEST };
        let mut r = Recorder::new(Policy::F32, Forms::first(Facts::LEAST), limits);
        let mut tokens = |name: &str| r.input(name, 4096, 1024, Channels::heads(1, 64));
        let (q, k, v) = (tokens("q"), tokens("k"), tokens("v"));
        attention::record(&mut r, "out", &q, &KeyValue { k, v }, &[]);
        assert_eq!(r.dispatches.len(), MOST_DISPATCHES);
        assert!(r.finish().err().expect("refused").to_string().contains("dispatches"));
    }
}
