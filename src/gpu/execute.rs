//! Binds a schedule to memory once, and runs it any number of times in short submissions.

use super::health::Submission;
use super::later::block_on;
use super::profile::{Label, Marks};
use super::{Arena, Gpu, GpuError, Wait};
use crate::plan::{Schedule, Tensor, TensorId, Window};
use std::collections::VecDeque;
use std::collections::hash_map::{Entry, HashMap};
use std::sync::{Arc, Mutex};
use web_time::Instant;

/// Receives the share of a plan that is done (0 to 1); returns false to stop.
pub type Progress<'a> = &'a mut dyn FnMut(f64) -> bool;

/// Target time of one submission. It must stay below a watchdog's limit, and it is the step of a progress bar and the delay of Ctrl-C.
const SUBMISSION_SECONDS: f64 = 0.15;
/// Submissions in flight, so that the device never waits for the host.
const IN_FLIGHT: usize = 2;

/// Measured rate of this device, in multiply-adds per second.
#[derive(Default)]
pub(super) struct Rate {
    /// Of its last submission.
    now: Mutex<Option<f64>>,
    /// Of its fastest plan.
    best: Mutex<Option<f64>>,
}

/// Shorter plans say little about a device's rate.
const MIN_RATE_SECONDS: f64 = 0.02;

impl Rate {
    /// The rate of the fastest plan; `None` before one has run.
    pub fn seen(&self) -> Option<f64> {
        self.best.lock().ok().and_then(|rate| *rate)
    }

    fn record_plan(&self, work: u64, seconds: f64) {
        if let (true, Ok(mut best)) = (seconds >= MIN_RATE_SECONDS, self.best.lock()) {
            *best = Some(best.unwrap_or(0.0).max(work as f64 / seconds));
        }
    }

    fn budget(&self) -> u64 {
        let rate = self.now.lock().ok().and_then(|rate| *rate).unwrap_or(1e10);
        (rate * SUBMISSION_SECONDS) as u64
    }

    fn record_submission(&self, work: u64, seconds: f64) {
        if let Ok(mut rate) = self.now.lock() {
            let now = work as f64 / seconds.max(1e-6);
            // Grow at most twofold per step: one quick submission must not make the next one long.
            *rate = Some(rate.map_or(now.min(2e10), |r| now.min(2.0 * r)).max(1e8));
        }
    }
}

/// Where a plan's input or output lies: a buffer and a byte offset in it.
#[derive(Clone)]
pub struct Placed {
    pub buffer: wgpu::Buffer,
    /// A multiple of the adapter's offset alignment.
    pub offset: u64,
}

struct Step {
    pipeline: wgpu::ComputePipeline,
    tensors: wgpu::BindGroup,
    workgroups: [u32; 3],
    /// Multiply-adds, including padding.
    work: u64,
    name: &'static str,
}

/// Steps in flight.
struct Submitted {
    submission: Submission,
    work: u64,
    /// The first step after them.
    end: usize,
    marks: Option<Marks>,
}

/// A schedule bound to memory, run once per image.
pub struct BoundPlan {
    pub name: String,
    steps: Vec<Step>,
    /// A label per step on a device with timestamps; empty otherwise.
    pub(super) labels: Vec<Arc<Label>>,
    params: wgpu::BindGroup,
    params_stride: u32,
    outside: HashMap<TensorId, Placed>,
    /// Its results: where each lies, and its bytes. They are set to NaN before each run, so that no stale value passes for a result.
    results: Vec<(Placed, u64)>,
    work: u64,
    /// Its run time counts towards the device's rate.
    counts_for_rate: bool,
}

impl BoundPlan {
    /// Excludes its run time from the device's rate: for plans that are not part of a model, or that use a form no model uses.
    pub fn without_observation(self) -> BoundPlan {
        BoundPlan { counts_for_rate: false, ..self }
    }

    fn encode(&self, number: usize, pass: &mut wgpu::ComputePass) {
        let Step { pipeline, tensors, workgroups: [x, y, z], .. } = &self.steps[number];
        pass.set_pipeline(pipeline);
        pass.set_bind_group(0, tensors, &[]);
        pass.set_bind_group(1, &self.params, &[number as u32 * self.params_stride]);
        pass.dispatch_workgroups(*x, *y, *z);
    }

    /// Where inputs and outputs lie, to bind another plan to the same memory.
    pub fn ends(&self) -> HashMap<TensorId, Placed> {
        self.outside.clone()
    }

    /// Where an input or output of this plan lies; `None` for any other tensor.
    pub(super) fn placed(&self, tensor: &Tensor) -> Option<&Placed> {
        self.outside.get(&tensor.id)
    }
}

