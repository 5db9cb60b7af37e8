//! wgpu has no Vulkan here: no driver is asked.

use super::Code;
use crate::gpu::{Gpu, GpuError};

/// There are none.
pub enum Statistics {}

impl Statistics {
    /// Nothing.
    ///
    /// # Errors
    /// None.
    pub fn open(_: &Gpu) -> Result<Option<Statistics>, GpuError> {
        Ok(None)
    }

    /// # Safety
    /// It cannot be called.
    ///
    /// # Errors
    /// None.
    pub unsafe fn of(&self, _: &str, _: &[u32], _: usize) -> Result<Vec<Code>, GpuError> {
        match *self {}
    }
}
