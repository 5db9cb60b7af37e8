//! Known deviations: every report shows them as such, they never pass silently, and a report says when they are gone.

use super::report::Row;
use super::status::Status;

/// A case that fails on some driver for a known reason.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Part of the backend's name, as `devices` has it.
    pub backend: &'static str,
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
pub static KNOWN: &[Known] = &[
    Known {
        backend: "gl",
        adapter: "llvmpipe",
        driver: "4.5 (Core Profile) Mesa 22.3.6",
        case: "language.numbers.plain.f32.i32-remainder",
        reason: "through OpenGL the translator writes GLSL's %, which is undefined for negative operands; no kernel uses it",
        link: "https://github.com/gfx-rs/wgpu/blob/trunk/naga/src/back/glsl/writer.rs",
    },
    Known {
        backend: "dx12",
        adapter: "",
        driver: "",
        case: "language.numbers.plain.f32.sign-minimum-maximum-selection",
        reason: "HLSL's sign() gives integers, whose bits the translator stores as floats: -1 is NaN then; no kernel uses it",
        link: "https://github.com/gfx-rs/wgpu/blob/trunk/naga/src/back/hlsl/writer.rs",
    },
];

/// A row of an adapter of `backend` in the light of `list`.
pub(super) fn judge(mut row: Row, backend: &str, list: &[Known]) -> Row {
    let of =
        |k: &Known| backend.contains(k.backend) && row.adapter.contains(k.adapter) && row.driver.contains(k.driver);
    let speaks = |k: &&Known| of(k) && row.id.starts_with(k.case);
    if let Some(known) = list.iter().find(speaks) {
        let text = format!("known deviation: {} ({})", known.reason, known.link);
        if row.status == Status::Failed {
            row.status = Status::Known;
            row.because(&text);
        } else if row.status == Status::Passed {
            row.reason = Some(format!("passes now, no longer a {text}"));
        }
    }
    row
}
