//! The ends of a bound plan: tensors that are written before it runs, or read after.

use super::later::block_on;
use super::{BoundPlan, Gpu, GpuError, Placed, Wait};
use crate::plan::{Tensor, layout};

/// An input or output of a bound plan, with its memory.
#[derive(Clone)]
pub struct Port {
    tensor: Tensor,
    placed: Placed,
}

impl Port {
    /// Bytes that it takes.
    pub fn bytes(&self) -> u64 {
        self.tensor.bytes()
    }

    /// What it lies in, with whatever lies around it.
    pub fn buffer(&self) -> &wgpu::Buffer {
        &self.placed.buffer
    }
}

impl Gpu {
    /// The end of `plan` that `tensor` is.
    ///
    /// # Errors
    /// `tensor` is no input or output of the plan.
    pub fn port(&self, plan: &BoundPlan, tensor: &Tensor) -> Result<Port, GpuError> {
        let placed = plan.placed(tensor).cloned();
        let placed = placed.ok_or_else(|| self.failed(&plan.name, format!("{} is no end of it", tensor.name)))?;
        Ok(Port { tensor: tensor.clone(), placed })
    }

    /// Fills `port` with `values`, `[positions, channels]`: as many as it has.
    ///
    /// # Errors
    /// Another number of values, or whatever the device reports.
    pub fn write(&self, port: &Port, values: &[f32]) -> Result<(), GpuError> {
        let Port { tensor, placed } = port;
        let wanted = tensor.positions() as usize * tensor.channels.logical() as usize;
        if values.len() != wanted {
            return Err(self.failed(&tensor.name, format!("{} values are not {wanted}", values.len())));
        }
        self.fill(&placed.buffer, placed.offset, tensor.bytes(), |put| layout::in_parts(tensor, values, put))
    }

    /// Fills rows of `port` from `first` on with `values`, `[positions, channels]`.
    ///
    /// # Errors
    /// Values that are no rows of it, or whatever the device reports.
    pub fn write_rows(&self, port: &Port, first: usize, values: &[f32]) -> Result<(), GpuError> {
        let Port { tensor, placed } = port;
        let (channels, row) =
            (tensor.channels.logical() as usize, tensor.channels.vec4s() as u64 * tensor.vec4_bytes());
        let rows = (values.len() / channels.max(1)) as u64;
        let offset = first as u64 * row;
        if rows as usize * channels != values.len() || offset + rows * row > tensor.bytes() {
            return Err(self.failed(&tensor.name, format!("{} values are no rows of it", values.len())));
        }
        self.fill(&placed.buffer, placed.offset + offset, rows * row, |put| layout::in_parts(tensor, values, put))
    }

    /// The values of `ports`, `[positions, channels]` each: one wait for all of them. Waits for all that was submitted.
    pub fn read<const N: usize>(&self, ports: [&Port; N]) -> Result<[Vec<f32>; N], GpuError> {
        block_on(self.read_by(Wait::Here, ports))
    }

    /// [`Gpu::read`] without blocking.
    ///
    /// # Errors
    /// Whatever the device reports.
    pub async fn read_async<const N: usize>(&self, ports: [&Port; N]) -> Result<[Vec<f32>; N], GpuError> {
        self.read_by(Wait::Aside, ports).await
    }

    /// The same, waiting as `wait` says.
    pub(crate) async fn read_by<const N: usize>(
        &self,
        wait: Wait,
        ports: [&Port; N],
    ) -> Result<[Vec<f32>; N], GpuError> {
        let parts = ports.map(|port| (&port.placed.buffer, port.placed.offset, port.bytes()));
        self.download_all(wait, parts, |i, bytes| layout::from_bytes(&ports[i].tensor, bytes)).await
    }

    /// Copies `from` to the `nth` place of its size in `to`.
    ///
    /// # Errors
    /// They are stored otherwise, or `to` ends before.
    pub fn hand_over(&self, from: &Port, to: &Port, nth: u64) -> Result<(), GpuError> {
        let (what, bytes) = (format!("{} to {}", from.tensor.name, to.tensor.name), from.bytes());
        let kind = |port: &Port| (port.tensor.element, port.tensor.channels.clone());
        if kind(from) != kind(to) || (nth + 1) * bytes > to.bytes() {
            return Err(self.failed(&what, "their shapes or how they are stored do not fit"));
        }
        let (a, b) = (&from.placed, &to.placed);
        self.submit(&what, bytes, |encoder| {
            encoder.copy_buffer_to_buffer(&a.buffer, a.offset, &b.buffer, b.offset + nth * bytes, bytes);
        })
        .map(|_| ())
    }
}
