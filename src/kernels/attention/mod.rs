//! `attention`: softmax attention over two key/value sources, the image's own and the support bank's
//! (DiffewS's KV concatenation), with one online softmax over both.

mod forms;
mod straight;

use crate::plan::{Channels, Dispatch, Element, Recorder, Tensor, Window};
use crate::shader::{Kernel, params};
use forms::{Candidate, FORMS, Problem, offers};
use std::fmt;

pub static KERNEL: Kernel = Kernel {
    name: "attention",
    params: Params::FIELDS,
    variants: &[&[], &["PART"], &["PART", "RESUME"]],
    forms: FORMS,
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
    first: u32,
    blocks: u32,
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

/// The properties of a problem that affect the speed of forms.
#[derive(Clone, Copy, Debug)]
pub struct Layer {
    pub queries: u32,
    /// Keys of the two sources; zero for a missing second one.
    pub own: u32,
    pub bank: u32,
    pub heads: u32,
    /// Vec4s per head.
    pub d4: u32,
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Layer { queries, own, bank, heads, d4 } = self;
        write!(f, "{queries} queries, {own} + {bank} keys, {heads} heads of {}", 4 * d4)
    }
}

/// For each form: queries per workgroup, keys per tile, vec4s of the output made at once. Test cases use them to cover every remainder.
pub(crate) fn blocks() -> impl Iterator<Item = [u32; 3]> {
    FORMS.iter().map(|form| match straight::is_of(form) {
        true => straight::blocks(form),
        false => {
            let form = Candidate::new(form, 1);
            [form.rows, form.keys, form.slice]
        }
    })
}

/// The keys that a dispatch reads, and whether it begins or ends the softmax.
struct Pass {
    defines: Vec<&'static str>,
    own: u32,
    bank: u32,
    base: u32,
    last: bool,
    inputs: Vec<Window>,
    outputs: Vec<Window>,
}

/// `q` `[H, W, heads x D]` over the keys of `own`, then of `bank` (any number of pieces and rows) -> `q`'s shape.
/// The scores are scaled by 1 / sqrt(D), where D is the head size without padding.
///
/// A bank of several pieces, and more keys than a dispatch may process or a binding holds, are read in parts. Each pass continues
/// with the maximum and the sums of the previous one.
pub fn record(r: &mut Recorder, name: &str, q: &Tensor, own: &KeyValue, bank: &[KeyValue]) -> Tensor {
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
    let banked: u64 = bank.iter().map(|piece| u64::from(piece.keys())).sum();
    let countable = u64::from(own.keys()) + banked <= u32::MAX.into();
    if !r.check(countable, || format!("{name}: {banked} keys in a bank are too many")) {
        return out;
    }
    let problem = Problem {
        queries: q.positions(),
        keys: [own.keys(), banked as u32],
        heads: q.channels.segments().len() as u32,
        d4: head_dim.div_ceil(4),
    };
    let layer = Layer {
        queries: problem.queries,
        own: problem.keys[0],
        bank: problem.keys[1],
        heads: problem.heads,
        d4: problem.d4,
    };
    let chosen = &FORMS[r.choose(&KERNEL, layer, &offers(&problem, r))];
    if straight::is_of(chosen) {
        straight::record(r, chosen, &problem, q, &sources, &out);
        return out;
    }
    let form = Candidate::new(chosen, problem.d4);
    let tiles: u64 = sources.iter().map(|s| s.keys().div_ceil(form.keys) as u64).sum();
    let bound = |t: &Tensor| t.bytes() <= r.limits.max_binding;
    let at_once = sources.len() <= 2 && sources.iter().all(|s| bound(&s.k) && bound(&s.v));
    if at_once && form.turns(tiles) <= r.limits.max_turns {
        let second = bank.first().unwrap_or(own);
        let pass = Pass {
            defines: vec![],
            own: own.keys(),
            bank: problem.keys[1],
            base: 0,
            last: true,
            inputs: [&own.k, &own.v, &second.k, &second.v].map(|t| r.whole(t)).to_vec(),
            outputs: vec![r.whole(&out)],
        };
        push(r, &form, q, pass);
        return out;
    }
    let ranges: Vec<(&KeyValue, u32, u32)> = sources
        .iter()
        .flat_map(|&source| {
            let most = most_keys(r, &form, source);
            (0..source.keys()).step_by(most as usize).map(move |from| (source, from, most.saturating_add(from)))
        })
        .collect();
    let heads = problem.heads;
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
        let pass = Pass {
            defines: if before.is_empty() { vec!["PART"] } else { vec!["PART", "RESUME"] },
            own: to - from,
            bank: 0,
            base,
            last: i + 1 == ranges.len(),
            inputs: [k, v].into_iter().chain(before).collect(),
            outputs: after.iter().cloned().chain([r.whole(&out)]).collect(),
        };
        before = after;
        push(r, &form, q, pass);
    }
    out
}

/// The scale of scores, in units of exp2.
fn scale(head_dim: u32) -> f32 {
    std::f32::consts::LOG2_E / (head_dim as f32).sqrt()
}

/// The most keys of a source that one dispatch can process.
fn most_keys(r: &Recorder, form: &Candidate, source: &KeyValue) -> u32 {
    let row = source.k.channels.vec4s() as u64 * source.k.vec4_bytes();
    let room = r.limits.max_binding.saturating_sub(r.limits.offset_alignment) / row.max(1);
    let keys = form.keys as u64;
    (form.most_tiles(r.limits.max_turns) * keys).min(room / keys * keys).clamp(1, u32::MAX as u64) as u32
}

/// Records one pass for all queries, in as many dispatches as the adapter's limits require.
fn push(r: &mut Recorder, form: &Candidate, q: &Tensor, pass: Pass) {
    let heads = q.channels.segments().len() as u32;
    let head_dim = q.channels.segments()[0];
    let d4 = head_dim.div_ceil(4);
    let problem = Problem { queries: q.positions(), keys: [pass.own, pass.bank], heads, d4 };
    let (slices, tiles) = (form.slices(&problem), form.tiles(&problem));
    let (flops, padding) = (form.flops(&problem), form.padding(&problem));
    let pieces = r.limits.pieces(tiles as u64 * (flops + padding), tiles as u64 * heads as u64 * slices as u64);
    let most = (tiles as u64).div_ceil(pieces).clamp(1, r.limits.max_workgroups.into()) as u32;
    let key_tiles = pass.own.div_ceil(form.keys) as u64 + pass.bank.div_ceil(form.keys) as u64;
    for first in (0..tiles).step_by(most as usize) {
        if r.has_failed() {
            return;
        }
        let count = most.min(tiles - first);
        let params = Params {
            queries: q.positions(),
            own: pass.own,
            bank: pass.bank,
            d4,
            stride: heads * d4,
            query0: first * form.rows,
            base: pass.base,
            last: u32::from(pass.last),
            scale: scale(head_dim),
            first: 0,
            blocks: 0,
        };
        let inputs = std::iter::once(r.whole(q)).chain(pass.inputs.iter().cloned()).collect();
        r.push(Dispatch {
            kernel: &KERNEL,
            form: form.form,
            defines: pass.defines.clone(),
            inputs,
            outputs: pass.outputs.clone(),
            params: bytemuck::bytes_of(&params).to_vec(),
            workgroups: [count, heads, slices],
            flops: flops * count as u64,
            padding: padding * count as u64,
            saved: 0,
            turns: form.turns(key_tiles),
        });
    }
}
