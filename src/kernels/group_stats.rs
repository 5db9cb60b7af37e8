//! `group_stats`: the first half of GroupNorm. Mean and M2 per channel and chunk of positions.

use super::{LANES, bands};
use crate::plan::{Dispatch, Element, Recorder, Tensor, turns};
use crate::shader::{Form, Kernel, params};

pub static KERNEL: Kernel = Kernel {
    name: "group_stats",
    params: Params::FIELDS,
    variants: &[&[]],
    forms: &[Form::plain(include_str!("../../shaders/group_stats.wgsl"))],
};

params! {
    positions: u32,
    c4: u32,
    chunk_len: u32,
    chunks: u32,
    chunk0: u32,
    base: u32,
    groups_x: u32,
}

/// Statistics of a tensor: `[chunks, 2, C]` in f32, and how many positions a chunk has.
#[derive(Clone, Debug)]
pub struct Stats {
    pub values: Tensor,
    pub chunk_len: u32,
}

/// At most 256 chunks, none shorter than 16 positions; more where their loops would take too many turns.
fn chunk_len(positions: u32) -> u32 {
    positions.div_ceil(256).clamp(16, LONGEST)
}

/// Positions of a chunk, which a lane goes through twice.
const LONGEST: u32 = 1 << 14;

pub fn record(r: &mut Recorder, x: &Tensor) -> Stats {
    let chunk_len = chunk_len(x.positions());
    let chunks = x.positions().div_ceil(chunk_len);
    let name = format!("{}.stats", x.name);
    let values = r.value_of(&name, chunks, 2, x.channels.clone(), Element::F32);
    let c4 = x.channels.vec4s();
    let chunk_bytes = chunk_len as u64 * c4 as u64 * x.vec4_bytes();
    for (from, to) in bands(chunks, chunk_bytes, r.limits.max_binding, r.limits.offset_alignment) {
        let first = from * chunk_len;
        let end = (to * chunk_len).min(x.positions());
        let (window, base) = r.window(x, first as u64 * c4 as u64, end as u64 * c4 as u64);
        let workgroups = r.fold_workgroups(((to - from) as u64 * c4 as u64).div_ceil(LANES));
        let params = Params {
            positions: end - first,
            c4,
            chunk_len,
            chunks: to - from,
            chunk0: from,
            base,
            groups_x: workgroups[0],
        };
        let outputs = vec![r.whole(&values)];
        r.push(Dispatch {
            kernel: &KERNEL,
            form: &KERNEL.forms[0],
            defines: vec![],
            inputs: vec![window],
            outputs,
            params: bytemuck::bytes_of(&params).to_vec(),
            workgroups,
            flops: (end - first) as u64 * c4 as u64 * 16,
            padding: 0,
            saved: 0,
            turns: 2 * turns(chunk_len as u64, 0),
        });
    }
    Stats { values, chunk_len }
}
