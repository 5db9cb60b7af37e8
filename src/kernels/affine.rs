//! `affine`: scale, shift and SiLU per channel over `[a | b]`: the second half of GroupNorm.

use super::{LANES, bands};
use crate::plan::{Dispatch, Recorder, Tensor};
use crate::shader::{Form, Kernel, params};

pub static KERNEL: Kernel = Kernel {
    name: "affine",
    params: Params::FIELDS,
    variants: &[&[], &["SILU"]],
    forms: &[Form::plain(include_str!("../../shaders/affine.wgsl"))],
};

params! {
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
    record_rows(r, a, b, affine, silu, (0, a.height))
}

/// [`record`] of the rows from `y0` up to `y1`: `[y1 - y0, W, Ca + Cb]`.
pub fn record_rows(
    r: &mut Recorder,
    a: &Tensor,
    b: Option<&Tensor>,
    affine: &Tensor,
    silu: bool,
    (y0, y1): (u32, u32),
) -> Tensor {
    let channels = b.map_or(a.channels.clone(), |b| a.channels.concat(&b.channels));
    let out = r.value(&format!("{}.normalized", a.name), y1 - y0, a.width, channels.clone());
    r.check(affine.channels == channels && b.is_none_or(|b| b.positions() == a.positions()), || {
        format!("affine of {}: shapes do not fit", a.name)
    });
    let (a4, b4) = (a.channels.vec4s(), b.map_or(0, |b| b.channels.vec4s()));
    let row = (a4 + b4) as u64 * out.vec4_bytes();
    let first = y0 as u64 * a.width as u64;
    for (from, to) in bands(out.positions(), row, r.limits.max_binding, r.limits.offset_alignment) {
        let range = |c4: u32| ((first + from as u64) * c4 as u64, (first + to as u64) * c4 as u64);
        let (window_a, base_a) = r.window(a, range(a4).0, range(a4).1);
        // Without b its binding repeats a; the shader reads nothing from it.
        let (window_b, base_b) = match b {
            Some(b) => r.window(b, range(b4).0, range(b4).1),
            None => (window_a.clone(), 0),
        };
        let row = (a4 + b4) as u64;
        let (window_out, base_out) = r.window(&out, from as u64 * row, to as u64 * row);
        let elements = (to - from) as u64 * (a4 + b4) as u64;
        let workgroups = r.fold_workgroups(elements.div_ceil(LANES));
        let params = Params { positions: to - from, a4, b4, base_a, base_b, base_out, groups_x: workgroups[0] };
        let inputs = vec![window_a, window_b, r.whole(affine)];
        r.push(Dispatch {
            kernel: &KERNEL,
            form: &KERNEL.forms[0],
            defines: if silu { vec!["SILU"] } else { vec![] },
            inputs,
            outputs: vec![window_out],
            params: bytemuck::bytes_of(&params).to_vec(),
            workgroups,
            flops: elements * if silu { 60 } else { 8 },
            padding: 0,
            saved: 0,
            turns: 0,
        });
    }
    out
}
