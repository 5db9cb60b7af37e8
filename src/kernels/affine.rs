//! `affine`: scale, shift and SiLU per channel over `[a | b]`: the second half of GroupNorm.

use super::{Kernel, LANES, bands};
use crate::conformance::bound::{self, Approx, EPS};
use crate::conformance::{Case, CaseBuilder, Fill};
use crate::plan::{Channels, Dispatch, Element, Recorder, Tensor, Tuning};
use bytemuck::{Pod, Zeroable};

pub static KERNEL: Kernel = Kernel {
    name: "affine",
    source: include_str!("../../shaders/affine.wgsl"),
    variants: &[&[], &["SILU"]],
    tunings: &[Tuning::Tiled],
    cases,
};

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    positions: u32,
    a4: u32,
    b4: u32,
    base_a: u32,
    base_b: u32,
    base_out: u32,
    groups_x: u32,
}

/// `[H, W, Ca]` (and `[H, W, Cb]`) -> `[H, W, Ca + Cb]`, `affine` being `[2, Ca + Cb]`.
pub fn record(r: &mut Recorder, a: &Tensor, b: Option<&Tensor>, affine: &Tensor, silu: bool) -> Tensor {
    let channels = b.map_or(a.channels.clone(), |b| a.channels.concat(&b.channels));
    let out = r.value(&format!("{}.normalized", a.name), a.height, a.width, channels.clone());
    r.check(affine.channels == channels && b.is_none_or(|b| b.positions() == a.positions()), || {
        format!("affine of {}: shapes do not fit", a.name)
    });
    let (a4, b4) = (a.channels.vec4s(), b.map_or(0, |b| b.channels.vec4s()));
    let row = (a4 + b4) as u64 * out.vec4_bytes(r.storage);
    for (from, to) in bands(a.positions(), row, r.limits.max_binding, r.limits.offset_alignment) {
        let range = |c4: u32| (from as u64 * c4 as u64, to as u64 * c4 as u64);
        let (window_a, base_a) = r.window(a, range(a4).0, range(a4).1);
        // Without b its binding repeats a; the shader reads nothing from it.
        let (window_b, base_b) = match b {
            Some(b) => r.window(b, range(b4).0, range(b4).1),
            None => (window_a.clone(), 0),
        };
        let (window_out, base_out) = r.window(&out, range(a4 + b4).0, range(a4 + b4).1);
        let elements = (to - from) as u64 * (a4 + b4) as u64;
        let workgroups = r.fold_workgroups(elements.div_ceil(LANES));
        let params = Params { positions: to - from, a4, b4, base_a, base_b, base_out, groups_x: workgroups[0] };
        let inputs = vec![window_a, window_b, r.whole(affine)];
        r.push(Dispatch {
            kernel: &KERNEL,
            defines: if silu { vec!["SILU"] } else { vec![] },
            overrides: vec![],
            inputs,
            outputs: vec![window_out],
            params: bytemuck::bytes_of(&params).to_vec(),
            workgroups,
            flops: elements * if silu { 60 } else { 8 },
            padding: 0,
            turns: 0,
        });
    }
    out
}

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

fn cases() -> Vec<Case> {
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
        let x = b.input("a", h, w, Channels::one(ca), Element::Stored, fill);
        let y = (cb > 0).then(|| b.input("b", h, w, Channels::one(cb), Element::Stored, fill));
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
