//! Proof that what was submitted has run: a driver may lose a submission, or do nothing at all, and report success. Each submission
//! adds a random number to a sum on the device; whatever is read back brings the sum along, and the host knows what it must be.

use super::health::Submission;
use super::{Gpu, GpuError};
use std::sync::Mutex;
use std::sync::atomic::Ordering;

/// The sum, and a submission's number.
pub(super) type Sum = [u32; 4];
pub(super) const BYTES: u64 = size_of::<Sum>() as u64;

pub(super) struct Heartbeat {
    /// What the device gives back is not compared; see [`AdapterChoice::unproved`](super::AdapterChoice::unproved).
    unproved: bool,
    beat: Mutex<Option<Beat>>,
}

struct Beat {
    pipeline: wgpu::ComputePipeline,
    group: wgpu::BindGroup,
    number: wgpu::Buffer,
    sum: wgpu::Buffer,
    /// The host's own.
    expected: Sum,
}

impl Heartbeat {
    pub fn new(unproved: bool) -> Heartbeat {
        Heartbeat { unproved, beat: Mutex::new(None) }
    }
}

/// What `shaders/heartbeat.wgsl` computes.
fn after(sum: Sum, number: Sum) -> Sum {
    std::array::from_fn(|lane| {
        let mixed = (sum[(lane + 1) % 4] ^ number[lane]).wrapping_mul(0x9e37_79b1);
        mixed ^ (mixed >> 15)
    })
}

fn random() -> Sum {
    std::array::from_fn(|_| fastrand::u32(..))
}

impl Gpu {
    /// Submits what `encode` says, with a beat at its end.
    pub(super) fn submit(
        &self,
        what: &str,
        bytes: u64,
        encode: impl FnOnce(&mut wgpu::CommandEncoder),
    ) -> Result<Submission, GpuError> {
        self.submit_and_copy(what, bytes, encode, None).map(|(submission, _)| submission)
    }

    /// The same; copies the sum to a place that is read back, and says what must be found there.
    pub(super) fn submit_and_copy(
        &self,
        what: &str,
        bytes: u64,
        encode: impl FnOnce(&mut wgpu::CommandEncoder),
        to: Option<(&wgpu::Buffer, u64)>,
    ) -> Result<(Submission, Sum), GpuError> {
        let (device, queue) = (&self.shared.device, &self.shared.queue);
        // Held until all is submitted: the device adds in the same order as the host.
        let mut beat = self.shared.heartbeat.beat.lock().map_err(|error| self.failed(what, error))?;
        let beat = match beat.take() {
            Some(made) => beat.insert(made),
            None => beat.insert(self.beat()?),
        };
        let number = random();
        let index = self.guarded(what, bytes, || {
            let mut encoder = device.create_command_encoder(&Default::default());
            encode(&mut encoder);
            // Written by this submission itself, before its first command.
            queue.write_buffer(&beat.number, 0, bytemuck::bytes_of(&number));
            {
                let mut pass = encoder.begin_compute_pass(&Default::default());
                pass.set_pipeline(&beat.pipeline);
                pass.set_bind_group(0, &beat.group, &[]);
                pass.dispatch_workgroups(1, 1, 1);
            }
            if let Some((buffer, offset)) = to {
                encoder.copy_buffer_to_buffer(&beat.sum, 0, buffer, offset, BYTES);
            }
            queue.submit([encoder.finish()])
        })?;
        beat.expected = after(beat.expected, number);
        self.shared.submissions.fetch_add(1, Ordering::Relaxed);
        Ok((self.shared.submitted(index), beat.expected))
    }

    /// Fails where the device has not run all that was submitted; from then on the device fails whatever it is asked.
    pub(super) fn prove(&self, what: &str, expected: Sum, found: &[u8]) -> Result<(), GpuError> {
        if self.shared.heartbeat.unproved || found == bytemuck::bytes_of(&expected) {
            return Ok(());
        }
        self.shared.health.idle();
        self.alive(what)
    }

    fn beat(&self) -> Result<Beat, GpuError> {
        let [number, sum] = [self.buffer("heartbeat's number", BYTES)?, self.buffer("heartbeat", BYTES)?];
        let expected = random();
        self.shared.queue.write_buffer(&sum, 0, bytemuck::bytes_of(&expected));
        self.guarded("pipeline heartbeat", 0, || {
            let device = &self.shared.device;
            let module = device.create_shader_module(wgpu::include_wgsl!("../../shaders/heartbeat.wgsl"));
            let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some("heartbeat"),
                layout: None,
                module: &module,
                entry_point: Some("main"),
                compilation_options: Default::default(),
                cache: self.shared.pipelines.cache.get(),
            });
            let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some("heartbeat"),
                layout: &pipeline.get_bind_group_layout(0),
                entries: &[entry(0, &sum), entry(1, &number)],
            });
            Beat { pipeline, group, number, sum, expected }
        })
    }
}

fn entry(binding: u32, buffer: &wgpu::Buffer) -> wgpu::BindGroupEntry<'_> {
    wgpu::BindGroupEntry { binding, resource: wgpu::BindingResource::Buffer(buffer.as_entire_buffer_binding()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_tells_what_is_missing_and_in_which_order() {
        let [start, a, b, c] = [[1, 2, 3, 4], [5, 6, 7, 8], [9, 9, 9, 9], [0, 0, 0, 0]];
        let all = [a, b, c].into_iter().fold(start, after);
        for other in [&[a, b][..], &[b, c], &[a, c], &[b, a, c], &[a, c, b], &[]] {
            assert_ne!(other.iter().copied().fold(start, after), all, "{other:?}");
        }
    }
}
