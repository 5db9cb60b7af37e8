//! `group_stats`: the first half of GroupNorm. Mean and M2 per channel and chunk of positions.

use super::straight::{self, Extent};
use super::{LANES, bands};
use crate::plan::{Dispatch, Element, Recorder, Tensor, turns};
use crate::shader::{Form, Kernel, params};

pub static KERNEL: Kernel = Kernel {
    name: "group_stats",
    params: Params::FIELDS,
    variants: &[&[]],
    forms: &[
        Form::plain(include_str!("../../shaders/group_stats/plain.wgsl")),
        straight::form("straight-8", STRAIGHT, &[("LANES", 8), ("STEP", STEP)], 8, 5.0),
        straight::form("straight-16", STRAIGHT, &[("LANES", 16), ("STEP", STEP)], 16, 6.0),
    ],
};

const STRAIGHT: &str = include_str!("../../shaders/group_stats/straight.wgsl");

params! {
    positions: u32,
    c4: u32,
    chunk_len: u32,
    chunks: u32,
    chunk0: u32,
    base: u32,
    groups_x: u32,
}

/// Statistics of a tensor, `[chunks, 2, C]` in f32, and the positions per chunk.
#[derive(Clone, Debug)]
pub struct Stats {
    pub values: Tensor,
    pub chunk_len: u32,
}

/// Positions per chunk of a tensor with `positions` positions and `group` channels per group. Tensors that are concatenated get the same.
///
/// At most 256 chunks, none shorter than 16 positions, and more only where their loops would take too many turns. Where straight forms may
/// be of use, chunks have their length, as long as `group_norm` can process all of them.
pub fn chunk_len(r: &Recorder, positions: u32, group: u32) -> u32 {
    let chunks = positions / STEP;
    let few = chunks <= MOST_CHUNKS && chunks as u64 * group as u64 <= 8 * r.limits.max_turns;
    if !r.forms.facts.range_checks && r.storage.values == Element::F32 && positions.is_multiple_of(STEP) && few {
        return STEP;
    }
    positions.div_ceil(256).clamp(16, LONGEST)
}

/// Most positions per chunk. A lane reads them twice.
const LONGEST: u32 = 1 << 14;

/// Positions per chunk of the straight forms, and the most chunks that are made for them.
const STEP: u32 = 64;
const MOST_CHUNKS: u32 = 1 << 12;

/// Statistics of chunks of `chunk_len` positions.
pub fn record(r: &mut Recorder, x: &Tensor, chunk_len: u32) -> Stats {
    let chunks = x.positions().div_ceil(chunk_len);
    let name = format!("{}.stats", x.name);
    let values = r.value_of(&name, chunks, 2, x.channels.clone(), Element::F32);
    let c4 = x.channels.vec4s();
    let chunk_bytes = chunk_len as u64 * c4 as u64 * x.vec4_bytes();
    let (whole, most) = (chunk_len == STEP && x.positions().is_multiple_of(STEP), r.limits.max_workgroups);
    let form = r.form(&KERNEL, |form| {
        let workgroups = &[c4.into(), chunks.into()];
        let extent = Extent { channels: &[4 * c4 as u64], elements: &[values.bytes() / 4], workgroups };
        let other = || Some(format!("its chunks have {STEP} positions"));
        if whole { extent.refuses(form, most) } else { other() }
    });
    let lanes = straight::lanes(form);
    let binding = lanes.map_or(r.limits.max_binding, |_| r.limits.max_binding.min(4 * straight::MOST_ELEMENTS));
    for (from, to) in bands(chunks, chunk_bytes, binding, r.limits.offset_alignment) {
        let first = from * chunk_len;
        let end = (to * chunk_len).min(x.positions());
        let (window, base) = r.window(x, first as u64 * c4 as u64, end as u64 * c4 as u64);
        let workgroups = match lanes {
            Some(lanes) => [4 * c4 / lanes, to - from, 1],
            None => r.fold_workgroups(((to - from) as u64 * c4 as u64).div_ceil(LANES)),
        };
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
            form,
            defines: vec![],
            inputs: vec![window],
            outputs,
            params: bytemuck::bytes_of(&params).to_vec(),
            workgroups,
            flops: (end - first) as u64 * c4 as u64 * 16,
            padding: 0,
            saved: 0,
            turns: lanes.map_or(2 * turns(chunk_len as u64, 0), |_| 0),
        });
    }
    Stats { values, chunk_len }
}
