//! A conformance case as data: a recording made by the kernel's own wrapper, and the expected results.

use super::bound::Approx;
use super::fill::Fill;
use super::id::slug;
use crate::gpu::Gpu;
use crate::plan::{
    Channels, Element, Forms, Limits, Param, PlanError, Policy, Recorder, Recording, Tensor, TensorId, layout,
};
use crate::q8;
use crate::shader::{Facts, Form, Kernel, Needs};
use half::f16;
use half::slice::HalfFloatSliceExt;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A kernel, and the cases that test it: production shapes and ragged ones.
pub struct Tested {
    pub kernel: &'static Kernel,
    pub cases: fn() -> Vec<Case>,
}

/// One case: a kernel, a shape, and a closure that records it. Tests and the command share it.
pub struct Case {
    pub kernel: &'static Kernel,
    /// Its title, for people.
    pub name: String,
    /// Its part of an id, which stays when titles are reworded: see [`Case::called`].
    pub id: String,
    pub(super) build: Box<dyn Fn(&mut CaseBuilder) + Send + Sync>,
    pub(super) limit: Option<u64>,
    pub(super) workgroups: Option<u32>,
    pub(super) alignment: Option<u64>,
    /// The smallest limit on bindings at which the case is meaningful.
    binding: u64,
    /// The storages that make a difference to it.
    pub storages: &'static [Policy],
    /// Its requirements on an adapter.
    pub needs: Needs,
    /// It takes long, so the quick suite skips it.
    pub long: bool,
}

/// All storages that make a difference to a kernel without weights.
pub const STORAGES: &[Policy] = &[Policy::F32, Policy::PACKED, Policy::F16, Policy::MIXED];

impl Case {
    pub fn new(
        kernel: &'static Kernel,
        name: String,
        build: impl Fn(&mut CaseBuilder) + Send + Sync + 'static,
    ) -> Self {
        Case {
            kernel,
            id: slug(&name),
            name,
            build: Box::new(build),
            limit: None,
            workgroups: None,
            alignment: None,
            binding: 0,
            storages: STORAGES,
            needs: Needs::NOTHING,
            long: false,
        }
    }

    /// Limits bindings to `bytes`, so that row bands occur on small data.
    pub fn with_binding_limit(self, bytes: u64) -> Self {
        Case { limit: Some(bytes), ..self.but(&format!("in bands of {bytes} bytes")) }
    }

    /// Sets another id than the title gives: a shorter one, or its id from before the title was reworded.
    pub fn called(mut self, id: &str) -> Self {
        self.id = id.into();
        self
    }

    /// Appends a distinguishing suffix to title and id.
    fn but(mut self, what: &str) -> Self {
        self.name = format!("{} {what}", self.name);
        self.id = format!("{}-{}", self.id, slug(what));
        self
    }

    /// Records it for an adapter with `limits`, without a device: for other implementations of WGSL to run.
    pub fn record(&self, storage: Policy, forms: Forms, limits: Limits, seed: u64) -> Result<Recorded, PlanError> {
        let mut builder = CaseBuilder::new(self, storage, forms, limits, seed);
        (self.build)(&mut builder);
        let CaseBuilder { recorder, inputs, weights, checks, .. } = builder;
        Ok(Recorded { recording: recorder.finish()?, inputs, weights, checks })
    }

    /// Records `to` in place of the kernel of that name: for faults planted on purpose.
    pub fn with_kernel(self, name: &'static str, to: &'static Kernel) -> Self {
        let build = self.build;
        let build = Box::new(move |b: &mut CaseBuilder| {
            build(b);
            b.recorder.replace_kernel(name, to);
        });
        Case { build, ..self }
    }

    /// Limits a dispatch to `n` workgroups in one dimension, so that folding occurs on small data.
    pub fn with_workgroup_limit(self, n: u32) -> Self {
        Case { workgroups: Some(n), ..self.but(&format!("folded at {n} workgroups")) }
    }

    /// Aligns bindings to multiples of `bytes`, as many GPUs require; the shader must skip what lies before its data.
    pub fn with_alignment(self, bytes: u64) -> Self {
        Case { alignment: Some(bytes), ..self.but(&format!("aligned at {bytes} bytes")) }
    }

    pub fn stored_as(mut self, storages: &'static [Policy]) -> Self {
        self.storages = storages;
        self
    }

