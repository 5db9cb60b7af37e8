//! The f64 twin of `affine` and its cases.

use crate::check::bound::{Approx, Bound, EPS, TINY};
use crate::check::sum::Sum;
use crate::check::{Case, CaseBuilder, Fill};
use crate::kernels::affine::{KERNEL, record, record_rows};
use crate::plan::{Channels, Element, Policy};

/// Bounds: a product and a sum. Then SiLU, v e / (1 + e) with e = exp(-|v|) (v > 0: v / (1 + e)). exp errs by 3 + 2 |v| ulp (WGSL), which
/// the result carries times 1 / (1 + e) (v > 0: e / (1 + e)); then a product, a sum, and a division of 2.5 ulp.
pub fn twin(x: f64, scale: f64, shift: f64, silu: bool) -> Approx {
    let v = Sum::of([x * scale, shift]);
    let exact = if v.is_exact() { Bound::default() } else { Bound::rounding(x * scale) + Bound::rounding(v.value()) };
    let v = Approx::new(v.value(), exact);
    if !silu {
        return v;
    }
    let sigmoid = |v: f64| 1.0 / (1.0 + (-v).exp());
    let slope = |v: f64| sigmoid(v) * (1.0 + v * sigmoid(-v));
    let e = (-v.value.abs()).exp();
    let share = if v.value < 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) };
    let relative = EPS * ((3.0 + 2.0 * v.value.abs()) * share + 4.5);
    // A subnormal e may be flushed to zero, and the product with v magnifies that.
    v.through(|v| v * sigmoid(v), slope, relative * (v.value * sigmoid(v.value)).abs() + TINY * (1.0 + v.value.abs()))
}

pub fn cases() -> Vec<Case> {
    // height, width, channels of a and b, SiLU
    [
        (64, 64, 320, 0, true),
        (16, 16, 640, 320, true),
        (64, 64, 512, 0, false),
        (5, 3, 18, 30, true),
        (1, 1, 3, 0, true),
        (7, 11, 5, 2, false),
    ]
    .into_iter()
    .map(case)
    .chain([
        // Bands of an odd number of rows with an odd number of vec4s: windows begin at unaligned addresses.
        case((37, 19, 12, 20, true)).with_binding_limit(10 * 1024),
        case((37, 19, 12, 16, false)).with_binding_limit(8 * 1024),
        // More workgroups than fit in one dimension.
        case((128, 129, 16, 0, true)).with_workgroup_limit(33),
    ])
    .chain(edges())
    .collect()
}

