//! The compute kernels. Each has three files of one name: `shaders/<k>.wgsl`, or a folder of its forms' shaders; here its parameters and
//! the checked function that records it; and `twins/<k>.rs`, which defines its result.

pub mod affine;
pub mod attention;
pub mod conv2d;
pub mod convert;
pub mod group_norm;
pub mod group_stats;
pub mod guided_filter;
pub mod layer_norm;
pub mod pad;
mod straight;
pub mod winograd_input;
pub mod winograd_output;

use crate::shader::Kernel;

pub static ALL: [&Kernel; 11] = [
    &affine::KERNEL,
    &attention::KERNEL,
    &conv2d::KERNEL,
    &convert::KERNEL,
    &group_norm::KERNEL,
    &group_stats::KERNEL,
    &guided_filter::KERNEL,
    &layer_norm::KERNEL,
    &pad::KERNEL,
    &winograd_input::KERNEL,
    &winograd_output::KERNEL,
];

/// Invocations per workgroup of elementwise kernels.
pub const LANES: u64 = 64;

/// Cuts `n` rows of `row_bytes` each into ranges that each fit one binding.
pub fn bands(n: u32, row_bytes: u64, max_binding: u64, alignment: u64) -> Vec<(u32, u32)> {
    // A window's start is aligned downwards, which may lengthen it by up to the alignment.
    let most = (max_binding.saturating_sub(alignment) / row_bytes.max(1)).clamp(1, u32::MAX as u64) as u32;
    let count = n.div_ceil(most);
    let rows = n.div_ceil(count.max(1));
    (0..count).map(|i| (i * rows, ((i + 1) * rows).min(n))).collect()
}
