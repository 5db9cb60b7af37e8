//! Proof that submissions have run: a driver may lose one, or do nothing at all, and still report success. Each submission updates a
//! checksum on the device with a random number. Every readback includes the checksum, and the host compares it with its own.

use super::health::Submission;
use super::{Gpu, GpuError};
use std::sync::Mutex;
use std::sync::atomic::Ordering;

/// The checksum, or the random number of a submission.
pub(super) type Sum = [u32; 4];
pub(super) const BYTES: u64 = size_of::<Sum>() as u64;

pub(super) struct Heartbeat {
    /// Skips the comparison; see [`AdapterChoice::unproved`](super::AdapterChoice::unproved).
    unproved: bool,
    beat: Mutex<Option<Beat>>,
}

struct Beat {
    pipeline: wgpu::ComputePipeline,
    group: wgpu::BindGroup,
    number: wgpu::Buffer,
    sum: wgpu::Buffer,
    /// The host's own checksum.
    expected: Sum,
}

impl Heartbeat {
    pub fn new(unproved: bool) -> Heartbeat {
        Heartbeat { unproved, beat: Mutex::new(None) }
    }
}

/// The same function as in `shaders/heartbeat.wgsl`.
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
    /// Submits the commands of `encode`, followed by a beat.
    pub(super) fn submit(
        &self,
        what: &str,
        bytes: u64,
        encode: impl FnOnce(&mut wgpu::CommandEncoder),
    ) -> Result<Submission, GpuError> {
        self.submit_and_copy(what, bytes, encode, None).map(|(submission, _)| submission)
    }

    /// Like the above, and copies the checksum to a buffer for readback. Returns the expected value.
    pub(super) fn submit_and_copy(
        &self,
        what: &str,
        bytes: u64,
        encode: impl FnOnce(&mut wgpu::CommandEncoder),
        to: Option<(&wgpu::Buffer, u64)>,
    ) -> Result<(Submission, Sum), GpuError> {
        let (device, queue) = (&self.shared.device, &self.shared.queue);
        // Held until the submission is made, so that the device updates the checksum in the host's order.
        let mut beat = self.shared.heartbeat.beat.lock().map_err(|error| self.failed(what, error))?;
        let beat = match beat.take() {
            Some(made) => beat.insert(made),
            None => beat.insert(self.beat()?),
        };
        let number = random();
        let index = self.guarded(what, bytes, || {
            let mut encoder = device.create_command_encoder(&Default::default());
            encode(&mut encoder);
            // This submission itself writes the number, before its first command.
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

    /// Fails where the device has not run all that was submitted. The device then fails every later call.
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
