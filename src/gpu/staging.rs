//! Uploads of one thread through two buffers in turn: it fills one while the device reads the other. They are reused, so the page faults of
//! fresh memory happen only once.

use super::health::Submission;
use super::later::{Later, block_on, later};
use super::{Gpu, GpuError};
use std::collections::VecDeque;

const BUFFERS: usize = 2;
/// Bytes of one buffer: few enough that the data is still in the processor's cache when a CPU driver reads it.
const MOST: u64 = 4 << 20;
const LEAST: u64 = 64 << 10;

/// Uploads of one thread; all of them are submitted after [`Uploads::finish`].
pub(crate) struct Uploads<'a> {
    gpu: &'a Gpu,
    size: u64,
    filling: Option<Staging>,
    sent: VecDeque<Sent>,
}

/// The mapped buffer.
struct Staging {
    buffer: wgpu::Buffer,
    filled: u64,
    copies: Vec<Copy>,
}

/// Copies: an offset in it, the target with its offset, and the bytes.
struct Copy {
    from: u64,
    to: wgpu::Buffer,
    offset: u64,
    bytes: u64,
}

/// A buffer that the device reads and that is mapped again afterwards.
struct Sent {
    buffer: wgpu::Buffer,
    submission: Submission,
    mapped: Later<Result<(), wgpu::BufferAsyncError>>,
}

impl Gpu {
    /// For one of `threads` that upload `bytes` in total.
    pub(crate) fn uploads(&self, bytes: u64, threads: usize) -> Uploads<'_> {
        let size = (bytes / (4 * threads.max(1) as u64)).next_multiple_of(LEAST).clamp(LEAST, MOST);
        Uploads { gpu: self, size, filling: None, sent: VecDeque::new() }
    }
}

impl Staging {
    fn add(&mut self, to: &wgpu::Buffer, offset: u64, bytes: u64) {
        let follows =
            |last: &Copy| (&last.to, last.offset + last.bytes, last.from + last.bytes) == (to, offset, self.filled);
        match self.copies.last_mut() {
            Some(last) if follows(last) => last.bytes += bytes,
            _ => self.copies.push(Copy { from: self.filled, to: to.clone(), offset, bytes }),
        }
        self.filled = (self.filled + bytes).next_multiple_of(wgpu::MAP_ALIGNMENT);
    }
}

impl Uploads<'_> {
    /// Queues a write of `bytes`, a multiple of four long, to `buffer` at `offset`.
    ///
    /// # Errors
    /// The device reports an error.
    pub fn put(&mut self, buffer: &wgpu::Buffer, mut offset: u64, mut bytes: &[u8]) -> Result<(), GpuError> {
        // A browser's thread cannot wait for a buffer.
        if cfg!(target_arch = "wasm32") {
            return self.gpu.upload(buffer, offset, bytes);
        }
        while !bytes.is_empty() {
            let mut staging = self.filling.take().map_or_else(|| self.free(), Ok)?;
            let part = (self.size - staging.filled).min(bytes.len() as u64);
            let (now, rest) = bytes.split_at(part as usize);
            let view = staging.buffer.get_mapped_range_mut(staging.filled..staging.filled + part);
            view.map_err(|e| self.gpu.failed("upload", e))?.copy_from_slice(now);
            staging.add(buffer, offset, part);
            (bytes, offset) = (rest, offset + part);
            match staging.filled == self.size {
                true => self.send(staging)?,
                false => self.filling = Some(staging),
            }
        }
        Ok(())
    }

    /// Submits the remaining writes.
    ///
    /// # Errors
    /// The device reports an error.
    pub fn finish(mut self) -> Result<(), GpuError> {
        self.filling.take().map_or(Ok(()), |staging| self.send(staging))
    }

    /// A mapped buffer to fill, once the device is done with it.
    fn free(&mut self) -> Result<Staging, GpuError> {
        let gpu = self.gpu;
        let buffer = if self.sent.len() < BUFFERS {
            let usage = wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC;
            let label = Some("upload");
            let descriptor = wgpu::BufferDescriptor { label, size: self.size, usage, mapped_at_creation: true };
            gpu.guarded("upload", self.size, || gpu.shared.device.create_buffer(&descriptor))?
        } else {
            let Some(Sent { buffer, submission, mapped }) = self.sent.pop_front() else {
                return Err(gpu.failed("upload", "no staging buffer is left"));
            };
            gpu.wait_here(Some(submission), "upload")?;
            match block_on(async { Ok(mapped.await) })? {
                Some(Ok(())) => buffer,
                Some(Err(error)) => return Err(gpu.failed("upload", error)),
                None => return Err(gpu.failed("upload", "the buffer was not mapped")),
            }
        };
        Ok(Staging { buffer, filled: 0, copies: Vec::new() })
    }

    fn send(&mut self, Staging { buffer, filled, copies }: Staging) -> Result<(), GpuError> {
        buffer.unmap();
        let submission = self.gpu.submit("upload", filled, |encoder| {
            for Copy { from, to, offset, bytes } in &copies {
                encoder.copy_buffer_to_buffer(&buffer, *from, to, *offset, *bytes);
            }
        })?;
        let (say, mapped) = later();
        buffer.map_async(wgpu::MapMode::Write, .., move |result| say.say(result));
        self.sent.push_back(Sent { buffer, submission, mapped });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::threads::run_with_others;

    /// Writes of any size, to several buffers, through staging buffers far smaller than their total.
    #[test]
    fn all_bytes_arrive_at_their_places() {
        let gpu = Gpu::new(&crate::environment::choice(None, None).unwrap()).expect("an adapter is present");
        const BYTES: usize = 300_000;
        let one = || {
            let mut rng = fastrand::Rng::new();
            let made: Vec<_> = (0..5).map(|_| gpu.buffer("test", BYTES as u64).unwrap()).collect();
            let mut held = vec![vec![0u8; BYTES]; made.len()];
            let mut uploads = Uploads { size: LEAST, ..gpu.uploads(0, 1) };
            for _ in 0..200 {
                let (which, at) = (rng.usize(..made.len()), 4 * rng.usize(..BYTES / 4));
                let most = if rng.bool() { 64 } else { BYTES };
                let end = (at + 4 * rng.usize(1..most / 4)).min(BYTES);
                rng.fill(&mut held[which][at..end]);
                uploads.put(&made[which], at as u64, &held[which][at..end]).unwrap();
            }
            uploads.finish().unwrap();
            made.into_iter().zip(held).all(|(buffer, held)| gpu.download(&buffer, 0, BYTES as u64).unwrap() == held)
        };
        let (own, others) = run_with_others(2, one, one);
        assert!(own && others == [true, true]);
        gpu.uploads(1 << 40, 1).finish().unwrap();
    }
}
