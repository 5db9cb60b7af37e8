//! `attention`: softmax attention over two key/value sources, the image's own and the support bank's
//! (DiffewS's KV concatenation), with one online softmax over both.

use crate::plan::{Channels, Dispatch, Element, Recorder, Tensor, Window, turns};
use crate::shader::{Kernel, Tuning, params};

pub static KERNEL: Kernel = Kernel {
    name: "attention",
    source: include_str!("../../shaders/attention.wgsl"),
    params: Params::FIELDS,
    variants: &[
        &["D32"],
        &["D64"],
        &["D160"],
        &[],
        &["BROADCAST", "D32"],
        &["BROADCAST", "D64"],
        &["BROADCAST", "D160"],
        &["BROADCAST"],
        &["D32", "PART"],
        &["D64", "PART"],
        &["D160", "PART"],
        &["PART"],
        &["BROADCAST", "D32", "PART"],
        &["BROADCAST", "D64", "PART"],
        &["BROADCAST", "D160", "PART"],
        &["BROADCAST", "PART"],
        &["D32", "PART", "RESUME"],
        &["D64", "PART", "RESUME"],
        &["D160", "PART", "RESUME"],
        &["PART", "RESUME"],
        &["BROADCAST", "D32", "PART", "RESUME"],
        &["BROADCAST", "D64", "PART", "RESUME"],
        &["BROADCAST", "D160", "PART", "RESUME"],
        &["BROADCAST", "PART", "RESUME"],
    ],
    tunings: &[Tuning::Broadcast, Tuning::Tiled],
};

params! {
    queries: u32,
    own: u32,
    bank: u32,
    d4: u32,
    stride: u32,
    query0: u32,
    base: u32,
    last: u32,
    scale: f32,
}

/// Keys and values of one source, `[H, W, heads x D]` each.
#[derive(Clone, Debug)]
pub struct KeyValue {
    pub k: Tensor,
    pub v: Tensor,
}

impl KeyValue {
    fn keys(&self) -> u32 {
        self.k.positions()
    }
}

/// The form of the shader for an adapter and a head of `d4` vec4s.
struct Form {
    defines: Vec<&'static str>,
    /// Queries of a workgroup, keys of a tile.
    rows: u32,
    keys: u32,
    /// Vec4s of the output that a workgroup makes of each query.
    slice: u32,
    /// Turns of a lane's loops: for each tile of keys, and before and after all tiles.
    turns_tile: u64,
    turns_ends: u64,
}

impl Form {
    fn new(tuning: Tuning, d4: u32) -> Form {
        let (width, slice) = match d4 {
            0..=8 => (Some("D32"), 8),
            9..=16 => (Some("D64"), 16),
            17..=40 => (Some("D160"), 40),
            _ => (None, 64),
        };
        let broadcast = (tuning == Tuning::Broadcast).then_some("BROADCAST");
        let defines = broadcast.into_iter().chain(width).collect();
        let (d4, slots) = (d4 as u64, slice as u64);
        if broadcast.is_some() {
            let rows = if slice <= 16 { 16 } else { 8 };
            let ends = 2 * turns(rows as u64, turns(slots / 8, 0));
            return Form {
                defines,
                rows,
                keys: 32,
                slice,
                turns_tile: turns(d4, 0) + turns(4, turns(8, 0)),
                turns_ends: ends,
            };
        }
        let turns_tile = turns(d4.div_ceil(8), 0) + turns(16, 0);
        Form { defines, rows: 16, keys: 16, slice, turns_tile, turns_ends: 2 * turns(slots / 4, 0) }
    }

    fn turns(&self, tiles: u64) -> u64 {
        self.turns_ends + turns(tiles, self.turns_tile)
    }

    /// Keys of a source that one dispatch can go through.
    fn most_keys(&self, r: &Recorder, source: &KeyValue) -> u32 {
        let tiles = r.limits.max_turns.saturating_sub(self.turns_ends + 1) / (self.turns_tile + 1);
        let row = source.k.channels.vec4s() as u64 * source.k.vec4_bytes(r.storage);
        let room = r.limits.max_binding.saturating_sub(r.limits.offset_alignment) / row.max(1);
        let keys = self.keys as u64;
        (tiles * keys).min(room / keys * keys).clamp(1, u32::MAX as u64) as u32
    }
}

/// What a dispatch reads of the keys, and what becomes of its softmax.
struct Part {
    defines: Vec<&'static str>,
    own: u32,
    bank: u32,
    base: u32,
    last: bool,
    inputs: Vec<Window>,
    outputs: Vec<Window>,
}

