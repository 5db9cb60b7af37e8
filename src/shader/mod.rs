//! WGSL as text and tables: what a kernel is, the library that it imports, and the preprocessor. Uses nothing else of ours.

mod params;
mod preprocess;

pub(crate) use params::params;
pub use preprocess::preprocess;

/// One WGSL kernel.
pub struct Kernel {
    /// The stem of both its files.
    pub name: &'static str,
    /// WGSL with `#import` and `#ifdef` lines, entry point `main`; see [`preprocess`].
    pub source: &'static str,
    /// Names of the fields of its `Params`, each of four bytes.
    pub params: &'static [&'static str],
    /// Every combination of `#ifdef` symbols (storage aside) that the engine records.
    pub variants: &'static [&'static [&'static str]],
    /// The tunings under which its recording differs; one stands for all where it does not.
    pub tunings: &'static [Tuning],
}

impl Kernel {
    /// Where the parameter of that name lies among the bytes of all.
    pub fn param(&self, name: &str) -> Option<std::ops::Range<usize>> {
        let index = self.params.iter().position(|param| *param == name)?;
        Some(4 * index..4 * index + 4)
    }
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// Which form of a kernel to record where it has several. A property of the adapter, never of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tuning {
    /// No barriers; the lanes of a subgroup (of 8 or more) broadcast to each other what each has loaded. CPU drivers.
    Broadcast,
    /// No barriers, operands straight from memory: CPU drivers with smaller subgroups or none.
    Rows,
    /// Tiles staged through workgroup memory: GPUs. Runs on every adapter.
    Tiled,
}

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
