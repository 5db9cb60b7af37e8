//! The f64 twin of `affine` and its cases.

use crate::check::bound::{Approx, Bound, EPS, TINY};
use crate::check::sum::Sum;
use crate::check::{Case, CaseBuilder, Fill};
use crate::kernels::affine::{KERNEL, record};
use crate::plan::{Channels, Element};

/// Bounds: a product and a sum. Then SiLU, v e / (1 + e) with e = exp(-|v|) (v > 0: v / (1 + e)), whose exp errs by 3 + 2 |v| ulp
/// (WGSL), which is 1 / (1 + e) of that in the result (v > 0: e / (1 + e)); a product, a sum, and a division of 2.5 ulp.
fn twin(x: f64, scale: f64, shift: f64, silu: bool) -> Approx {
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
    v.through(|v| v * sigmoid(v), slope, relative * (v.value * sigmoid(v.value)).abs() + TINY)
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
        // In bands of an odd number of rows of an odd number of vec4s: windows begin between two aligned addresses.
        case((37, 19, 12, 20, true)).with_binding_limit(10 * 1024),
        case((37, 19, 12, 16, false)).with_binding_limit(8 * 1024),
        // More workgroups than one dimension holds.
        case((128, 129, 16, 0, true)).with_workgroup_limit(33),
    ])
    .collect()
}

fn case((h, w, ca, cb, silu): (u32, u32, u32, u32, bool)) -> Case {
    Case::new(&KERNEL, format!("{h}x{w}x({ca}+{cb}){}", if silu { " silu" } else { "" }), move |b: &mut CaseBuilder| {
        let fill = Fill::Normal { mean: 0.0, std: 3.0 };
        let x = b.input("a", h, w, Channels::one(ca), b.values(), fill);
        let y = (cb > 0).then(|| b.input("b", h, w, Channels::one(cb), b.values(), fill));
        let channels = y.as_ref().map_or(x.tensor.channels.clone(), |y| x.tensor.channels.concat(&y.tensor.channels));
        let affine = b.input("affine", 1, 2, channels, Element::F32, Fill::Normal { mean: 0.7, std: 1.0 });
        let out = record(&mut b.recorder, &x.tensor, y.as_ref().map(|y| &y.tensor), &affine.tensor, silu);
        b.expect(&out, move |p, c| {
            let v = match &y {
                Some(y) if c >= ca as usize => y.at(p, c - ca as usize),
                _ => x.at(p, c),
            };
            twin(v, affine.at(0, c), affine.at(1, c), silu)
        });
    })
}
