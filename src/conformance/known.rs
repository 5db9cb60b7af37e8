//! Deviations that are known: shown as such in every report, never passed in silence, and reported too when they
//! are gone.

/// A case that fails on some driver for a reason that has been found.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Part of the adapter's name.
    pub adapter: &'static str,
    /// Part of the driver's name and version.
    pub driver: &'static str,
    /// Beginning of the case's id.
    pub case: &'static str,
    pub reason: &'static str,
    pub link: &'static str,
}

/// All of them.
pub static KNOWN: &[Known] = &[Known {
    adapter: "llvmpipe",
    driver: "4.5 (Core Profile) Mesa 22.3.6",
    case: "language.numbers.plain.f32.i32-remainder",
    reason: "through OpenGL the translator writes GLSL's %, which is undefined for negative operands; no kernel uses it",
    link: "https://github.com/gfx-rs/wgpu/blob/trunk/naga/src/back/glsl/writer.rs",
}];

/// The entry of `list` that speaks of this case on this adapter.
pub(super) fn find<'a>(list: &'a [Known], adapter: &str, driver: &str, case: &str) -> Option<&'a Known> {
    list.iter().find(|k| adapter.contains(k.adapter) && driver.contains(k.driver) && case.starts_with(k.case))
}