    /// For a kernel with weights: all storages, unless others were set.
    pub fn with_weights(mut self) -> Self {
        if self.storages == STORAGES {
            self.storages = &Policy::ALL;
        }
        self
    }

    /// Requires bindings of `bytes`.
    pub fn in_bindings_of(self, bytes: u64) -> Self {
        Case { binding: bytes, ..self }
    }

    /// The quick suite skips it.
    pub fn in_full_only(mut self) -> Self {
        self.long = true;
        self
    }

    pub fn needing(mut self, needs: Needs) -> Self {
        self.needs = needs;
        self
    }

    /// Whether bindings are large enough for it.
    pub fn fits(&self, limits: &Limits) -> bool {
        self.binding <= limits.max_binding
    }

    /// Why `gpu` cannot run it with this storage and form, if it cannot.
    pub fn lacks(&self, gpu: &Gpu, storage: Policy, form: &Form) -> Option<String> {
        let (facts, limits) = (&gpu.forms.facts, gpu.limits());
        let small = (!self.fits(&limits)).then(|| format!("bindings are limited to {} bytes here", limits.max_binding));
        let lacks = [self.needs, storage.needs(), form.needs].iter().find_map(|needs| needs.lacks(facts));
        lacks.or(small)
    }

    /// Whether the quick suite skips it: a long one; and in a form that would not be chosen for `gpu`, one of more than 0.25 GFLOP, or of
    /// more than 2 MFLOP in a storage that differs little from others.
    pub fn is_spare(&self, gpu: &Gpu, storage: Policy, form: &Form) -> bool {
        if self.long || self.kernel.forms.len() == 1 {
            return self.long;
        }
        let kernel = self.kernel.name;
        let chosen = self.recorder(Policy::F32, gpu.forms.clone(), gpu.limits());
        let forced = self.recorder(Policy::of(form), gpu.forms.forcing(kernel, form.name), gpu.limits());
        let most = if [Policy::F32, Policy::PACKED, Policy::Q8].contains(&storage) { LONG } else { SHORT };
        chosen.form_of(kernel) != Some(form.name) && forced.work_of(kernel) > most
    }

    /// Whether this form can compute it, on an adapter that has the form's requirements.
    pub fn takes(&self, form: &Form) -> bool {
        let forms = Forms::first(Facts::MOST).forcing(self.kernel.name, form.name);
        self.kernel.forms.len() == 1 || !self.recorder(Policy::of(form), forms, Limits::WEBGPU).refused()
    }

    /// Its storages that this form accepts.
    pub fn storages_in(&self, form: &Form) -> impl Iterator<Item = Policy> {
        self.storages.iter().copied().filter(|storage| storage.suits(form))
    }

    /// Its recording, without data.
    ///
    /// # Errors
    /// The form does not compute it, or it exceeds the limits.
    pub fn outline(&self, storage: Policy, forms: Forms, limits: Limits) -> Result<Recording, PlanError> {
        self.recorder(storage, forms, limits).finish()
    }

    fn recorder(&self, storage: Policy, forms: Forms, limits: Limits) -> Recorder {
        let mut builder = CaseBuilder::new(self, storage, forms, limits, 0);
        builder.without_data = true;
        (self.build)(&mut builder);
        builder.recorder
    }
}

/// Limit of operations, including padding, in the quick suite.
const LONG: u64 = 250_000_000;
const SHORT: u64 = 2_000_000;

/// A tensor's values on the host, `[positions, channels]`, already rounded to its storage.
#[derive(Clone)]
pub struct HostTensor {
    pub tensor: Tensor,
    pub values: Arc<Vec<f32>>,
    width: usize,
}

impl HostTensor {
    /// Values in place of `tensor`, with other channels, row by row; only the host knows them.
    pub fn of(tensor: &Tensor, channels: Channels, values: Vec<f32>) -> HostTensor {
        let width = channels.logical() as usize;
        HostTensor { tensor: Tensor { channels, ..tensor.clone() }, values: Arc::new(values), width }
    }

    pub fn at(&self, position: usize, channel: usize) -> f64 {
        self.values[position * self.width + channel] as f64
    }

    /// `n` channels from `first` of a position.
    pub fn row(&self, position: usize, first: usize, n: u32) -> &[f32] {
        let start = position * self.channels() + first;
        &self.values[start..start + n as usize]
    }

    pub fn channels(&self) -> usize {
        self.width
    }

    pub fn rows(&self) -> usize {
        self.tensor.positions() as usize
    }
}

