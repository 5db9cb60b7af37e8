//! A case's tensors in separate buffers, with poison in every output and on both sides of every tensor.

use crate::gpu::{CHECKED, Gpu, GpuError, Placed, Wait};
use crate::plan::{Place, Schedule, Tensor, TensorId};
use std::collections::{BTreeMap, HashMap};

const POISON: u8 = 0xff; // NaN as f32 and as half
/// Guard bytes before and after a tensor. They are NaN for anyone who reads them, and must be unchanged after the run. A multiple of every
/// offset alignment.
const LEAST: u64 = 4096;
/// For wide rows, guard as many rows as a workgroup may overrun; further addresses are outside every binding.
const ROWS: u64 = 128;
const MOST: u64 = 256 << 10;
/// Larger tensors are poisoned only up to so many bytes, and their inside is not checked again.
const LARGE: u64 = 256 << 20;
/// Inputs up to this size are compared after the run, too.
const COMPARED: u64 = 16 << 20;

/// Guard bytes of a tensor: none if the tensor fills the largest buffer.
fn guard(tensor: &Tensor, max_buffer: u64) -> u64 {
    let row = tensor.channels.vec4s() as u64 * tensor.vec4_bytes();
    let bytes = (ROWS * row).next_multiple_of(LEAST).clamp(LEAST, MOST);
    if tensor.bytes() + 2 * bytes <= max_buffer { bytes } else { 0 }
}

struct Guarded {
    tensor: Tensor,
    placed: Placed,
    guard: u64,
    /// The contents of an input.
    content: Option<Vec<u8>>,
}

/// Elsewhere, buffers are freed with their last handle. A browser would keep those of hundreds of cases until it collects garbage.
#[cfg(target_arch = "wasm32")]
impl Drop for Guarded {
    fn drop(&mut self) {
        self.placed.buffer.destroy();
    }
}

/// All tensors of a schedule.
pub(super) struct Memory<'a> {
    gpu: &'a Gpu,
    tensors: Vec<Guarded>,
}

impl<'a> Memory<'a> {
    /// `filled` are inputs and constants with their bytes; all other tensors are poisoned.
    pub fn new(gpu: &'a Gpu, schedule: &Schedule, filled: Vec<(Tensor, Vec<u8>)>) -> Result<Self, GpuError> {
        let mut memory = Memory { gpu, tensors: Vec::new() };
        for (tensor, bytes) in filled {
            memory.add(&tensor, Some(bytes))?;
        }
        for tensor in &schedule.recording.outputs {
            memory.add(tensor, None)?;
        }
        // Values of one size that reuse a place do so here, too.
        let places: BTreeMap<u32, Place> = schedule.places.iter().map(|(&value, &place)| (value, place)).collect();
        let mut shared: HashMap<(Place, u64), Placed> = HashMap::new();
        for (value, place) in places {
            let tensor = &schedule.recording.values[value as usize];
            match shared.get(&(place, tensor.bytes())).cloned() {
                Some(placed) => {
                    let guard = placed.offset;
                    memory.tensors.push(Guarded { tensor: tensor.clone(), placed, guard, content: None });
                }
                None => {
                    let placed = memory.add(tensor, None)?;
                    shared.insert((place, tensor.bytes()), placed);
                }
            }
        }
        Ok(memory)
    }

    fn add(&mut self, tensor: &Tensor, content: Option<Vec<u8>>) -> Result<Placed, GpuError> {
        let (gpu, size) = (self.gpu, tensor.bytes());
        let guard = guard(tensor, gpu.limits().max_buffer);
        let buffer = gpu.buffer(&tensor.name, size + 2 * guard)?;
        let band = vec![POISON; guard as usize];
        gpu.upload(&buffer, 0, &band)?;
        match &content {
            Some(bytes) => gpu.upload(&buffer, guard, bytes)?,
            None => gpu.upload(&buffer, guard, &vec![POISON; size.min(LARGE) as usize])?,
        }
        gpu.upload(&buffer, guard + size, &band)?;
        let placed = Placed { buffer, offset: guard };
        self.tensors.push(Guarded { tensor: tensor.clone(), placed: placed.clone(), guard, content });
        Ok(placed)
    }

    /// Where every tensor lies.
    pub fn given(&self) -> HashMap<TensorId, Placed> {
        self.tensors.iter().map(|t| (t.tensor.id, t.placed.clone())).collect()
    }

    /// Extends windows at the end of their tensor over the subsequent guard band. Beyond a binding, a driver's robustness may read zeros
    /// and drop writes, and so hide a wrong index. Not used in tests of the translator's own checks.
    pub fn bind_guards(&self, schedule: &mut Schedule) {
        let guards: HashMap<TensorId, u64> = self.tensors.iter().map(|t| (t.tensor.id, t.guard)).collect();
        let most = self.gpu.limits().max_binding;
        for dispatch in schedule.recording.dispatches.iter_mut().filter(|d| !d.defines.contains(&CHECKED)) {
            for window in dispatch.inputs.iter_mut().chain(&mut dispatch.outputs) {
                let last = window.offset + window.size == window.tensor.bytes();
                let guard = guards.get(&window.tensor.id).copied().unwrap_or(0);
                // As far as the binding limit permits.
                let room = most.saturating_sub(window.size).min(guard) / 16 * 16;
                window.size += if last { room } else { 0 };
            }
        }
    }

    /// Reads an output. [`Memory::untouched`] checks its guard bands, and those of all other tensors.
    pub async fn read(&self, wait: Wait, tensor: &Tensor) -> Result<Vec<u8>, String> {
        let place = self.tensors.iter().find(|t| t.tensor.id == tensor.id);
        let Guarded { placed, .. } = place.ok_or_else(|| format!("{} has no memory", tensor.name))?;
        self.bytes(wait, &placed.buffer, placed.offset, tensor.bytes()).await
    }

    async fn bytes(&self, wait: Wait, buffer: &wgpu::Buffer, offset: u64, size: u64) -> Result<Vec<u8>, String> {
        self.gpu.download_by(wait, buffer, offset, size).await.map_err(|e| e.to_string())
    }

    /// Checks that nothing but the outputs was written.
    pub async fn untouched(&self, wait: Wait) -> Result<(), String> {
        for Guarded { tensor, placed, guard, content } in self.tensors.iter().filter(|t| t.guard > 0) {
            let (name, size) = (&tensor.name, tensor.bytes());
            let compared = content.as_ref().filter(|_| size <= COMPARED);
            let (before, after) = if size <= COMPARED {
                let all = self.bytes(wait, &placed.buffer, 0, size + 2 * guard).await?;
                let (before, rest) = all.split_at(*guard as usize);
                let (inside, after) = rest.split_at(size as usize);
                if let Some(i) = compared.and_then(|c| c.iter().zip(inside).position(|(a, b)| a != b)) {
                    return Err(format!("the input {name} was overwritten (byte {i})"));
                }
                (before.to_vec(), after.to_vec())
            } else {
                let before = self.bytes(wait, &placed.buffer, 0, *guard).await?;
                (before, self.bytes(wait, &placed.buffer, guard + size, *guard).await?)
            };
            for (band, side) in [(before, "before its beginning"), (after, "beyond its end")] {
                if let Some(i) = band.iter().position(|&b| b != POISON) {
                    return Err(format!("{name} was written {side} (byte {i} of the guard band)"));
                }
            }
        }
        Ok(())
    }
}
