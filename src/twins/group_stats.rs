//! The f64 twin of `group_stats` and its cases.

use crate::check::bound::{Approx, Bound, EPS};
use crate::check::sum::Sum;
use crate::check::{Case, CaseBuilder, Fill};
use crate::kernels::group_stats::{KERNEL, chunk_len, record};
use crate::plan::{Channels, Policy};

/// Mean and M2 of some values, summed one after the other.
///
/// Bounds: the mean is a sum (see `Sum`) and a division of 2.5 ulp. A deviation and its square are rounded: three units in all. If the mean
/// is off by m, the deviations add n m^2 to M2, and 2 m times the sum of those roundings; the deviations themselves sum to zero.
pub fn moments(values: &[f64]) -> [Approx; 2] {
    let n = values.len() as f64;
    let sum = Sum::of(values.iter().copied());
    let mean = sum.value() / n;
    let off = sum.additions() * n.recip() + 2.5 * EPS * mean.abs();
    let m2 = Sum::of(values.iter().map(|v| (v - mean).powi(2)));
    let spread: f64 = values.iter().map(|v| (v - mean).abs()).sum();
    let whole = off == Bound::default() && m2.is_exact();
    let rounding = if whole { Bound::default() } else { Bound::rounding(3.0 * m2.value()) };
    let from_mean = off * off * n + off * Bound::rounding(6.0 * spread);
    [Approx::new(mean, off), Approx::new(m2.value(), m2.additions() + rounding + from_mean)]
}

pub fn cases() -> Vec<Case> {
    // height, width, channels, mean, bytes of a binding (0: the adapter's limit)
    [
        (64, 64, 320, 0.0, 0),
        (1, 1, 4, 1.0, 0),
        (7, 5, 6, 3.0, 0),
        (300, 1, 13, -20.0, 0),
        (129, 131, 64, 0.5, 0),
        (1024, 65, 256, 0.0, 0),
        (129, 131, 12, 0.5, 28 * 1024),
        // Chunks of the greatest length: 256 of them would not suffice.
        (2049, 2048, 1, 0.5, 0),
    ]
    .into_iter()
    .map(|(h, w, c, mean, limit)| {
        let case = case(format!("{h}x{w}x{c} mean {mean}"), (h, w, c), Fill::Normal { mean, std: 1.0 });
        if limit > 0 { case.with_binding_limit(limit) } else { case }
    })
    // Integers whose mean is 0, so nothing is rounded. Chunks of an even number of positions, 16 and 260.
    .chain([(64, 64, 320), (1024, 65, 13)].map(|size: (u32, u32, u32)| {
        let name = format!("{}x{}x{}, whole numbers", size.0, size.1, size.2);
        case(name, size, Fill::Balanced { most: 255, apart: size.2 as usize })
    }))
    .chain(edges())
    .collect()
}

/// Values and sizes that the other cases do not reach.
fn edges() -> Vec<Case> {
    const NORMAL: Fill = Fill::Normal { mean: 0.5, std: 1.0 };
    let chunks = (1..=5).flat_map(|n| (1..=3).map(move |c| (n, 64, 16 * c))).collect();
    let few = |case: Case| case.stored_as(&[Policy::F32, Policy::PACKED]);
    vec![
        of("33x1x6 of one value", vec![(33, 1, 6)], Fill::Of(&[3.0])),
        of("33x1x6 of one negative value", vec![(33, 1, 6)], Fill::Of(&[-0.7])),
        of("33x1x6 of zeros", vec![(33, 1, 6)], Fill::Of(super::ZEROS)),
        of("40x5x9 of all kinds of values", vec![(40, 5, 9)], Fill::Of(super::WIDE)),
        of("40x1x9 of alternating signs", vec![(40, 1, 9)], Fill::Of(&[6e4, -6e4])),
        // Chunks have 16 positions, blocks 64 vec4s of chunks.
        few(of("1 to 66 positions", (1..=66).map(|n| (1, n, 3)).collect(), NORMAL)),
        few(of("1 to 130 vec4s", (1..=130).map(|n| (2, 1, 4 * n - 1)).collect(), NORMAL)),
        // Chunks of 64 positions, and channels that fill whole subgroups.
        few(of("64 to 320 positions of 16 to 48 channels", chunks, NORMAL)),
        of("64x5x16 of one value", vec![(64, 5, 16)], Fill::Of(&[-0.7])),
        of("64x5x16 of all kinds of values", vec![(64, 5, 16)], Fill::Of(super::WIDE)),
        of("64x1x16 of alternating signs", vec![(64, 1, 16)], Fill::Of(&[6e4, -6e4])),
        of("40x64x16", vec![(40, 64, 16)], NORMAL).with_binding_limit(28 * 1024).with_alignment(8192),
        super::bound_whole(of("4100x4100x3", vec![(super::MANY.0, super::MANY.1, 3)], NORMAL)),
        of("40x40x40", vec![(40, 40, 40)], NORMAL).with_workgroup_limit(5),
    ]
}

fn case(name: String, shape: (u32, u32, u32), fill: Fill) -> Case {
    Case::new(&KERNEL, name, move |b| build(b, shape, fill))
}

fn of(name: &str, shapes: Vec<(u32, u32, u32)>, fill: Fill) -> Case {
    super::sweep(&KERNEL, name, shapes, move |b, shape| build(b, shape, fill))
}

fn build(b: &mut CaseBuilder, (h, w, c): (u32, u32, u32), fill: Fill) {
    let x = b.input("x", h, w, Channels::one(c), b.values(), fill);
    let len = chunk_len(&b.recorder, h * w, 1);
    let stats = record(&mut b.recorder, &x.tensor, len);
    let len = stats.chunk_len as usize;
    b.expect(&stats.values, move |row, channel| {
        let (chunk, row) = (row / 2, row % 2);
        let end = ((chunk + 1) * len).min(x.rows());
        let values: Vec<f64> = (chunk * len..end).map(|p| x.at(p, channel)).collect();
        moments(&values)[row]
    });
}
