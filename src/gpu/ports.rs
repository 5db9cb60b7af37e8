//! Inputs and outputs of a bound plan: tensors that are written before it runs, or read after.

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
    /// Its size in bytes.
    pub fn bytes(&self) -> u64 {
        self.tensor.bytes()
    }

    /// The buffer that holds it; other tensors may lie there too.
    pub fn buffer(&self) -> &wgpu::Buffer {
        &self.placed.buffer
    }
}

impl Gpu {
    /// The input or output of `plan` that `tensor` is.
    ///
    /// # Errors
    /// `tensor` is neither an input nor an output of the plan.
    pub fn port(&self, plan: &BoundPlan, tensor: &Tensor) -> Result<Port, GpuError> {
        let placed = plan.placed(tensor).cloned();
        let placed = placed.ok_or_else(|| {
            self.failed(&plan.name, format!("{} is neither an input nor an output of it", tensor.name))
        })?;
        Ok(Port { tensor: tensor.clone(), placed })
    }

    /// Fills all of `port` with `values`, `[positions, channels]`.
    ///
    /// # Errors
    /// The number of values is wrong, or the device reports an error.
    pub fn write(&self, port: &Port, values: &[f32]) -> Result<(), GpuError> {
        let Port { tensor, placed } = port;
        let wanted = tensor.positions() as usize * tensor.channels.logical() as usize;
        if values.len() != wanted {
            return Err(self.failed(&tensor.name, format!("expected {wanted} values, got {}", values.len())));
        }
        self.fill(&placed.buffer, placed.offset, tensor.bytes(), |put| layout::in_parts(tensor, values, put))
    }

    /// Fills rows of `port`, starting at row `first`, with `values`, `[positions, channels]`.
    ///
    /// # Errors
    /// The values are not whole rows within it, or the device reports an error.
    pub fn write_rows(&self, port: &Port, first: usize, values: &[f32]) -> Result<(), GpuError> {
        let Port { tensor, placed } = port;
        let (channels, row) =
            (tensor.channels.logical() as usize, tensor.channels.vec4s() as u64 * tensor.vec4_bytes());
        let rows = (values.len() / channels.max(1)) as u64;
        let offset = first as u64 * row;
        if rows as usize * channels != values.len() || offset + rows * row > tensor.bytes() {
            return Err(self.failed(&tensor.name, format!("{} values are not whole rows within it", values.len())));
        }
        self.fill(&placed.buffer, placed.offset + offset, rows * row, |put| layout::in_parts(tensor, values, put))
    }

    /// Reads the values of `ports`, `[positions, channels]` each, after a single wait for everything submitted.
    pub fn read<const N: usize>(&self, ports: [&Port; N]) -> Result<[Vec<f32>; N], GpuError> {
        block_on(self.read_by(Wait::Here, ports))
    }

    /// [`Gpu::read`] without blocking.
    ///
    /// # Errors
    /// The device reports an error.
    pub async fn read_async<const N: usize>(&self, ports: [&Port; N]) -> Result<[Vec<f32>; N], GpuError> {
        self.read_by(Wait::Aside, ports).await
    }

    /// Like the above, waiting as `wait` says.
    pub(crate) async fn read_by<const N: usize>(
        &self,
        wait: Wait,
        ports: [&Port; N],
    ) -> Result<[Vec<f32>; N], GpuError> {
        let parts = ports.map(|port| (&port.placed.buffer, port.placed.offset, port.bytes()));
        self.download_all(wait, parts, |i, bytes| layout::from_bytes(&ports[i].tensor, bytes)).await
    }

    /// Copies `from` into `to`, to place `nth` counted in units of `from`'s size.
    ///
    /// # Errors
    /// Their storage differs, or `to` is too small.
    pub fn hand_over(&self, from: &Port, to: &Port, nth: u64) -> Result<(), GpuError> {
        let (what, bytes) = (format!("{} to {}", from.tensor.name, to.tensor.name), from.bytes());
        let kind = |port: &Port| (port.tensor.element, port.tensor.channels.clone());
        if kind(from) != kind(to) || (nth + 1) * bytes > to.bytes() {
            return Err(self.failed(&what, "their shapes or storage do not match"));
        }
        let (a, b) = (&from.placed, &to.placed);
        self.submit(&what, bytes, |encoder| {
            encoder.copy_buffer_to_buffer(&a.buffer, a.offset, &b.buffer, b.offset + nth * bytes, bytes);
        })
        .map(|_| ())
    }
}