type Twin = Box<dyn Fn(usize, usize) -> Approx>;

/// A tensor to read back, with the exact value and bound of each of its elements.
pub struct Check {
    pub tensor: Tensor,
    pub twin: Twin,
    /// Compare every element, however many there are.
    pub all: bool,
    pub joint: Option<Joint>,
}

type Measure = Box<dyn Fn(usize, usize, &[f32]) -> f64>;

/// A joint constraint on the channels of a position, where each by itself may vary widely.
pub struct Joint {
    /// A number for each channel, computed from all results of a position.
    pub measure: Measure,
    /// Its exact value and bound.
    pub twin: Twin,
}

/// A recorded case: dispatches, contents of the inputs, and expected results.
pub struct Recorded {
    pub recording: Recording,
    pub inputs: Vec<HostTensor>,
    pub weights: Vec<HostWeight>,
    pub checks: Vec<Check>,
}

impl Recorded {
    /// The weights as the chosen forms pack them, and their bytes.
    pub fn constants(&self) -> Vec<(Tensor, Vec<u8>)> {
        constants(&self.weights, &self.recording)
    }
}

pub(super) fn constants(weights: &[HostWeight], recording: &Recording) -> Vec<(Tensor, Vec<u8>)> {
    let read = recording.dispatches.iter().flat_map(|d| &d.inputs).map(|window| &window.tensor);
    let read: BTreeMap<TensorId, &Tensor> = read.map(|tensor| (tensor.id, tensor)).collect();
    let packed = |(id, tensor): (TensorId, &Tensor)| {
        let TensorId::Constant(index, Some(packing)) = id else { return None };
        let HostWeight { param, values } = weights.get(index as usize)?;
        Some((tensor.clone(), layout::to_bytes(tensor, &packing.pack(param, values))))
    };
    read.into_iter().filter_map(packed).collect()
}

/// A weight's values on the host, `[Cout, Cin, taps]`, already rounded to its storage.
#[derive(Clone)]
pub struct HostWeight {
    pub param: Param,
    pub values: Arc<Vec<f32>>,
}

impl HostWeight {
    pub fn at(&self, output: usize, input: usize, tap: usize) -> f64 {
        let (inputs, taps) = (self.param.inputs.logical() as usize, self.param.taps as usize);
        self.values[(output * inputs + input) * taps + tap] as f64
    }
}

/// Rounds weights to 8 bits, block by block. Integer fills stay exact: they are limited to 127 units, and the largest of a block is set to
/// that, so that the block's scale is one unit.
fn round_to_8_bits(param: &Param, fill: Fill, values: &mut [f32]) {
    let (places, padded, taps) = (param.inputs.places(), 4 * param.inputs.vec4s() as usize, param.taps as usize);
    let rows = |i: usize| i % taps * padded + places[i / taps] as usize;
    let each = places.len() * taps;
    let mut blocks: Vec<Vec<usize>> = vec![Vec::new(); (taps * padded).div_ceil(q8::BLOCK)];
    (0..each).for_each(|i| blocks[rows(i) / q8::BLOCK].push(i));
    for output in values.chunks_exact_mut(each.max(1)) {
        for block in &blocks {
            let mut own: Vec<f32> = block.iter().map(|&i| output[i]).collect();
            if let Fill::Whole { unit, .. } = fill {
                let most = 127.0 * unit as f32;
                own.iter_mut().for_each(|v| *v = v.clamp(-most, most));
                let largest = own.iter_mut().reduce(|a, b| if b.abs() > a.abs() { b } else { a });
                largest.into_iter().for_each(|v| *v = most.copysign(*v));
            }
            q8::round(&mut own);
            block.iter().zip(own).for_each(|(&i, v)| output[i] = v);
        }
    }
}

/// Collects a case's data while the kernel's wrapper records.
pub struct CaseBuilder {
    pub recorder: Recorder,
    pub(super) inputs: Vec<HostTensor>,
    pub(super) weights: Vec<HostWeight>,
    pub(super) checks: Vec<Check>,
    rng: fastrand::Rng,
    /// Record without generating data.
    without_data: bool,
}

impl CaseBuilder {
    /// The storage of values.
    pub fn values(&self) -> Element {
        self.recorder.storage.values
    }

