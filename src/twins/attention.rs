//! The f64 twin of `attention` and its cases.

mod edges;

use crate::check::bound::{Approx, Bound, EPS, TINY};
use crate::check::sum::Sum;
use crate::check::{Case, CaseBuilder, Fill, HostTensor};
use crate::kernels::attention::{KERNEL, KeyValue, Layer, record};
use crate::plan::Channels;
use std::cell::RefCell;

/// Exact scores of one query and head in units of exp2, each with its bound: the error of the dot product, of the scale, which the host
/// rounds, and of the product with it.
fn scores<'a>(q: &[f32], keys: impl Iterator<Item = &'a [f32]>) -> Vec<Approx> {
    let scale = std::f64::consts::LOG2_E / (q.len() as f64).sqrt();
    let one = |k: &[f32]| {
        let products = Sum::of(q.iter().zip(k).map(|(&a, &b)| f64::from(a) * f64::from(b)));
        let score = products.value() * scale;
        let rounding = if score == 0.0 { Bound::default() } else { Bound::rounding(score) + EPS / 2.0 * score.abs() };
        Approx::new(score, products.products() * scale + rounding)
    };
    keys.map(one).collect()
}

/// Exact attention of one channel of a query and head, and its bound.
///
/// A score's error times ln 2 is the relative error of its weight. The difference to the maximum adds its rounding, and exp2 adds 3 + 2 |x|
/// ulp (WGSL). A weight's error moves the result by its share of v - out. The errors of the scores do not depend on the values, which are
/// drawn independently: the shares have either sign, and four times the root of the sum of their squares exceeds their sum (and is never
/// more than the sum of all).
///
/// Sums run over all keys, and the sums so far are rescaled once per tile of 16 or more. Each rescaling adds a rounding and a factor
/// exp2(0), which is accurate to 3 ulp: more often for the earlier keys than for the later ones, and equally for all values. Then follows a
/// division, or the product with a reciprocal. A part passes its sums on in f32, which rounds nothing.
fn twin(scores: &[Approx], values: &[f64]) -> Approx {
    let highest = scores.iter().map(|s| s.value).fold(f64::MIN, f64::max);
    let weights: Vec<f64> = scores.iter().map(|s| (s.value - highest).exp2()).collect();
    let weighted = Sum::of(values.iter().zip(&weights).map(|(v, w)| v * w));
    let total = Sum::of(weights.iter().copied());
    let value = weighted.value() / total.value();
    let tiles = (values.len() as f64 / 16.0).ceil();
    let (mut sum, mut squares) = (Bound::default(), Bound::default());
    let mut rescaled = 0.0;
    for ((v, w), s) in values.iter().zip(&weights).zip(scores) {
        let x = (s.value - highest).abs();
        let relative = (s.bound + Bound::rounding(x)) * std::f64::consts::LN_2 + EPS * (3.0 + 2.0 * x);
        let moved = relative * (w * (v - value).abs() / total.value());
        sum += moved;
        squares += moved * moved;
        rescaled += (w * (v - value) / total.value()).powi(2);
    }
    let four = |squares: f64| 4.0 * squares.sqrt();
    let moved = sum.min(Bound { wgsl: four(squares.wgsl), strict: four(squares.strict) });
    // exp2(0) is 1 on every implementation that documents it.
    let factors = Bound { wgsl: four(rescaled) * 3.0 * EPS * tiles, strict: 0.0 };
    // One rounding per addition, and one more per tile.
    let longer = |sum: &Sum| sum.additions() * (1.0 + tiles / values.len() as f64);
    let sums = (longer(&weighted) + Bound::rounding(weighted.magnitude())) * total.value().recip()
        + longer(&total) * (value.abs() / total.value());
    Approx::new(value, moved + factors + sums + 3.5 * EPS * value.abs() + TINY)
}

pub fn cases() -> Vec<Case> {
    // query rows, own rows (same as query when 0), bank rows, heads, head size, spread of the queries. A spread of 2 gives scores of a few
    // units: a softmax neither flat nor dominated by a single key. At 60, exp2 of a score itself overflows.
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
        (37, 5, 77, 3, 64, 2.0),
        (83, 45, 33, 2, 128, 2.0),
        (19, 0, 35, 2, 62, 2.0),
        (25, 0, 90, 1, 256, 60.0),
        (50, 7, 3, 2, 40, 2.0),
        (40, 0, 70, 2, 64, 60.0),
        (20, 0, 45, 1, 12, 60.0),
        // More keys than one dispatch's loops can process.
        (16, 4096, 32_768, 1, 64, 2.0),
        (16, 4096, 65_536, 1, 64, 2.0),
        (16, 5, 70_001, 1, 4, 2.0),
    ]
    .into_iter()
    .map(case)
    .collect();
    for shape in [(256, 0, 256, 20, 64, 2.0), (64, 0, 192, 8, 160, 2.0), (100, 0, 0, 1, 512, 2.0)] {
        cases.push(case_of(shape, true));
    }
    // Parts split where a binding ends: from both sources, with scores beyond exp2's range, and with several slices.
    for (shape, bytes) in [
        ((31, 145, 300, 2, 80, 2.0), 42 * 1024),
        ((17, 5, 203, 1, 12, 60.0), 2048),
        ((9, 9, 150, 1, 515, 2.0), 80 * 1024),
        ((57, 145, 300, 3, 64, 2.0), 48 * 1024),
        ((41, 37, 150, 1, 256, 2.0), 48 * 1024),
    ] {
        cases.push(case(shape).with_binding_limit(bytes));
    }
    // A part's keys begin between two aligned offsets.
    cases.push(case((31, 145, 300, 2, 80, 2.0)).with_binding_limit(42 * 1024).with_alignment(8192));
    // More queries than a dispatch may have workgroups: with one slice, with several, and in parts.
    cases.push(case((70, 0, 37, 3, 10, 2.0)).with_workgroup_limit(3));
    cases.push(case((135, 9, 21, 2, 80, 2.0)).with_workgroup_limit(3));
    cases.push(case((57, 145, 30, 2, 40, 2.0)).with_binding_limit(42 * 1024).with_workgroup_limit(2));
    cases.push(case((135, 9, 41, 2, 128, 2.0)).with_workgroup_limit(4));
    // A bank in several tensors: whole tiles of each form, fewer keys than a tile, a binding that is split again, heads of several sections.
    for (shape, piece) in
        [((57, 145, 300, 3, 64), 128), ((31, 9, 45, 2, 80), 20), ((17, 5, 203, 1, 12), 67), ((41, 37, 150, 1, 256), 64)]
    {
        cases.push(case_in_pieces(shape, piece));
    }
    cases.push(case_in_pieces((57, 145, 300, 3, 64), 130).with_binding_limit(48 * 1024));
    cases.extend(edges::cases());
    cases
}

