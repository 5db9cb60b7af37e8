//! The compute kernels. Each is two files of one name: `shaders/<k>.wgsl`, and here its parameters, the
//! checked function that records it, its f64 twin and its conformance cases.

pub mod affine;
pub mod attention;
pub mod conv2d;
mod conv2d_cases;
pub mod group_norm;
pub mod group_stats;
pub mod guided_filter;
pub mod layer_norm;

use crate::conformance::Case;
use crate::plan::Tuning;

/// One WGSL kernel.
pub struct Kernel {
    /// The stem of both its files.
    pub name: &'static str,
    /// WGSL with `#import` and `#ifdef` lines, entry point `main`; see [`crate::gpu::preprocess`].
    pub source: &'static str,
    /// Every combination of `#ifdef` symbols (storage aside) that the engine records.
    pub variants: &'static [&'static [&'static str]],
    /// The tunings under which its recording differs; one stands for all where it does not.
    pub tunings: &'static [Tuning],
    /// Production shapes and ragged ones.
    pub cases: fn() -> Vec<Case>,
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

pub static ALL: [&Kernel; 7] = [
    &affine::KERNEL,
    &attention::KERNEL,
    &conv2d::KERNEL,
    &group_norm::KERNEL,
    &group_stats::KERNEL,
    &guided_filter::KERNEL,
    &layer_norm::KERNEL,
];

/// `shaders/lib/*.wgsl`, by the name that `#import` uses.
pub static LIBRARY: [(&str, &str); 8] = [
    ("lib/attention_broadcast", include_str!("../../shaders/lib/attention_broadcast.wgsl")),
    ("lib/attention_tiled", include_str!("../../shaders/lib/attention_tiled.wgsl")),
    ("lib/conv2d_broadcast", include_str!("../../shaders/lib/conv2d_broadcast.wgsl")),
    ("lib/conv2d_rows", include_str!("../../shaders/lib/conv2d_rows.wgsl")),
    ("lib/conv2d_tiled", include_str!("../../shaders/lib/conv2d_tiled.wgsl")),
    ("lib/gelu", include_str!("../../shaders/lib/gelu.wgsl")),
    ("lib/silu", include_str!("../../shaders/lib/silu.wgsl")),
    ("lib/storage", include_str!("../../shaders/lib/storage.wgsl")),
];

/// Invocations per workgroup of the kernels that treat elements one by one.
pub const LANES: u64 = 64;

/// The ranges into which `n` rows of `row_bytes` each are cut so that each fits one binding.
pub fn bands(n: u32, row_bytes: u64, max_binding: u64, alignment: u64) -> Vec<(u32, u32)> {
    // A window's start is aligned downwards, which may lengthen it by as much.
    let most = (max_binding.saturating_sub(alignment) / row_bytes.max(1)).clamp(1, u32::MAX as u64) as u32;
    let count = n.div_ceil(most);
    let rows = n.div_ceil(count.max(1));
    (0..count).map(|i| (i * rows, ((i + 1) * rows).min(n))).collect()
}
