//! The f64 twin of `affine` and its cases.

use crate::check::bound::{self, Approx, EPS};
use crate::check::{Case, CaseBuilder, Fill};
use crate::kernels::affine::{KERNEL, record};
use crate::plan::{Channels, Element};

/// Bounds: one multiply-add, then SiLU, whose slope is at most 1.1 and whose exp errs by (3 + 2 |x|) ulp
/// (WGSL) where it is a factor e / (1 + e) of the result; division 2.5 ulp.
fn twin(x: f64, scale: f64, shift: f64, silu: bool) -> Approx {
    let v = x * scale + shift;
    let error = EPS * ((x * scale).abs() + v.abs());
    if !silu {
        return Approx::new(v, error);
    }
    let sigmoid = 1.0 / (1.0 + (-v).exp());
    let e = (-v.abs()).exp();
    let relative = 2.0 * EPS * ((3.0 + 2.0 * v.abs()) * if v < 0.0 { 1.0 } else { e / (1.0 + e) } + 4.0);
    Approx::new(v * sigmoid, 1.1 * error + relative * (v * sigmoid).abs() + bound::TINY)
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