/// Query rows, own rows, bank rows, heads, head size.
type Shape = (u32, u32, u32, u32, u32);

const fn normal(std: f64) -> Fill {
    Fill::Normal { mean: 0.1, std }
}

fn case(shape: (u32, u32, u32, u32, u32, f64)) -> Case {
    case_of(shape, false)
}

/// A layer of a model, with a softmax that is neither flat nor dominated by a single key.
pub(super) fn case_of_layer(layer: &Layer) -> Case {
    let &Layer { queries, own, bank, heads, d4 } = layer;
    case((queries, own, bank, heads, 4 * d4, 2.0))
}

/// `whole`: queries and keys are integers times a unit, so a score's sum is exact.
fn case_of((queries, own, bank, heads, d, spread): (u32, u32, u32, u32, u32, f64), whole: bool) -> Case {
    let own = if own == 0 { queries } else { own };
    let numbers = if whole { ", whole numbers" } else { "" };
    let name = format!("{queries} queries of spread {spread}, {own} + {bank} keys, {heads} heads of {d}{numbers}");
    let mut filled = [normal(spread), normal(1.0)];
    if whole {
        let unit = spread * f64::from(d).sqrt() / Fill::deviation(d, [1.0; 2]);
        filled = Fill::products(d, [1.0 / 256.0, (unit * 256.0).log2().round().exp2()]);
    }
    let fills = [filled[0], filled[1], normal(1.0)];
    Case::new(&KERNEL, name, move |b| build(b, (queries, own, bank, heads, d), fills))
}

/// The bank in pieces of `piece` rows; the last one has the remainder.
fn case_in_pieces((queries, own, bank, heads, d): Shape, piece: u32) -> Case {
    let name = format!("{queries} queries, {own} + {bank} keys in pieces of {piece}, {heads} heads of {d}");
    let fills = [normal(2.0), normal(1.0), normal(1.0)];
    Case::new(&KERNEL, name, move |b| build_in_pieces(b, (queries, own, bank, heads, d), piece, fills))
}

/// Fills queries, keys and values as `fills` says, those of both sources alike.
fn build(b: &mut CaseBuilder, shape: Shape, fills: [Fill; 3]) {
    build_in_pieces(b, shape, u32::MAX, fills);
}

/// Like [`build`], with the bank in pieces of `piece` rows.
fn build_in_pieces(b: &mut CaseBuilder, (queries, own, bank, heads, d): Shape, piece: u32, fills: [Fill; 3]) {
    let channels = Channels::heads(heads, d);
    let mut input = |name: &str, rows: u32, fill: Fill| b.input(name, 1, rows, channels.clone(), b.values(), fill);
    let q = input("q", queries, fills[0]);
    let mut all = vec![(input("own.k", own, fills[1]), input("own.v", own, fills[2]))];
    for from in (0..bank).step_by(piece as usize) {
        let rows = piece.min(bank - from);
        all.push((input("bank.k", rows, fills[1]), input("bank.v", rows, fills[2])));
    }
    let source = |(k, v): &(HostTensor, HostTensor)| KeyValue { k: k.tensor.clone(), v: v.tensor.clone() };
    let sources: Vec<KeyValue> = all.iter().map(source).collect();
    let out = record(&mut b.recorder, "out", &q.tensor, &sources[0], &sources[1..]);
    // All channels of a head, which come one after the other, share their scores.
    let known = RefCell::new((usize::MAX, Vec::new()));
    b.expect(&out, move |row, channel| {
        let head = channel / d as usize;
        let mut known = known.borrow_mut();
        if known.0 != row * heads as usize + head {
            let first = head * d as usize;
            let keys = all.iter().flat_map(|(k, _)| (0..k.rows()).map(move |j| k.row(j, first, d)));
            *known = (row * heads as usize + head, scores(q.row(row, first, d), keys));
        }
        let values: Vec<f64> = all.iter().flat_map(|(_, v)| (0..v.rows()).map(move |j| v.at(j, channel))).collect();
        twin(&known.1, &values)
    });
}
