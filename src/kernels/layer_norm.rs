//! `layer_norm`: torch.nn.LayerNorm over the channels of each token.

use super::{LANES, bands};
use crate::plan::{Dispatch, Recorder, Tensor, turns};
use crate::shader::{Form, Kernel, params};

pub static KERNEL: Kernel = Kernel {
    name: "layer_norm",
    params: Params::FIELDS,
    variants: &[&[]],
    forms: &[Form::plain(include_str!("../../shaders/layer_norm.wgsl"))],
};

params! {
    tokens: u32,
    c4: u32,
    channels: u32,
    base: u32,
    base_out: u32,
    groups_x: u32,
    eps: f32,
}

/// `[H, W, C]` -> the same shape; `weight` and `bias` are `[C]` in f32.
pub fn record(r: &mut Recorder, x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f32) -> Tensor {
    let out = r.value(&format!("{}.layer_norm", x.name), x.height, x.width, x.channels.clone());
    r.check(x.channels.segments().len() == 1 && weight.channels == x.channels && bias.channels == x.channels, || {
        format!("layer_norm of {}: shapes do not fit", x.name)
    });
    let c4 = x.channels.vec4s();
    let row = c4 as u64 * x.vec4_bytes();
    for (from, to) in bands(x.positions(), row, r.limits.max_binding, r.limits.offset_alignment) {
        let range = (from as u64 * c4 as u64, to as u64 * c4 as u64);
        let (window, base) = r.window(x, range.0, range.1);
        let (window_out, base_out) = r.window(&out, range.0, range.1);
        let workgroups = r.fold_workgroups(((to - from) as u64).div_ceil(LANES));
        let params = Params {
            tokens: to - from,
            c4,
            channels: x.channels.logical(),
            base,
            base_out,
            groups_x: workgroups[0],
            eps,
        };
        let inputs = vec![window, r.whole(weight), r.whole(bias)];
        r.push(Dispatch {
            kernel: &KERNEL,
            form: &KERNEL.forms[0],
            defines: vec![],
            inputs,
            outputs: vec![window_out],
            params: bytemuck::bytes_of(&params).to_vec(),
            workgroups,
            flops: (to - from) as u64 * c4 as u64 * 36,
            padding: 0,
            saved: 0,
            turns: 3 * turns(c4 as u64, 0),
        });
    }
    out
}