/// `q` `[H, W, heads x D]` over the keys of `own`, then of `bank` (any number of rows) -> `q`'s shape.
/// The scores are scaled by 1 / sqrt(D), D being the head size without padding.
///
/// More keys than a dispatch may go through, or than a binding holds, are read in parts: each goes on with the maximum and the
/// sums of the one before.
pub fn record(r: &mut Recorder, name: &str, q: &Tensor, own: &KeyValue, bank: Option<&KeyValue>) -> Tensor {
    let out = r.value(name, q.height, q.width, q.channels.clone());
    let head_dim = q.channels.segments()[0];
    let sources: Vec<&KeyValue> = std::iter::once(own).chain(bank).collect();
    let fits = sources.iter().all(|s| {
        s.k.channels == q.channels
            && s.v.channels == q.channels
            && s.keys() == s.v.positions()
            && s.k.element == s.v.element
    });
    if !r.check(fits && q.channels.segments().iter().all(|&d| d == head_dim), || format!("{name}: shapes do not fit")) {
        return out;
    }
    let form = Form::new(r.tuning, head_dim.div_ceil(4));
    let tiles: u64 = sources.iter().map(|s| s.keys().div_ceil(form.keys) as u64).sum();
    let bound = |t: &Tensor| t.bytes(r.storage) <= r.limits.max_binding;
    if form.turns(tiles) <= r.limits.max_turns && sources.iter().all(|s| bound(&s.k) && bound(&s.v)) {
        let second = bank.unwrap_or(own);
        let part = Part {
            defines: vec![],
            own: own.keys(),
            bank: bank.map_or(0, KeyValue::keys),
            base: 0,
            last: true,
            inputs: [&own.k, &own.v, &second.k, &second.v].map(|t| r.whole(t)).to_vec(),
            outputs: vec![r.whole(&out)],
        };
        push(r, &form, q, part);
        return out;
    }
    let ranges: Vec<(&KeyValue, u32, u32)> = sources
        .iter()
        .flat_map(|&source| {
            let most = form.most_keys(r, source);
            (0..source.keys()).step_by(most as usize).map(move |from| (source, from, most.saturating_add(from)))
        })
        .collect();
    let heads = q.channels.segments().len() as u32;
    let mut before: Vec<Window> = Vec::new();
    for (i, &(source, from, to)) in ranges.iter().enumerate() {
        let (from, to) = (from, to.min(source.keys()));
        let row = q.channels.vec4s() as u64;
        let (k, base) = r.window(&source.k, from as u64 * row, to as u64 * row);
        let (v, _) = r.window(&source.v, from as u64 * row, to as u64 * row);
        let acc = r.value_of(&format!("{name}.sums"), q.height, q.width, q.channels.clone(), Element::F32);
        let running = Channels::heads(heads, 4);
        let running = r.value_of(&format!("{name}.running"), q.height, q.width, running, Element::F32);
        let after = [&acc, &running].map(|t| r.whole(t)).to_vec();
        let part = Part {
            defines: if before.is_empty() { vec!["PART"] } else { vec!["PART", "RESUME"] },
            own: to - from,
            bank: 0,
            base,
            last: i + 1 == ranges.len(),
            inputs: [k, v].into_iter().chain(before).collect(),
            outputs: after.iter().cloned().chain([r.whole(&out)]).collect(),
        };
        before = after;
        push(r, &form, q, part);
    }
    out
}

/// Records one part for all queries, in as many dispatches as the adapter's limits ask for.
fn push(r: &mut Recorder, form: &Form, q: &Tensor, part: Part) {
    let heads = q.channels.segments().len() as u32;
    let head_dim = q.channels.segments()[0];
    let d4 = head_dim.div_ceil(4);
    let slices = d4.div_ceil(form.slice);
    let keys = part.own as u64 + part.bank as u64;
    // Scores are computed again for each slice of the output's channels.
    let tile_flops = form.rows as u64 * keys * 8 * heads as u64 * (d4 as u64 * (slices as u64 + 1));
    let tiles = q.positions().div_ceil(form.rows);
    let most = (r.limits.max_flops / tile_flops.max(1)).clamp(1, r.limits.max_workgroups as u64) as u32;
    let key_tiles = part.own.div_ceil(form.keys) as u64 + part.bank.div_ceil(form.keys) as u64;
    for first in (0..tiles).step_by(most as usize) {
        if r.has_failed() {
            return;
        }
        let count = most.min(tiles - first);
        let params = Params {
            queries: q.positions(),
            own: part.own,
            bank: part.bank,
            d4,
            stride: heads * d4,
            query0: first * form.rows,
            base: part.base,
            last: u32::from(part.last),
            scale: std::f32::consts::LOG2_E / (head_dim as f32).sqrt(),
        };
        let inputs = std::iter::once(r.whole(q)).chain(part.inputs.iter().cloned()).collect();
        r.push(Dispatch {
            kernel: &KERNEL,
            defines: form.defines.iter().chain(&part.defines).copied().collect(),
            overrides: vec![],
            inputs,
            outputs: part.outputs.clone(),
            params: bytemuck::bytes_of(&params).to_vec(),
            workgroups: [count, heads, slices],
            flops: tile_flops * count as u64,
            padding: 0,
            turns: form.turns(key_tiles),
        });
    }
}
