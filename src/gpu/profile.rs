//! GPU timestamps of each dispatch, on a device opened with them and while they are switched on.

use super::{BoundPlan, Gpu, GpuError, Shared, Wait};
use crate::plan::{Dispatch, Tensor, Window};
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use web_time::Instant;

/// The timestamps of a device, and the times taken so far.
pub(super) struct Profile {
    on: AtomicBool,
    /// Timestamps may be written inside a pass; otherwise each dispatch gets a pass of its own.
    inside: bool,
    /// Seconds per tick.
    tick: f64,
    /// Zero of the host's times.
    begun: Instant,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    ran: Vec<Ran>,
    /// Upper bound on how far the host's clock is ahead of the device's.
    ahead: Option<f64>,
}

/// Describes a dispatch to the reader of its times.
#[derive(Debug)]
pub struct Label {
    pub kernel: &'static str,
    pub form: &'static str,
    /// Name of the first tensor that it writes.
    pub output: Arc<str>,
    /// Shapes of its inputs and outputs: `[64, 64, 320] [1, 1, 320] -> [64, 64, 320]`.
    pub shapes: String,
    pub workgroups: [u32; 3],
    /// Multiplications and additions, counted separately.
    pub flops: u64,
    /// Operations on padding, not included above.
    pub padding: u64,
    /// Bytes of its bindings, each counted once.
    pub bytes: u64,
}

/// A dispatch that ran.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Name of the bound plan.
    pub plan: Arc<str>,
    pub label: Arc<Label>,
    /// Start, in seconds after the requested moment. The host and the device have separate clocks: a device's time is placed so that the
    /// host never heard of a submission before it ended.
    pub start: f64,
    pub seconds: f64,
}

impl Label {
    pub(super) fn of(dispatch: &Dispatch) -> Label {
        let mut shapes = String::new();
        let mut write = |before: &str, windows: &[Window]| {
            for (i, window) in windows.iter().enumerate() {
                let space = if i == 0 { before } else { " " };
                let _ = write!(shapes, "{space}{}", Tensor::shape_string(&window.tensor));
            }
        };
        write("", &dispatch.inputs);
        write(" -> ", &dispatch.outputs);
        Label {
            kernel: dispatch.kernel.name,
            form: dispatch.form.name,
            output: dispatch.outputs.first().map_or_else(|| "".into(), |window| window.tensor.name.clone()),
            shapes,
            workgroups: dispatch.workgroups,
            flops: dispatch.flops,
            padding: dispatch.padding,
            bytes: dispatch.bytes(),
        }
    }
}

/// The timestamps of one submission.
pub(super) struct Marks {
    set: wgpu::QuerySet,
    values: wgpu::Buffer,
    inside: bool,
    /// Its first dispatch in the plan, and the number of dispatches.
    from: usize,
    count: usize,
}

impl Profile {
    pub fn new(device: &wgpu::Device, queue: &wgpu::Queue) -> Profile {
        Profile {
            on: AtomicBool::new(false),
            inside: device.features().contains(wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES),
            tick: f64::from(queue.get_timestamp_period()) * 1e-9,
            begun: Instant::now(),
            told: Default::default(),
        }
    }

    /// The most dispatches of a submission whose timestamps fit one query set.
    pub fn most(&self) -> usize {
        let most = wgpu::QUERY_SET_MAX_QUERIES as usize;
        if self.inside { most - 1 } else { most / 2 }
    }

    /// Seconds on the host's clock.
    pub fn now(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }
}

impl Marks {
    fn len(&self) -> u32 {
        (if self.inside { self.count + 1 } else { 2 * self.count }) as u32
    }

    /// Encodes each dispatch, by its number in the submission, between two timestamps.
    pub fn encode(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        mut dispatch: impl FnMut(usize, &mut wgpu::ComputePass<'_>),
    ) {
        if self.inside {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            pass.write_timestamp(&self.set, 0);
            for i in 0..self.count {
                dispatch(i, &mut pass);
                pass.write_timestamp(&self.set, i as u32 + 1);
            }
        } else {
            for i in 0..self.count {
                let timestamp_writes = Some(wgpu::ComputePassTimestampWrites {
                    query_set: &self.set,
                    beginning_of_pass_write_index: Some(2 * i as u32),
                    end_of_pass_write_index: Some(2 * i as u32 + 1),
                });
                let descriptor = wgpu::ComputePassDescriptor { label: None, timestamp_writes };
                dispatch(i, &mut encoder.begin_compute_pass(&descriptor));
            }
        }
        encoder.resolve_query_set(&self.set, 0..self.len(), &self.values, 0);
    }

    /// Ticks at which that dispatch began and ended.
    fn of(&self, ticks: &[u64], i: usize) -> (u64, u64) {
        let first = if self.inside { i } else { 2 * i };
        (ticks[first], ticks[first + 1])
    }
}

impl Shared {
    /// The profile, if times are being taken now.
    pub(super) fn profile(&self) -> Option<&Profile> {
        self.profile.as_ref().filter(|profile| profile.on.load(Relaxed))
    }
}

impl Gpu {
    /// Switches the taking of times on or off. Returns false where the device has no timestamps or was opened without them: see
    /// [`AdapterChoice::timed`](super::AdapterChoice::timed). Plans run a little slower with it.
    pub fn take_times(&self, on: bool) -> bool {
        self.shared.profile.as_ref().inspect(|profile| profile.on.store(on, Relaxed)).is_some()
    }

