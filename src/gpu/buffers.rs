//! Buffers: creation, upload through bounded staging, readback, and the arena that plans share.

use super::later::{block_on, later};
use super::{Gpu, GpuError, Wait, heartbeat};
use crate::plan::Schedule;
use std::sync::atomic::Ordering::Relaxed;

/// Limit on the bytes of uploads in flight, which bounds host memory.
const STAGING: u64 = 64 << 20;

/// One buffer per slot. Plans that never run at the same time share it.
pub struct Arena {
    pub(super) slots: Vec<wgpu::Buffer>,
}

impl Arena {
    /// Bytes of each slot, large enough for all of `plans`.
    pub fn sizes<'a>(plans: impl IntoIterator<Item = &'a Schedule>) -> Vec<u64> {
        let mut sizes: Vec<u64> = Vec::new();
        for plan in plans {
            sizes.resize(sizes.len().max(plan.slots.len()), 0);
            for (size, slot) in sizes.iter_mut().zip(&plan.slots) {
                *size = (*size).max(*slot);
            }
        }
        sizes
    }

    pub fn new(gpu: &Gpu, sizes: &[u64]) -> Result<Arena, GpuError> {
        let slot = |(i, &bytes): (usize, &u64)| gpu.buffer(&format!("working memory {i}"), bytes);
        Ok(Arena { slots: sizes.iter().enumerate().map(slot).collect::<Result<_, _>>()? })
    }
}

impl Arena {
    /// Bytes of each slot.
    pub fn slots(&self) -> Vec<u64> {
        self.slots.iter().map(wgpu::Buffer::size).collect()
    }

    /// Whether it is large enough for a plan whose slots have these sizes.
    pub fn holds(&self, sizes: &[u64]) -> bool {
        sizes.len() <= self.slots.len() && sizes.iter().zip(&self.slots).all(|(size, slot)| *size <= slot.size())
    }
}

impl Gpu {
    /// A storage buffer of `bytes`, zero-filled.
    pub fn buffer(&self, name: &str, bytes: u64) -> Result<wgpu::Buffer, GpuError> {
        use wgpu::BufferUsages as Usage;
        let usage = Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST;
        self.create(name, bytes.max(16), usage)
    }

    pub(super) fn create(&self, name: &str, size: u64, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer, GpuError> {
        let descriptor = wgpu::BufferDescriptor { label: Some(name), size, usage, mapped_at_creation: false };
        self.guarded(name, size, || self.shared.device.create_buffer(&descriptor))
    }

    /// Writes `bytes` at `offset`. Returns when at most 64 MiB are in flight.
    pub fn upload(&self, buffer: &wgpu::Buffer, mut offset: u64, bytes: &[u8]) -> Result<(), GpuError> {
        for chunk in bytes.chunks(STAGING as usize) {
            self.guarded("upload", chunk.len() as u64, || self.shared.queue.write_buffer(buffer, offset, chunk))?;
            offset += chunk.len() as u64;
            self.staged(chunk.len() as u64)?;
        }
        Ok(())
    }

    /// Writes the `size` bytes that `give` produces in order, without a copy of the whole.
    pub(super) fn fill(
        &self,
        buffer: &wgpu::Buffer,
        offset: u64,
        size: u64,
        give: impl FnOnce(&mut dyn FnMut(&[u8])),
    ) -> Result<(), GpuError> {
        let Some(bytes) = wgpu::BufferSize::new(size) else { return Ok(()) };
        let view = self.guarded("upload", size, || self.shared.queue.write_buffer_with(buffer, offset, bytes))?;
        let mut view = view.ok_or_else(|| self.failed("upload", "no staging memory is left"))?;
        let mut at = 0;
        give(&mut |part| {
            view.slice(at..at + part.len()).copy_from_slice(part);
            at += part.len();
        });
        self.guarded("upload", size, || drop(view))?;
        self.staged(size)
    }

    fn staged(&self, more: u64) -> Result<(), GpuError> {
        // A browser bounds uploads itself, and its thread cannot wait.
        if cfg!(not(target_arch = "wasm32")) && self.shared.staged.fetch_add(more, Relaxed) + more >= STAGING {
            self.submit("upload", more, |_| {})?;
            self.wait_here(None, "upload")?;
            self.shared.staged.store(0, Relaxed);
        }
        Ok(())
    }

    /// Reads bytes of a buffer from an offset. Waits for everything submitted.
    pub fn download(&self, buffer: &wgpu::Buffer, offset: u64, bytes: u64) -> Result<Vec<u8>, GpuError> {
        block_on(self.download_by(Wait::Here, buffer, offset, bytes))
    }

    /// Like the above, waiting as `wait` says.
    pub(crate) async fn download_by(
        &self,
        wait: Wait,
        buffer: &wgpu::Buffer,
        offset: u64,
        bytes: u64,
    ) -> Result<Vec<u8>, GpuError> {
        let [bytes] = self.download_all(wait, [(buffer, offset, bytes)], |_, bytes| bytes.to_vec()).await?;
        Ok(bytes)
    }

    /// Calls `take` on the given bytes of each buffer, after a single wait for everything submitted.
    pub(super) async fn download_all<T, const N: usize>(
        &self,
        wait: Wait,
        parts: [(&wgpu::Buffer, u64, u64); N],
        take: impl Fn(usize, &[u8]) -> T,
    ) -> Result<[T; N], GpuError> {
        let total = parts.iter().map(|part| part.2).sum();
        log::trace!("readback of {total} bytes");
        let staging = self.readback(total + heartbeat::BYTES)?;
        let copies = |encoder: &mut wgpu::CommandEncoder| {
            let mut at = 0;
            for (buffer, offset, bytes) in parts {
                encoder.copy_buffer_to_buffer(buffer, offset, &staging, at, bytes);
                at += bytes;
            }
        };
        let (_, expected) = self.submit_and_copy("readback", total, copies, Some((&staging, total)))?;
        let (say, mapped) = later();
        staging.map_async(wgpu::MapMode::Read, ..total + heartbeat::BYTES, move |result| say.say(result));
        self.wait(wait, None, "readback", || false).await?;
        match mapped.await {
            Some(Ok(())) => {}
            Some(Err(error)) => return Err(self.failed("readback", error)),
            None => return Err(self.failed("readback", "the buffer was not mapped")),
        }
        let range = staging.get_mapped_range(..total + heartbeat::BYTES).map_err(|e| self.failed("readback", e))?;
        let (mut rest, sum) = range.split_at(total as usize);
        self.prove("readback", expected, sum)?;
        let taken = std::array::from_fn(|i| {
            let (part, after) = rest.split_at(parts[i].2 as usize);
            rest = after;
            take(i, part)
        });
        drop(range);
        staging.unmap();
        if let (true, Ok(mut kept)) = (staging.size() <= STAGING, self.shared.readback.lock()) {
            *kept = Some(staging);
        }
        Ok(taken)
    }

    /// A readback buffer of at least `bytes`: reuses the last one if it is free and large enough.
    fn readback(&self, bytes: u64) -> Result<wgpu::Buffer, GpuError> {
        use wgpu::BufferUsages as Usage;
        let kept = self.shared.readback.lock().ok().and_then(|mut kept| kept.take());
        match kept.filter(|buffer| buffer.size() >= bytes) {
            Some(buffer) => Ok(buffer),
            None => self.create("readback", bytes, Usage::COPY_DST | Usage::MAP_READ),
        }
    }
}
