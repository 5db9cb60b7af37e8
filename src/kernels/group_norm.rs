//! `group_norm`: statistics of chunks -> scale and shift per channel (torch.nn.GroupNorm).

use super::LANES;
use super::group_stats::Stats;
use crate::plan::{Dispatch, Element, Recorder, Tensor, turns};
use crate::shader::{Form, Kernel, params};

pub static KERNEL: Kernel = Kernel {
    name: "group_norm",
    params: Params::FIELDS,
    variants: &[&[]],
    forms: &[Form::plain(include_str!("../../shaders/group_norm.wgsl"))],
};

params! {
    positions: u32,
    chunk_len: u32,
    chunks: u32,
    channels_per_group: u32,
    ca: u32,
    ca_padded: u32,
    cb: u32,
    cb_padded: u32,
    eps: f32,
}

/// Scale and shift `[2, Ca + Cb]` (f32) of GroupNorm over `[a | b]`, from their statistics. `weight` and `bias` are f32 constants over the
/// concatenated channels.
pub fn record(
    r: &mut Recorder,
    a: (&Tensor, &Stats),
    b: Option<(&Tensor, &Stats)>,
    weight: &Tensor,
    bias: &Tensor,
    groups: u32,
    eps: f32,
) -> Tensor {
    let ca = &a.0.channels;
    let cb = b.map(|b| &b.0.channels);
    let channels = cb.map_or(ca.clone(), |cb| ca.concat(cb));
    let ok = r.check(
        groups > 0
            && channels.logical().is_multiple_of(groups)
            && weight.channels == channels
            && bias.channels == channels,
        || format!("group_norm of {}: {} channels in {groups} groups", a.0.name, channels.logical()),
    );
    let ok = r.check(ok && b.is_none_or(|b| b.0.positions() == a.0.positions()), || "group_norm: sizes differ".into());
    let affine = r.value_of(&format!("{}.affine", a.0.name), 1, 2, channels.clone(), Element::F32);
    if !ok {
        return affine;
    }
    let params = Params {
        positions: a.0.positions(),
        chunk_len: a.1.chunk_len,
        chunks: a.1.values.height,
        channels_per_group: channels.logical() / groups,
        ca: ca.logical(),
        ca_padded: ca.vec4s() * 4,
        cb: cb.map_or(0, |c| c.logical()),
        cb_padded: cb.map_or(0, |c| c.vec4s() * 4),
        eps,
    };
    let stats_b = b.unwrap_or(a).1;
    let (chunks, channels_per_group) = (params.chunks as u64, params.channels_per_group as u64);
    let inputs = [&a.1.values, &stats_b.values, weight, bias].map(|t| r.whole(t)).to_vec();
    let outputs = vec![r.whole(&affine)];
    r.push(Dispatch {
        kernel: &KERNEL,
        form: &KERNEL.forms[0],
        defines: vec![],
        inputs,
        outputs,
        params: bytemuck::bytes_of(&params).to_vec(),
        workgroups: [groups, 1, 1],
        flops: a.1.values.height as u64 * channels.logical() as u64 * 8,
        padding: 0,
        saved: 0,
        turns: 2 * turns((chunks * channels_per_group).div_ceil(LANES), 0)
            + 2 * turns(LANES.ilog2() as u64, 0)
            + turns(channels_per_group.div_ceil(LANES), 0)
            + turns((channels.vec4s() as u64 * 4).div_ceil(LANES), 0),
    });
    affine
}
