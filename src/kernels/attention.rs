//! `attention`: softmax attention over two key/value sources, the image's own and the support bank's
//! (DiffewS's KV concatenation), with one online softmax over both.

use super::Kernel;
use crate::conformance::bound::{self, Approx, EPS};
use crate::conformance::{Case, CaseBuilder, Fill, HostTensor};
use crate::plan::{Channels, Dispatch, Element, Recorder, Tensor, Tuning, Window, turns};
use bytemuck::{Pod, Zeroable};
use std::cell::RefCell;

pub static KERNEL: Kernel = Kernel {
    name: "attention",
    source: include_str!("../../shaders/attention.wgsl"),
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
    cases,
};

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
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

/// Exact scores of one query and head, and how far each may be off.
fn scores<'a>(q: &[f32], keys: impl Iterator<Item = &'a [f32]>) -> Vec<(f64, f64)> {
    let d = q.len();
    let scale = std::f64::consts::LOG2_E / (d as f64).sqrt();
    let one = |k: &[f32]| {
        let products = || q.iter().zip(k).map(|(&a, &b)| a as f64 * b as f64);
        let magnitude: f64 = products().map(f64::abs).sum();
        let score = products().sum::<f64>() * scale;
        (score, bound::dot(d, magnitude) * scale + 2.0 * EPS * score.abs())
    };
    keys.map(one).collect()
}

/// Exact attention of one channel of a query and head, and its bound.
///
/// A score errs by its dot product's bound; times ln 2 that is the relative error of its weight, to which
/// exp2 adds 3 + 2 |x| ulp (WGSL). A weight's error moves the result by its share of |v - out|; the
/// weighted sum and the total are sums of n terms, rescaled once per tile of 16 keys or more. A part hands both on in f32,
/// which rounds nothing.
fn twin(scores: &[(f64, f64)], values: &[f64]) -> Approx {
    let highest = scores.iter().map(|s| s.0).fold(f64::MIN, f64::max);
    let weights: Vec<f64> = scores.iter().map(|s| (s.0 - highest).exp2()).collect();
    let total: f64 = weights.iter().sum();
    let value = values.iter().zip(&weights).map(|(v, w)| v * w).sum::<f64>() / total;
    let magnitude = values.iter().zip(&weights).map(|(v, w)| v.abs() * w).sum::<f64>() / total;
    let moved: f64 = values
        .iter()
        .zip(&weights)
        .zip(scores)
        .map(|((v, w), s)| {
            let x = s.0 - highest;
            w * (v - value).abs() * (std::f64::consts::LN_2 * s.1 + EPS * (3.0 + 3.0 * x.abs()))
        })
        .sum::<f64>()
        / total;
    let n = values.len();
    Approx::new(value, moved + 2.0 * bound::dot(n + n.div_ceil(16), magnitude))
}

fn cases() -> Vec<Case> {
    // query rows, own rows (same as query when 0), bank rows, heads, head size, spread of the queries: 2 gives scores
    // of a few units, a softmax neither flat nor a single key; at 60 exp2 of a score itself overflows
    let mut cases: Vec<Case> = [
        (4096, 0, 4096, 1, 64, 2.0),
        (256, 0, 256, 20, 64, 2.0),
        (64, 0, 192, 8, 160, 2.0),
        (1600, 0, 1600, 1, 32, 2.0),
        (1024, 0, 0, 1, 512, 2.0),
        (100, 0, 37, 3, 10, 2.0),
        (1, 0, 1, 2, 6, 2.0),
        (17, 0, 33, 1, 4, 2.0),
        (21, 0, 40, 2, 33, 2.0),
        (31, 0, 95, 2, 80, 2.0),
        (9, 0, 0, 1, 515, 2.0),
        (50, 7, 3, 2, 40, 2.0),
        (40, 0, 70, 2, 64, 60.0),
        (20, 0, 45, 1, 12, 60.0),
        // More keys than one dispatch's loops can go through.
        (16, 4096, 32_768, 1, 64, 2.0),
        (16, 4096, 65_536, 1, 64, 2.0),
        (16, 5, 70_001, 1, 4, 2.0),
    ]
    .into_iter()
    .map(case)
    .collect();
    // Parts where a binding ends: of both sources, with scores beyond exp2's range, of several slices.
    for (shape, bytes) in [
        ((31, 145, 300, 2, 80, 2.0), 42 * 1024),
        ((17, 5, 203, 1, 12, 60.0), 2048),
        ((9, 9, 150, 1, 515, 2.0), 80 * 1024),
    ] {
        cases.push(case(shape).with_binding_limit(bytes));
    }
    cases
}

fn case((queries, own, bank, heads, d, spread): (u32, u32, u32, u32, u32, f64)) -> Case {
    let own = if own == 0 { queries } else { own };
    Case::new(
        &KERNEL,
        format!("{queries} queries of spread {spread}, {own} + {bank} keys, {heads} heads of {d}"),
        move |b: &mut CaseBuilder| {
            let channels = Channels::heads(heads, d);
            let mut input = |name: &str, rows: u32, std: f64| {
                b.input(name, 1, rows, channels.clone(), Element::Stored, Fill::Normal { mean: 0.1, std })
            };
            let q = input("q", queries, spread);
            let (k, v) = (input("own.k", own, 1.0), input("own.v", own, 1.0));
            let banked = (bank > 0).then(|| (input("bank.k", bank, 1.0), input("bank.v", bank, 1.0)));
            let source = |k: &HostTensor, v: &HostTensor| KeyValue { k: k.tensor.clone(), v: v.tensor.clone() };
            let second = banked.as_ref().map(|(k, v)| source(k, v));
            let out = record(&mut b.recorder, "out", &q.tensor, &source(&k, &v), second.as_ref());
            // Scores are those of all channels of a head, which come one after the other.
            let known = RefCell::new((usize::MAX, Vec::new()));
            b.expect(&out, move |row, channel| {
                let head = channel / d as usize;
                let sources = || [Some((&k, &v)), banked.as_ref().map(|(k, v)| (k, v))].into_iter().flatten();
                let mut known = known.borrow_mut();
                if known.0 != row * heads as usize + head {
                    let first = head * d as usize;
                    let keys = sources().flat_map(|(k, _)| (0..k.rows()).map(move |j| k.row(j, first, d)));
                    *known = (row * heads as usize + head, scores(q.row(row, first, d), keys));
                }
                let values: Vec<f64> =
                    sources().flat_map(|(_, v)| (0..v.rows()).map(move |j| v.at(j, channel))).collect();
                twin(&known.1, &values)
            });
        },
    )
    .of_flops(4 * (queries * heads * d) as u64 * (own + bank) as u64)
}
