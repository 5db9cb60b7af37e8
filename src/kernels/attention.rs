//! `attention`: softmax attention over two key/value sources, the image's own and the support bank's
//! (DiffewS's KV concatenation), with one online softmax over both.

use super::Kernel;
use crate::conformance::bound::{self, Approx, EPS};
use crate::conformance::{Case, CaseBuilder, Fill, HostTensor};
use crate::plan::{Channels, Dispatch, Element, Recorder, Tensor, Tuning};
use bytemuck::{Pod, Zeroable};

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
    scale: f32,
}

/// Keys and values of one source, `[H, W, heads x D]` each.
#[derive(Clone, Debug)]
pub struct KeyValue {
    pub k: Tensor,
    pub v: Tensor,
}

/// `q` `[H, W, heads x D]` over the keys of `own`, then of `bank` (any number of rows) -> `q`'s shape.
/// The scores are scaled by 1 / sqrt(D), D being the head size without padding.
pub fn record(r: &mut Recorder, name: &str, q: &Tensor, own: &KeyValue, bank: Option<&KeyValue>) -> Tensor {
    let out = r.value(name, q.height, q.width, q.channels.clone());
    let heads = q.channels.segments().len() as u32;
    let head_dim = q.channels.segments()[0];
    let d4 = head_dim.div_ceil(4);
    let sources = [Some(own), bank];
    let fits = sources
        .iter()
        .flatten()
        .all(|s| s.k.channels == q.channels && s.v.channels == q.channels && s.k.positions() == s.v.positions());
    if !r.check(fits && q.channels.segments().iter().all(|&d| d == head_dim), || format!("{name}: shapes do not fit")) {
        return out;
    }
    let (defines, rows, slice): (Vec<&'static str>, u32, u32) = match (r.tuning, d4) {
        (Tuning::Broadcast, ..=8) => (vec!["BROADCAST", "D32"], 16, 8),
        (Tuning::Broadcast, ..=16) => (vec!["BROADCAST", "D64"], 16, 16),
        (Tuning::Broadcast, ..=40) => (vec!["BROADCAST", "D160"], 8, 40),
        (Tuning::Broadcast, _) => (vec!["BROADCAST"], 8, 64),
        (_, ..=8) => (vec!["D32"], 16, 8),
        (_, ..=16) => (vec!["D64"], 16, 16),
        (_, ..=40) => (vec!["D160"], 16, 40),
        (_, _) => (vec![], 16, 64),
    };
    let keys = own.k.positions() as u64 + bank.map_or(0, |b| b.k.positions() as u64);
    let slices = d4.div_ceil(slice);
    // Scores are computed again for each slice of the output's channels.
    let tile_flops = rows as u64 * keys * 8 * heads as u64 * (d4 as u64 * (slices as u64 + 1));
    let tiles = q.positions().div_ceil(rows);
    let most = (r.limits.max_flops / tile_flops.max(1)).clamp(1, r.limits.max_workgroups as u64) as u32;
    let second = bank.unwrap_or(own);
    for first in (0..tiles).step_by(most as usize) {
        let count = most.min(tiles - first);
        let params = Params {
            queries: q.positions(),
            own: own.k.positions(),
            bank: bank.map_or(0, |b| b.k.positions()),
            d4,
            stride: heads * d4,
            query0: first * rows,
            scale: std::f32::consts::LOG2_E / (head_dim as f32).sqrt(),
        };
        let inputs = [q, &own.k, &own.v, &second.k, &second.v].map(|t| r.whole(t)).to_vec();
        let outputs = vec![r.whole(&out)];
        r.push(Dispatch {
            kernel: &KERNEL,
            defines: defines.clone(),
            overrides: vec![],
            inputs,
            outputs,
            params: bytemuck::bytes_of(&params).to_vec(),
            workgroups: [count, heads, slices],
            flops: tile_flops * count as u64,
            padding: 0,
        });
    }
    out
}

/// Exact attention of one query and head, and its bound.
///
/// A score errs by its dot product's bound; times ln 2 that is the relative error of its weight, to which
/// exp2 adds 3 + 2 |x| ulp (WGSL). A weight's error moves the result by its share of |v - out|; the
/// weighted sum and the total are sums of n terms, rescaled once per tile of 16 keys or more.
fn twin(q: &[f32], keys: &[(&[f32], f64)]) -> Approx {
    let d = q.len();
    let scale = std::f64::consts::LOG2_E / (d as f64).sqrt();
    let scores: Vec<(f64, f64)> = keys
        .iter()
        .map(|(k, _)| {
            let products = || q.iter().zip(*k).map(|(&a, &b)| a as f64 * b as f64);
            let magnitude: f64 = products().map(f64::abs).sum();
            let score = products().sum::<f64>() * scale;
            (score, bound::dot(d, magnitude) * scale + 2.0 * EPS * score.abs())
        })
        .collect();
    let highest = scores.iter().map(|s| s.0).fold(f64::MIN, f64::max);
    let weights: Vec<f64> = scores.iter().map(|s| (s.0 - highest).exp2()).collect();
    let total: f64 = weights.iter().sum();
    let value = keys.iter().zip(&weights).map(|((_, v), w)| v * w).sum::<f64>() / total;
    let magnitude = keys.iter().zip(&weights).map(|((_, v), w)| v.abs() * w).sum::<f64>() / total;
    let moved: f64 = keys
        .iter()
        .zip(&weights)
        .zip(&scores)
        .map(|(((_, v), w), s)| {
            let x = s.0 - highest;
            w * (v - value).abs() * (std::f64::consts::LN_2 * s.1 + EPS * (3.0 + 3.0 * x.abs()))
        })
        .sum::<f64>()
        / total;
    let n = keys.len();
    Approx::new(value, moved + 2.0 * bound::dot(n + n.div_ceil(16), magnitude))
}

fn cases() -> Vec<Case> {
    // query rows, own rows (same as query when 0), bank rows, heads, head size, spread of the queries: 2 gives scores
    // of a few units, a softmax neither flat nor a single key; at 60 exp2 of a score itself overflows
    [
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
    ]
    .into_iter()
    .map(|(queries, own, bank, heads, d, spread): (u32, u32, u32, u32, u32, f64)| {
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
                b.expect(&out, move |row, channel| {
                    let first = channel / d as usize * d as usize;
                    let own = (0..own as usize).map(|j| (k.row(j, first, d), v.at(j, channel)));
                    let bank = banked
                        .iter()
                        .flat_map(|(k, v)| (0..bank as usize).map(|j| (k.row(j, first, d), v.at(j, channel))));
                    twin(q.row(row, first, d), &own.chain(bank).collect::<Vec<_>>())
                });
            },
        )
        .of_flops(4 * (queries * heads * d) as u64 * (own + bank) as u64)
    })
    .collect()
}
