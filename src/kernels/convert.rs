//! `convert`: f32 to the storage of a pass.

use super::straight::{self, Extent};
use super::{LANES, bands};
use crate::plan::{Dispatch, Element, Recorder, Tensor};
use crate::shader::{Form, Kernel, params};

pub static KERNEL: Kernel = Kernel {
    name: "convert",
    params: Params::FIELDS,
    variants: &[&[]],
    forms: &[
        Form::plain(include_str!("../../shaders/convert/plain.wgsl")),
        straight::form("straight-8", STRAIGHT, &[("LANES", 8), ("ROWS", 16)], 8, 2.5),
        straight::form("straight-16", STRAIGHT, &[("LANES", 16), ("ROWS", 16)], 16, 3.0),
    ],
};

const STRAIGHT: &str = include_str!("../../shaders/convert/straight.wgsl");

params! {
    n: u32,
    base: u32,
    base_out: u32,
    groups_x: u32,
}

/// `[H, W, C]` in f32 -> the same in the plan's storage; returns `x` where that is f32.
pub fn record(r: &mut Recorder, x: &Tensor) -> Tensor {
    if r.storage.values == Element::F32 {
        return x.clone();
    }
    record_rows(r, x, (0, x.height))
}

/// The rows from `y0` up to `y1` of `[H, W, C]` in f32, in the plan's storage: `[y1 - y0, W, C]`.
pub fn record_rows(r: &mut Recorder, x: &Tensor, (y0, y1): (u32, u32)) -> Tensor {
    let out = r.value(&format!("{}.stored", x.name), y1 - y0, x.width, x.channels.clone());
    r.check(x.element == Element::F32, || format!("convert of {}: it is not f32", x.name));
    let c4 = x.channels.vec4s() as u64;
    let first = y0 as u64 * x.width as u64;
    let row = c4 * x.vec4_bytes();
    let (elements, most) = (4 * out.len_vec4(), r.limits.max_workgroups);
    let whole = out.bytes() <= r.limits.max_binding.saturating_sub(r.limits.offset_alignment);
    let form = r.form(&KERNEL, |form| {
        let block = form.constant("ROWS") as u64 * form.constant("LANES") as u64;
        let extent = Extent { channels: &[], elements: &[elements], workgroups: &[elements.div_ceil(block)] };
        let cut = || "it only takes whole blocks in one binding".into();
        extent.refuses(form, most).or_else(|| (!whole || !elements.is_multiple_of(block)).then(cut))
    });
    for (from, to) in bands(out.positions(), row, r.limits.max_binding, r.limits.offset_alignment) {
        let (from, to) = (from as u64, to as u64);
        let (window, base) = r.window(x, (first + from) * c4, (first + to) * c4);
        let (window_out, base_out) = r.window(&out, from * c4, to * c4);
        let n = (to - from) * c4;
        let workgroups = match straight::lanes(form) {
            Some(lanes) => [4 * n as u32 / (lanes * form.constant("ROWS")), 1, 1],
            None => r.fold_workgroups(n.div_ceil(LANES)),
        };
        let params = Params { n: n as u32, base, base_out, groups_x: workgroups[0] };
        r.push(Dispatch {
            kernel: &KERNEL,
            form,
            defines: vec![],
            inputs: vec![window],
            outputs: vec![window_out],
            params: bytemuck::bytes_of(&params).to_vec(),
            workgroups,
            flops: 4 * n,
            padding: 0,
            saved: 0,
            turns: 0,
        });
    }
    out
}
