//! The f64 twin of `convert` and its cases.

use crate::check::bound::Approx;
use crate::check::{Case, CaseBuilder, Fill};
use crate::kernels::convert::{KERNEL, record, record_rows};
use crate::plan::{Channels, Element, Policy};

/// Only the rounding of storage, which the check itself allows for. Without rounding, only copies of rows are recorded.
pub fn cases() -> Vec<Case> {
    [
        case((64, 64, 4, 1.0)),
        case((9, 7, 5, 1.0)),
        case((1, 1, 3, 0.001)),
        // About the smallest normal f16 number, and as large as f16 holds.
        case((17, 5, 6, 6e-5)),
        case((17, 5, 6, 15_000.0)),
        // Bands of an odd number of rows with an odd number of vec4s: windows begin at unaligned addresses.
        case((37, 19, 12, 1.0)).with_binding_limit(8 * 1024),
        // More workgroups than fit in one dimension.
        case((128, 129, 16, 1.0)).with_workgroup_limit(33),
        of("all kinds of values".into(), vec![(7, 39, 4)], Fill::Of(super::WIDE)),
        of("numbers that no half holds".into(), vec![(3, 5, 10)], Fill::At(no_half)),
        of("zeros".into(), vec![(1, 3, 5)], Fill::Of(super::ZEROS)),
        // Rows, which are plain copies without rounding; some begin at unaligned addresses.
        rows("rows 0 to 32 of 32x40x16", (32, 40, 16), (0, 32)),
        rows("rows 1 to 17 of 18x5x16", (18, 5, 16), (1, 17)).with_alignment(256),
        rows("rows 2 to 7 of 9x7x5", (9, 7, 5), (2, 7)).with_alignment(256),
        // Blocks have 64 vec4s.
        of("1 to 130 vec4s".into(), (1..=130).map(|n| (1, n, 3)).collect(), Fill::Normal { mean: 0.0, std: 1.0 }),
        // More vec4s than 16 bits hold, as many workgroups, and more values than f32 can count.
        case((257, 256, 4, 1.0)),
        case((2049, 2048, 4, 1.0)).in_full_only(),
        super::bound_whole(case((super::MANY.0, super::MANY.1, 3, 1.0))).stored_as(&[Policy::PACKED]),
    ]
    .into()
}

fn of(name: String, shapes: Vec<(u32, u32, u32)>, fill: Fill) -> Case {
    let case = super::sweep(&KERNEL, &name, shapes, move |b, shape| build(b, shape, fill));
    case.stored_as(super::HALVES)
}

fn rows(name: &str, (h, w, c): (u32, u32, u32), (y0, y1): (u32, u32)) -> Case {
    let case = Case::new(&KERNEL, name.into(), move |b| {
        let x = b.input("x", h, w, Channels::one(c), Element::F32, Fill::Normal { mean: 0.0, std: 1.0 });
        let out = record_rows(&mut b.recorder, &x.tensor, (y0, y1));
        b.expect_all(&out, move |p, c| Approx::new(x.at(p + (y0 * w) as usize, c), 0.0));
    });
    case.stored_as(&[Policy::F32, Policy::PACKED])
}

fn no_half(p: usize, c: usize) -> f32 {
    const BEYOND: [f32; 8] = [65_520.0, -65_520.0, 65_536.0, -1e5, 7e4, -3e7, 1e30, -3e38];
    if super::overflows(c) { BEYOND[(p + c) % 8] } else { 0.37 * p as f32 - c as f32 }
}

fn case((height, width, channels, spread): (u32, u32, u32, f64)) -> Case {
    let name = format!("{height}x{width}x{channels} spread {spread}");
    of(name, vec![(height, width, channels)], Fill::Normal { mean: 0.0, std: spread })
}

fn build(b: &mut CaseBuilder, (height, width, channels): (u32, u32, u32), fill: Fill) {
    let x = b.input("x", height, width, Channels::one(channels), Element::F32, fill);
    let out = record(&mut b.recorder, &x.tensor);
    b.expect_all(&out, move |p, c| Approx::new(x.at(p, c), 0.0));
}
