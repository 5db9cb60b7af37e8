//! `affine`: scale, shift and SiLU per channel over `[a | b]`, the second half of GroupNorm.

use super::straight::{self, Extent};
use super::{LANES, bands};
use crate::plan::{Dispatch, Recorder, Tensor};
use crate::shader::{Form, Kernel, params};

pub static KERNEL: Kernel = Kernel {
    name: "affine",
    params: Params::FIELDS,
    variants: &[&[], &["SILU"]],
    forms: &[
        Form::plain(include_str!("../../shaders/affine/plain.wgsl")),
        straight::form("straight-8", STRAIGHT, &[("LANES", 8), ("ROWS", 4)], 8, 2.0),
        straight::form("straight-16", STRAIGHT, &[("LANES", 16), ("ROWS", 4)], 16, 2.5),
    ],
};

const STRAIGHT: &str = include_str!("../../shaders/affine/straight.wgsl");

params! {
    positions: u32,
    a4: u32,
    b4: u32,
    base_a: u32,
    base_b: u32,
    base_out: u32,
    groups_x: u32,
}

/// `[H, W, Ca]` (and `[H, W, Cb]`) -> `[H, W, Ca + Cb]`; `affine` is `[2, Ca + Cb]`.
pub fn record(r: &mut Recorder, a: &Tensor, b: Option<&Tensor>, affine: &Tensor, silu: bool) -> Tensor {
    record_rows(r, a, b, affine, silu, (0, a.height))
}

/// Like [`record`], for the rows from `y0` up to `y1`: `[y1 - y0, W, Ca + Cb]`.
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
    let first = y0 as u64 * a.width as u64;
    let (positions, most) = (out.positions(), r.limits.max_workgroups);
    let form = r.form(&KERNEL, |form| {
        let block = 4 * form.constant("ROWS");
        let extent = Extent {
            channels: &[4 * a4 as u64, 4 * b4 as u64],
            elements: &[],
            workgroups: &[positions.div_ceil(block).into(), (a4 + b4).into()],
        };
        let left = || format!("{positions} positions are not a multiple of the block of {block}");
        extent.refuses(form, most).or_else(|| (!positions.is_multiple_of(block)).then(left))
    });
    if let Some(lanes) = straight::lanes(form) {
        let each = Straight { form, lanes, affine, silu, first, others: b4, before: 0 };
        each.record(r, a, &out);
        if let Some(b) = b {
            Straight { others: a4, before: a4, ..each }.record(r, b, &out);
        }
        return out;
    }
    let row = (a4 + b4) as u64 * out.vec4_bytes();
    for (from, to) in bands(out.positions(), row, r.limits.max_binding, r.limits.offset_alignment) {
        let range = |c4: u32| ((first + from as u64) * c4 as u64, (first + to as u64) * c4 as u64);
        let (window_a, base_a) = r.window(a, range(a4).0, range(a4).1);
        // Without b, its binding repeats a; the shader reads nothing from it.
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
            form,
            defines: if silu { vec!["SILU"] } else { vec![] },
            inputs,
            outputs: vec![window_out],
            params: bytemuck::bytes_of(&params).to_vec(),
            workgroups,
            flops: elements * flops(silu),
            padding: 0,
            saved: 0,
            turns: 0,
        });
    }
    out
}

/// Per vec4.
fn flops(silu: bool) -> u64 {
    if silu { 60 } else { 8 }
}

/// One of the tensors, for a straight-line form.
struct Straight<'a> {
    form: &'static Form,
    lanes: u32,
    affine: &'a Tensor,
    silu: bool,
    /// Its first position.
    first: u64,
    /// Vec4s per position of the other tensor, and those that precede its own.
    others: u32,
    before: u32,
}

impl Straight<'_> {
    fn record(&self, r: &mut Recorder, x: &Tensor, out: &Tensor) {
        let &Straight { form, lanes, affine, silu, first, others, before } = self;
        let own = x.channels.vec4s();
        let (row, block) = ((own + others) as u64, 4 * form.constant("ROWS"));
        let most = r.limits.max_binding.min(4 * straight::MOST_ELEMENTS);
        let blocks = out.positions() / block;
        for (from, to) in bands(blocks, block as u64 * row * out.vec4_bytes(), most, r.limits.offset_alignment) {
            let (from, to) = (from as u64 * block as u64, to as u64 * block as u64);
            let (window, base_a) = r.window(x, (first + from) * own as u64, (first + to) * own as u64);
            let (window_out, base_out) = r.window(out, from * row, to * row);
            let positions = (to - from) as u32;
            let params = Params { positions, a4: own, b4: others, base_a, base_b: before, base_out, groups_x: 0 };
            let inputs = vec![window, r.whole(affine)];
            r.push(Dispatch {
                kernel: &KERNEL,
                form,
                defines: if silu { vec!["SILU"] } else { vec![] },
                inputs,
                outputs: vec![window_out],
                params: bytemuck::bytes_of(&params).to_vec(),
                workgroups: [4 * own / lanes, positions / block, 1],
                flops: (to - from) * own as u64 * flops(silu),
                padding: 0,
                saved: 0,
                turns: 0,
            });
        }
    }
}
