//! The f64 twin of `attention` and its cases.

use crate::check::bound::{self, Approx, EPS};
use crate::check::{Case, CaseBuilder, Fill, HostTensor};
use crate::kernels::attention::{KERNEL, KeyValue, record};
use crate::plan::Channels;
use std::cell::RefCell;

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

pub fn cases() -> Vec<Case> {
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
    // More queries than a dispatch may have workgroups: of one slice, of several, and of parts.
    cases.push(case((70, 0, 37, 3, 10, 2.0)).with_workgroup_limit(3));
    cases.push(case((135, 9, 21, 2, 80, 2.0)).with_workgroup_limit(3));
    cases.push(case((57, 145, 30, 2, 40, 2.0)).with_binding_limit(42 * 1024).with_workgroup_limit(2));
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
                b.input(name, 1, rows, channels.clone(), b.values(), Fill::Normal { mean: 0.1, std })
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
}