impl Gpu {
    /// Binds `schedule` to `arena`, to the `constants` that it reads, and to buffers for its inputs and outputs: those in `given`, and new
    /// ones for the rest. Tensors that it hands on stay in the arena until another plan runs there.
    pub fn bind(
        &self,
        name: &str,
        schedule: &Schedule,
        arena: &Arena,
        constants: &HashMap<TensorId, Placed>,
        mut given: HashMap<TensorId, Placed>,
    ) -> Result<BoundPlan, GpuError> {
        let recording = &schedule.recording;
        for tensor in recording.inputs.iter().chain(&recording.outputs) {
            if let Entry::Vacant(free) = given.entry(tensor.id) {
                let buffer = self.buffer(&tensor.name, tensor.bytes())?;
                free.insert(Placed { buffer, offset: 0 });
            }
        }
        let in_arena = |value: &u32| {
            let place = schedule.places.get(value)?;
            Some((arena.slots.get(place.slot)?, place.offset))
        };
        for tensor in &recording.handed {
            if let TensorId::Value(v) = &tensor.id
                && let Some((buffer, offset)) = in_arena(v)
            {
                given.entry(tensor.id).or_insert(Placed { buffer: buffer.clone(), offset });
            }
        }
        let buffer_of = |tensor: &Tensor| {
            let placed = given.get(&tensor.id).or_else(|| constants.get(&tensor.id));
            let outside = placed.map(|placed| (&placed.buffer, placed.offset));
            outside.or_else(|| match &tensor.id {
                TensorId::Value(v) => in_arena(v),
                TensorId::Constant(..) => None,
            })
        };
        let mut steps = Vec::with_capacity(schedule.dispatches().len());
        // Steps of one sum bind the same buffers repeatedly, so bind groups are reused. They are not cheap: Mesa's CPU driver maps memory
        // for each, and a process may do that some 65,000 times.
        #[expect(clippy::mutable_key_type, reason = "wgpu compares and hashes handles by identity")]
        let mut groups: HashMap<_, wgpu::BindGroup> = HashMap::new();
        for dispatch in schedule.dispatches() {
            let pipeline = self.pipeline(dispatch, recording.storage)?;
            let mut entries = Vec::new();
            let mut bound = Vec::new();
            for (i, Window { tensor, offset, size }) in dispatch.inputs.iter().chain(&dispatch.outputs).enumerate() {
                let (buffer, start) = buffer_of(tensor)
                    .ok_or_else(|| self.failed(dispatch.kernel.name, format!("{} has no memory", tensor.name)))?;
                bound.push((buffer.clone(), start + offset, *size));
                let size = wgpu::BufferSize::new(*size);
                let binding = wgpu::BufferBinding { buffer, offset: start + offset, size };
                entries
                    .push(wgpu::BindGroupEntry { binding: i as u32, resource: wgpu::BindingResource::Buffer(binding) });
            }
            let first = dispatch.outputs.first().map_or("", |w| &w.tensor.name);
            let tensors = match groups.entry((pipeline.tensors.clone(), bound)) {
                Entry::Occupied(made) => made.get().clone(),
                Entry::Vacant(free) => {
                    let made = self.guarded(&format!("{} of {first}", dispatch.kernel.name), 0, || {
                        self.shared.device.create_bind_group(&wgpu::BindGroupDescriptor {
                            label: Some(first),
                            layout: &pipeline.tensors,
                            entries: &entries,
                        })
                    })?;
                    free.insert(made).clone()
                }
            };
            steps.push(Step {
                pipeline: pipeline.pipeline,
                tensors,
                workgroups: dispatch.workgroups,
                work: dispatch.flops + dispatch.padding,
                name: dispatch.kernel.name,
            });
        }
        let (params, params_stride) = self.params(schedule)?;
        let read = recording.outputs.iter().chain(&recording.handed);
        let computed = read.filter(|tensor| recording.inputs.iter().all(|i| i.id != tensor.id));
        let results = computed.filter_map(|tensor| Some((given.get(&tensor.id)?.clone(), tensor.bytes()))).collect();
        let labels = match &self.shared.profile {
            Some(_) => schedule.dispatches().iter().map(|dispatch| Arc::new(Label::of(dispatch))).collect(),
            None => Vec::new(),
        };
        Ok(BoundPlan {
            name: name.into(),
            steps,
            labels,
            params,
            params_stride,
            outside: given,
            results,
            work: schedule.dispatches().iter().map(|d| d.flops + d.padding).sum(),
            counts_for_rate: true,
        })
    }