/// Values and sizes that the other cases do not reach.
fn edges() -> Vec<Case> {
    let of = |name: &str, shape: Shape, fill: Fill, affine: Fill| {
        Case::new(&KERNEL, name.into(), move |b| build(b, shape, fill, affine))
    };
    let unchanged = Fill::Of(&[1.0, 1.0, -1.0, 0.5, 0.0, -0.0, 0.0, 0.0]);
    let all = |n: u32, silu: bool| -> Vec<Shape> { (1..=n).map(|i| (1, i, 3, 0, silu)).collect() };
    let kept = Fill::At(|row, c| if row == 0 { [1.0, 1.0, -1.0, 0.5][c % 4] } else { 0.0 });
    let blocks = (1..=5).map(|n| (2, 8 * n, 16, 0, n % 2 == 0)).collect();
    let wide = (1..=3).flat_map(|a| (1..=3).map(move |b| (4, 4, 16 * a, 16 * b, true))).collect();
    let seams = (1..=5).flat_map(|a| (1..=5).map(move |b| (2, 3, 4 * a - 1, 4 * b - 3, true))).collect();
    let sizes = Fill::At(|p, _| if p % 2 == 0 { 3e4 } else { -2.3e4 } + p as f32);
    let four = Fill::At(|row, c| if row == 0 && super::overflows(c) { 4.0 } else { 0.3 });
    let overflow = |name: &str, silu| of(name, (3, 5, 6, 4, silu), sizes, four).stored_as(super::HALVES);
    vec![
        overflow("results that no half holds", false),
        overflow("results that no half holds silu", true),
        of("all kinds of values", (9, 39, 4, 0, false), Fill::Of(super::WIDE), unchanged),
        of("all kinds of values silu", (9, 39, 4, 0, true), Fill::Of(super::WIDE), unchanged),
        of("all kinds of values silu beside zeros", (1, 39, 4, 4, true), Fill::Of(super::WIDE), Fill::Of(super::ZEROS)),
        // Blocks have 64 vec4s.
        super::sweep(&KERNEL, "1 to 130 vec4s", all(130, false), |b, s| build(b, s, NORMAL, AFFINE)).stored_as(FEW),
        super::sweep(&KERNEL, "seams at 1 to 5 of 2 to 10 vec4s", seams, |b, s| build(b, s, NORMAL, AFFINE))
            .stored_as(FEW),
        // Channels that fill whole subgroups, and blocks of 16 positions.
        super::sweep(&KERNEL, "16 to 80 positions of 16 channels", blocks, |b, s| build(b, s, NORMAL, AFFINE))
            .stored_as(FEW),
        super::sweep(&KERNEL, "seams at 16 to 48 of 32 to 96 channels", wide, |b, s| build(b, s, NORMAL, AFFINE))
            .stored_as(FEW),
        of("16x3x16 of all kinds of values", (16, 3, 16, 0, false), Fill::Of(super::WIDE), kept),
        of("16x3x16 of all kinds of values silu", (16, 3, 16, 0, true), Fill::Of(super::WIDE), kept),
        case((32, 3, 16, 48, true)).with_binding_limit(24 * 1024).with_alignment(8192),
        Case::new(&KERNEL, "rows 1 to 17 of 18x5x(16+48)".into(), |b| {
            build_rows(b, (18, 5, 16, 48, false), NORMAL, AFFINE, (1, 17));
        })
        .with_alignment(256),
        // More elements than f32 can count.
        case((513, 512, 64, 0, false)).stored_as(&[Policy::F32]).in_full_only(),
        // More positions than 16 bits hold, as many workgroups, and more values than f32 can count.
        case((257, 256, 4, 0, true)),
        case((2049, 2048, 4, 0, false)).stored_as(&[Policy::F32]).in_full_only(),
        super::bound_whole(case((super::MANY.0, super::MANY.1, 3, 0, false))),
    ]
}

/// Height, width, channels of a and b, SiLU.
type Shape = (u32, u32, u32, u32, bool);
const NORMAL: Fill = Fill::Normal { mean: 0.0, std: 3.0 };
const AFFINE: Fill = Fill::Normal { mean: 0.7, std: 1.0 };
/// For cases that depend on sizes alone.
const FEW: &[Policy] = &[Policy::F32, Policy::PACKED];

fn case(shape: Shape) -> Case {
    let (h, w, ca, cb, silu) = shape;
    let name = format!("{h}x{w}x({ca}+{cb}){}", if silu { " silu" } else { "" });
    Case::new(&KERNEL, name, move |b| build(b, shape, NORMAL, AFFINE))
}

fn build(b: &mut CaseBuilder, shape: Shape, fill: Fill, affine: Fill) {
    build_rows(b, shape, fill, affine, (0, shape.0));
}

fn build_rows(b: &mut CaseBuilder, (h, w, ca, cb, silu): Shape, fill: Fill, affine: Fill, (y0, y1): (u32, u32)) {
    let x = b.input("a", h, w, Channels::one(ca), b.values(), fill);
    let y = (cb > 0).then(|| b.input("b", h, w, Channels::one(cb), b.values(), fill));
    let channels = y.as_ref().map_or(x.tensor.channels.clone(), |y| x.tensor.channels.concat(&y.tensor.channels));
    let affine = b.input("affine", 1, 2, channels, Element::F32, affine);
    let (r, second) = (&mut b.recorder, y.as_ref().map(|y| &y.tensor));
    let out = match (y0, y1) == (0, h) {
        true => record(r, &x.tensor, second, &affine.tensor, silu),
        false => record_rows(r, &x.tensor, second, &affine.tensor, silu, (y0, y1)),
    };
    b.expect_all(&out, move |p, c| {
        let p = p + (y0 * w) as usize;
        let v = match &y {
            Some(y) if c >= ca as usize => y.at(p, c - ca as usize),
            _ => x.at(p, c),
        };
        twin(v, affine.at(0, c), affine.at(1, c), silu)
    });
}