    /// The dispatches timed since the last call, in order, as seconds after `moment`.
    pub fn times(&self, moment: Instant) -> Vec<Ran> {
        let Some(profile) = &self.shared.profile else { return Vec::new() };
        let Ok(mut told) = profile.told.lock() else { return Vec::new() };
        let host = match moment.checked_duration_since(profile.begun) {
            Some(after) => after.as_secs_f64(),
            None => -profile.begun.duration_since(moment).as_secs_f64(),
        };
        let shift = told.ahead.unwrap_or(0.0) - host;
        let ran = std::mem::take(&mut told.ran);
        ran.into_iter().map(|ran| Ran { start: ran.start + shift, ..ran }).collect()
    }

    pub(super) fn marks(&self, profile: &Profile, from: usize, count: usize) -> Result<Marks, GpuError> {
        use wgpu::BufferUsages as Usage;
        let inside = profile.inside;
        let len = if inside { count + 1 } else { 2 * count };
        let descriptor = wgpu::QuerySetDescriptor { label: None, ty: wgpu::QueryType::Timestamp, count: len as u32 };
        let set = self.guarded("timestamps", 0, || self.shared.device.create_query_set(&descriptor))?;
        let values = self.create("timestamps", 8 * len as u64, Usage::QUERY_RESOLVE | Usage::COPY_SRC)?;
        Ok(Marks { set, values, inside, from, count })
    }

    /// Reads the timestamps of finished submissions of `plan`. Each comes with the host's second at which we heard that it finished.
    pub(super) async fn record_times(
        &self,
        wait: Wait,
        plan: &BoundPlan,
        marks: Vec<(Marks, f64)>,
    ) -> Result<(), GpuError> {
        let Some(profile) = &self.shared.profile else { return Ok(()) };
        let name: Arc<str> = plan.name.as_str().into();
        for (marks, heard) in marks {
            let parts = [(&marks.values, 0, 8 * u64::from(marks.len()))];
            let [ticks] =
                self.download_all(wait, parts, |_, bytes| bytemuck::pod_collect_to_vec::<u8, u64>(bytes)).await?;
            let mut told = profile.told.lock().map_err(|error| self.failed("timestamps", error))?;
            for i in 0..marks.count {
                let (start, end) = marks.of(&ticks, i);
                // A clock that was set back meanwhile gives no usable times.
                let seconds = end.saturating_sub(start) as f64 * profile.tick;
                let start = start as f64 * profile.tick;
                let ahead = heard - (start + seconds);
                told.ahead = Some(told.ahead.map_or(ahead, |least| least.min(ahead)));
                let label = plan.labels[marks.from + i].clone();
                told.ran.push(Ran { plan: name.clone(), label, start, seconds });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::{AdapterChoice, Arena};
    use crate::kernels::affine;
    use crate::plan::{Channels, Element, Policy, Recorder, Schedule};
    use std::collections::HashMap;

    /// Both ways of taking times give one per dispatch, in order, within the host's wait, and none when switched off.
    #[test]
    fn each_dispatch_has_its_time() {
        let choice = AdapterChoice { timed: true, ..Default::default() };
        let mut gpu = Gpu::new(&choice).expect("a device");
        let mut r = Recorder::new(Policy::F32, gpu.forms.clone(), gpu.limits());
        let mut x = r.input("x", 64, 64, Channels::one(64));
        let scale = r.input_of("scale", 1, 2, Channels::one(64), Element::F32);
        for _ in 0..5 {
            x = affine::record(&mut r, &x, None, &scale, true);
        }
        r.output(&x);
        let schedule = Schedule::new(r.finish().expect("records"));
        for inside in [true, false] {
            Arc::get_mut(&mut gpu.shared).and_then(|shared| shared.profile.as_mut()).expect("a clock").inside = inside;
            let arena = Arena::new(&gpu, &Arena::sizes([&schedule])).expect("memory");
            let plan = gpu.bind("five", &schedule, &arena, &HashMap::new(), HashMap::new()).expect("bound");
            gpu.run(&plan, &mut |_| true).expect("runs");
            assert!(gpu.take_times(true));
            let moment = Instant::now();
            gpu.run(&plan, &mut |_| true).expect("runs");
            gpu.take_times(false);
            gpu.run(&plan, &mut |_| true).expect("runs");
            let (ran, whole) = (gpu.times(moment), moment.elapsed().as_secs_f64());
            assert_eq!(ran.len(), 5, "inside passes: {inside}");
            assert!(ran.iter().map(|ran| ran.seconds).sum::<f64>() > 0.0, "{ran:?}");
            for pair in ran.windows(2) {
                assert!(pair[0].start + pair[0].seconds <= pair[1].start + 1e-9, "{pair:?}");
            }
            let (first, last) = (&ran[0], &ran[4]);
            assert!(first.start > 0.0 && last.start + last.seconds <= whole, "{first:?} {last:?} of {whole} s");
            assert_eq!((&*first.plan, first.label.kernel, first.label.flops > 0), ("five", "affine", true));
            assert_eq!(first.label.shapes, "[64, 64, 64] [64, 64, 64] [1, 2, 64] -> [64, 64, 64]");
            assert!(gpu.times(moment).is_empty());
        }
        // A device opened without timestamps takes none.
        let plain = Gpu::new(&AdapterChoice { timed: false, ..choice }).expect("a device");
        assert!(!plain.take_times(true) && plain.times(Instant::now()).is_empty());
    }
}
