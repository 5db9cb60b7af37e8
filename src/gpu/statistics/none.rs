//! wgpu has no Vulkan on these targets, so no driver can be asked.

use super::Code;
use crate::gpu::{Gpu, GpuError};

/// Has no values.
pub enum Statistics {}

impl Statistics {
    /// Always `None`.
    ///
    /// # Errors
    /// Never fails.
    pub fn open(_: &Gpu) -> Result<Option<Statistics>, GpuError> {
        Ok(None)
    }

    /// # Safety
    /// It cannot be called.
    ///
    /// # Errors
    /// Never fails.
    pub unsafe fn of(&self, _: &str, _: &[u32], _: usize) -> Result<Vec<Code>, GpuError> {
        match *self {}
    }
}