    fn params(&self, schedule: &Schedule) -> Result<(wgpu::BindGroup, u32), GpuError> {
        let longest = schedule.dispatches().iter().map(|d| d.params.len()).max().unwrap_or(0).max(16);
        let size = longest.next_multiple_of(16);
        let stride = size.next_multiple_of(self.shared.device.limits().min_uniform_buffer_offset_alignment as usize);
        let mut bytes = vec![0u8; stride * schedule.dispatches().len().max(1)];
        for (place, dispatch) in bytes.chunks_mut(stride).zip(schedule.dispatches()) {
            place[..dispatch.params.len()].copy_from_slice(&dispatch.params);
        }
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let buffer = self.create("parameters", bytes.len() as u64, usage)?;
        self.upload(&buffer, 0, &bytes)?;
        let binding = wgpu::BufferBinding { buffer: &buffer, offset: 0, size: wgpu::BufferSize::new(size as u64) };
        let layout = self.params_layout();
        let group = self.guarded("parameters", 0, || {
            self.shared.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some("parameters"),
                layout: &layout,
                entries: &[wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::Buffer(binding) }],
            })
        })?;
        Ok((group, stride as u32))
    }

    /// Runs a plan to its end. Upload its inputs before, download its outputs after.
    pub fn run(&self, plan: &BoundPlan, progress: Progress) -> Result<(), GpuError> {
        block_on(self.run_by(Wait::Here, plan, progress))
    }

    /// [`Gpu::run`] without blocking. If the future is dropped early, no more steps are submitted; those already submitted still run.
    ///
    /// # Errors
    /// As for [`Gpu::run`].
    pub async fn run_async(&self, plan: &BoundPlan, progress: impl FnMut(f64) -> bool) -> Result<(), GpuError> {
        self.run_by(Wait::Aside, plan, progress).await
    }

    /// Like the above, waiting as `wait` says.
    pub(crate) async fn run_by(
        &self,
        wait: Wait,
        plan: &BoundPlan,
        mut progress: impl FnMut(f64) -> bool,
    ) -> Result<(), GpuError> {
        let mut next = 0;
        let mut done = 0;
        let mut waiting: VecDeque<Submitted> = VecDeque::new();
        let mut timed = Vec::new();
        let started = Instant::now();
        let mut last = started;
        while next < plan.steps.len() || !waiting.is_empty() {
            if next < plan.steps.len() && waiting.len() < IN_FLIGHT {
                let submitted = self.submit_steps(plan, next)?;
                next = submitted.end;
                waiting.push_back(submitted);
                continue;
            }
            if let Some(Submitted { submission, work, marks, .. }) = waiting.pop_front() {
                let share = done as f64 / plan.work.max(1) as f64;
                self.wait(wait, Some(submission), &plan.name, || !progress(share)).await?;
                self.shared.rate.record_submission(work, last.elapsed().as_secs_f64());
                last = Instant::now();
                done += work;
                timed.extend(marks.and_then(|marks| Some((marks, self.shared.profile()?.now()))));
                if !progress(done as f64 / plan.work.max(1) as f64) {
                    return Err(GpuError::Interrupted);
                }
            }
        }
        if plan.counts_for_rate {
            self.shared.rate.record_plan(plan.work, started.elapsed().as_secs_f64());
        }
        self.record_times(wait, plan, timed).await
    }

    /// Encodes and submits steps from `from` until the budget of one submission is spent.
    fn submit_steps(&self, plan: &BoundPlan, from: usize) -> Result<Submitted, GpuError> {
        let budget = self.shared.rate.budget();
        let profile = self.shared.profile();
        let most = profile.map_or(usize::MAX, |profile| profile.most());
        let mut work = 0;
        let mut end = from;
        while end < plan.steps.len() && (end == from || work + plan.steps[end].work <= budget && end - from < most) {
            work += plan.steps[end].work;
            end += 1;
        }
        let marks = profile.map(|profile| self.marks(profile, from, end - from)).transpose()?;
        let what = || format!("{}, dispatches {from} ({}) to {end}", plan.name, plan.steps[from].name);
        let poison = if from == 0 { Some(self.poison()?) } else { None };
        let submission = self.submit(&what(), 0, |encoder| {
            if let Some(poison) = poison {
                plan.results.iter().for_each(|(placed, bytes)| poison_buffer(encoder, poison, placed, *bytes));
            }
            match &marks {
                Some(marks) => marks.encode(encoder, |i, pass| plan.encode(from + i, pass)),
                None => {
                    let mut pass = encoder.begin_compute_pass(&Default::default());
                    (from..end).for_each(|number| plan.encode(number, &mut pass));
                }
            }
        })?;
        Ok(Submitted { submission, work, end, marks })
    }

    /// A buffer of NaN, shared by all plans of the device.
    fn poison(&self) -> Result<&wgpu::Buffer, GpuError> {
        if let Some(made) = self.shared.poison.get() {
            return Ok(made);
        }
        let buffer = self.buffer("poison", POISON_BYTES)?;
        self.upload(&buffer, 0, &vec![0xff; POISON_BYTES as usize])?;
        Ok(self.shared.poison.get_or_init(|| buffer))
    }
}

/// Size of the poison buffer, which is copied as often as a result needs. All bits are set: NaN as f32 and as f16.
const POISON_BYTES: u64 = 256 << 10;

fn poison_buffer(encoder: &mut wgpu::CommandEncoder, poison: &wgpu::Buffer, placed: &Placed, bytes: u64) {
    for at in (0..bytes).step_by(POISON_BYTES as usize) {
        let part = POISON_BYTES.min(bytes - at);
        encoder.copy_buffer_to_buffer(poison, 0, &placed.buffer, placed.offset + at, part);
    }
}
