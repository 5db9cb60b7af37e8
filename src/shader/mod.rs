//! WGSL sources and tables: the type of a kernel, the library that kernels import, and the preprocessor. Depends on no other room.

mod form;
mod params;
mod preprocess;

pub use form::{Device, Facts, Form, Maker, Needs, Pace, Ranges, Stored, Sums};
pub(crate) use params::params;
pub use preprocess::preprocess;

/// One WGSL kernel.
pub struct Kernel {
    /// The stem of its files, or the folder of its forms.
    pub name: &'static str,
    /// Names of the fields of its `Params`, four bytes each.
    pub params: &'static [&'static str],
    /// Every combination of `#ifdef` symbols (storage aside) that the engine records, for the forms without a list of their own.
    pub variants: &'static [&'static [&'static str]],
    /// The first one fits every problem and has no requirements.
    pub forms: &'static [Form],
}

impl Kernel {
    /// Byte range of the parameter of that name.
    pub fn param(&self, name: &str) -> Option<std::ops::Range<usize>> {
        let index = self.params.iter().position(|param| *param == name)?;
        Some(4 * index..4 * index + 4)
    }

    /// Every form with every combination of its symbols.
    pub fn texts(&self) -> impl Iterator<Item = (&'static Form, &'static [&'static str])> {
        let variants = self.variants;
        let each = move |form: &'static Form| form.variants.unwrap_or(variants).iter().map(move |v| (form, *v));
        self.forms.iter().flat_map(each)
    }

    pub fn form(&self, name: &str) -> Option<&'static Form> {
        self.forms.iter().find(|form| form.name == name)
    }
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// What forms import: `shaders/lib/*.wgsl` and the files that the forms of a kernel share, by their name in `#import`.
pub static LIBRARY: [(&str, &str); 18] = [
    ("attention/common", include_str!("../../shaders/attention/common.wgsl")),
    ("attention/params", include_str!("../../shaders/attention/params.wgsl")),
    ("conv2d/common", include_str!("../../shaders/conv2d/common.wgsl")),
    ("conv2d/coop", include_str!("../../shaders/conv2d/coop.wgsl")),
    ("conv2d/panels", include_str!("../../shaders/conv2d/panels.wgsl")),
    ("conv2d/panels_packed", include_str!("../../shaders/conv2d/panels_packed.wgsl")),
    ("conv2d/params", include_str!("../../shaders/conv2d/params.wgsl")),
    ("conv2d/weights", include_str!("../../shaders/conv2d/weights.wgsl")),
    ("conv2d/weights_eights", include_str!("../../shaders/conv2d/weights_eights.wgsl")),
    ("conv2d/weights_q8", include_str!("../../shaders/conv2d/weights_q8.wgsl")),
    ("lib/eights", include_str!("../../shaders/lib/eights.wgsl")),
    ("lib/gelu", include_str!("../../shaders/lib/gelu.wgsl")),
    ("lib/neighbours", include_str!("../../shaders/lib/neighbours.wgsl")),
    ("lib/silu", include_str!("../../shaders/lib/silu.wgsl")),
    ("lib/storage", include_str!("../../shaders/lib/storage.wgsl")),
    ("pad/common", include_str!("../../shaders/pad/common.wgsl")),
    ("winograd_input/common", include_str!("../../shaders/winograd_input/common.wgsl")),
    ("winograd_output/common", include_str!("../../shaders/winograd_output/common.wgsl")),
];