    pub(super) fn new(case: &Case, storage: Policy, forms: Forms, mut limits: Limits, seed: u64) -> Self {
        limits.max_binding = case.limit.unwrap_or(limits.max_binding);
        limits.max_workgroups = case.workgroups.unwrap_or(limits.max_workgroups);
        limits.offset_alignment = case.alignment.unwrap_or(0).max(limits.offset_alignment);
        CaseBuilder {
            recorder: Recorder::new(storage, forms, limits),
            inputs: Vec::new(),
            weights: Vec::new(),
            checks: Vec::new(),
            rng: fastrand::Rng::with_seed(seed),
            without_data: false,
        }
    }

    /// An input `[height, width, channels]`, filled from the case's seed.
    pub fn input(
        &mut self,
        name: &str,
        height: u32,
        width: u32,
        channels: Channels,
        element: Element,
        fill: Fill,
    ) -> HostTensor {
        let row = channels.logical() as usize;
        let n = if self.without_data { 0 } else { height as usize * width as usize * row };
        let mut values = fill.draw(&mut self.rng, n, |i| (i / row, i % row));
        Self::round_drawn(&mut values, element);
        self.input_of(name, height, width, channels, element, values)
    }

    /// A weight `[Cout, Cin, taps]`, filled from the case's seed.
    pub fn weight(&mut self, name: &str, taps: u32, inputs: &Channels, outputs: &Channels, fill: Fill) -> HostWeight {
        let (area, row) = (taps as usize, inputs.logical() as usize);
        let n = if self.without_data { 0 } else { area * row * outputs.logical() as usize };
        let mut values = fill.draw(&mut self.rng, n, |i| (i / area / row, i / area % row));
        let id = self.weights.len() as u32;
        let param = Param { id, name: name.into(), taps, inputs: inputs.clone(), outputs: outputs.clone() };
        match self.recorder.storage.weights {
            Element::Q8 => round_to_8_bits(&param, fill, &mut values),
            element => Self::round_drawn(&mut values, element),
        }
        let weight = HostWeight { param, values: Arc::new(values) };
        self.weights.push(weight.clone());
        weight
    }

    /// Rounds to the storage.
    fn round(values: &mut [f32], element: Element) {
        if element.is_half() {
            let mut halves = vec![f16::ZERO; values.len()];
            halves.convert_from_f32_slice(values);
            halves.convert_to_f32_slice(values);
        }
    }

    /// Rounds to the storage, and replaces subnormal f16 by the smallest normal one, because a driver may read it as zero (WGSL).
    /// `language/numbers` tests subnormals.
    fn round_drawn(values: &mut [f32], element: Element) {
        Self::round(values, element);
        if element.is_half() {
            let least = f16::MIN_POSITIVE.to_f32();
            let subnormal = |v: &&mut f32| **v != 0.0 && v.abs() < least;
            values.iter_mut().filter(subnormal).for_each(|v| *v = least.copysign(*v));
        }
    }

    /// An input with given values, row by row.
    pub fn input_of(
        &mut self,
        name: &str,
        height: u32,
        width: u32,
        channels: Channels,
        element: Element,
        mut values: Vec<f32>,
    ) -> HostTensor {
        let tensor = self.recorder.input_of(name, height, width, channels, element);
        Self::round(&mut values, element);
        let width = tensor.channels.logical() as usize;
        let host = HostTensor { tensor, values: Arc::new(values), width };
        self.inputs.push(host.clone());
        host
    }

    /// Expects `twin(position, channel)` in `tensor`, before the rounding of its storage.
    pub fn expect(&mut self, tensor: &Tensor, twin: impl Fn(usize, usize) -> Approx + 'static) {
        self.recorder.output(tensor);
        self.checks.push(Check { tensor: tensor.clone(), twin: Box::new(twin), all: false, joint: None });
    }

    /// Constrains the last expected output: `measure(position, channel, results)` must equal `twin`.
    pub fn expect_together(
        &mut self,
        measure: impl Fn(usize, usize, &[f32]) -> f64 + 'static,
        twin: impl Fn(usize, usize) -> Approx + 'static,
    ) {
        if let Some(check) = self.checks.last_mut() {
            check.joint = Some(Joint { measure: Box::new(measure), twin: Box::new(twin) });
        }
    }

    /// Like [`CaseBuilder::expect`] for a cheap twin: compares every element rather than a sample.
    pub fn expect_all(&mut self, tensor: &Tensor, twin: impl Fn(usize, usize) -> Approx + 'static) {
        self.recorder.output(tensor);
        self.checks.push(Check { tensor: tensor.clone(), twin: Box::new(twin), all: true, joint: None });
    }
}
