//! The f64 twin of `group_norm` and its cases.

use super::group_stats;
use crate::check::bound::{Approx, Bound, EPS};
use crate::check::sum::Sum;
use crate::check::{Case, CaseBuilder, Fill, HostTensor};
use crate::kernels::group_norm::{KERNEL, record};
use crate::kernels::{LANES, group_stats as kernel};
use crate::plan::{Channels, Element, Policy};
use std::cell::OnceCell;

/// Mean and variance of a group.
#[derive(Clone, Copy)]
struct Moments {
    mean: Approx,
    var: Approx,
}

impl Moments {
    /// From the statistics by `group_stats` of each chunk of each of its channels, and the chunks' lengths.
    ///
    /// Bounds: sums in 64 lanes and a tree (see `Sum`), of terms that have errors themselves. The mean: each chunk's mean, and a product.
    /// M2: each chunk's M2; then the square of its mean's deviation, whose difference, square and product are rounded, and which carries
    /// the errors of both means; a sum. Then a division of 2.5 ulp by a number of values that may be rounded itself.
    fn of(chunks: &[(f64, [Approx; 2])]) -> Moments {
        let n: f64 = chunks.iter().map(|c| c.0).sum();
        let lanes = f64::from(LANES as u32);
        let sum = Sum::of(chunks.iter().map(|(count, [mean, _])| count * mean.value));
        let mean = sum.value() / n;
        let given: Bound = chunks.iter().map(|(count, [mean, _])| mean.bound * *count).sum();
        let products = if sum.is_exact() { Bound::default() } else { Bound::rounding(sum.magnitude()) };
        let off = (given + sum.additions_in(lanes) + products) * n.recip() + 3.5 * EPS * mean.abs();
        let mut m2 = Sum::default();
        let mut error = Bound::default();
        for (count, [chunk, within]) in chunks {
            let d = chunk.value - mean;
            let moved = chunk.bound + off;
            m2.add(within.value + count * d * d);
            error += within.bound + (chunk.bound * (2.0 * d.abs()) + moved * moved) * *count;
            error += Bound::rounding(4.0 * count * d * d);
        }
        if !m2.is_exact() {
            error += Bound::rounding(m2.value());
        }
        let var = m2.value() / n;
        let error = (error + m2.additions_in(lanes)) * n.recip() + 3.5 * EPS * var;
        Moments { mean: Approx::new(mean, off), var: Approx::new(var, error) }
    }
}

/// Scale (row 0) or shift (row 1) of a channel.
///
/// Bounds of the scale: half the relative error of the variance, to which eps is added; 2 + 2.5 + 2.5 ulp for the inverse, the root and its
/// inverse; and a product. Bounds of the shift: the mean's error times the scale, a product and a difference.
fn twin(Moments { mean, var }: Moments, weight: f64, bias: f64, eps: f64, row: usize) -> Approx {
    let scale = weight / (var.value + eps).sqrt();
    let relative = (var.bound + Bound::rounding(var.value + eps)) * (0.5 / (var.value + eps));
    let scale_error = (relative + 7.0 * EPS) * scale.abs() + Bound::rounding(scale);
    if row == 0 {
        return Approx::new(scale, scale_error);
    }
    let (product, shift) = (mean.value * scale, bias - mean.value * scale);
    let moved = scale_error * mean.value.abs() + mean.bound * scale.abs();
    Approx::new(shift, moved + Bound::rounding(product) + Bound::rounding(shift))
}

pub fn cases() -> Vec<Case> {
    // height, width, channels of a and b, groups, mean
    [
        (64, 64, 320, 0, 32, 0.2),
        (8, 8, 1280, 1280, 32, 0.0),
        (5, 3, 18, 30, 6, 2.0),
        (1, 1, 32, 0, 16, 0.0),
        (33, 9, 7, 5, 3, -5.0),
        (96, 80, 128, 0, 32, 8.0),
        // Loops some ten times as long as those of any published network.
        (64, 64, 1024, 0, 1, 0.2),
    ]
    .into_iter()
    .map(|(h, w, ca, cb, groups, mean)| {
        let name = format!("{h}x{w}x({ca}+{cb}) groups {groups} mean {mean}");
        of(&name, vec![(h, w, ca, cb, groups)], Fill::Normal { mean, std: 1.5 })
    })
    .chain(edges())
    .collect()
}

/// Values and sizes that the other cases do not reach.
fn edges() -> Vec<Case> {
    const NORMAL: Fill = Fill::Normal { mean: 0.5, std: 1.5 };
    let few = |case: Case| case.stored_as(&[Policy::F32, Policy::PACKED]);
    // One chunk of at most 16 positions, and two: their entries cover every remainder of blocks of 64.
    let lengths = [3, 17].into_iter().flat_map(|h| (1..=130).map(move |c| (h, 1, c, 0, 1))).collect();
    let seams = (1..=6).flat_map(|a| (1..=6).map(move |b| (2, 3, 2 * a, 2 * b, 2))).collect();
    vec![
        // Groups without variance.
        of("5x3x(18+30) groups 6 of one value", vec![(5, 3, 18, 30, 6)], Fill::Of(&[3.0])),
        of("5x3x(18+30) groups 6 of zeros", vec![(5, 3, 18, 30, 6)], Fill::Of(super::ZEROS)),
        of("1x1x(32+0) groups 32", vec![(1, 1, 32, 0, 32)], NORMAL),
        of("20x2x(16+0) groups 4, every other of one value", vec![(20, 2, 16, 0, 4)], Fill::At(some_constant)),
        of("33x2x(16+0) groups 4 of all kinds of values", vec![(33, 2, 16, 0, 4)], Fill::Of(super::WIDE)),
        of("9x2x(16+0) groups 4 of alternating signs", vec![(9, 2, 16, 0, 4)], Fill::Of(&[6e4, -6e4])),
        few(of("groups of 1 to 130 channels", lengths, NORMAL)),
        few(of("seams at 2 to 12 of 4 to 24 channels", seams, NORMAL)),
    ]
}

fn some_constant(p: usize, c: usize) -> f32 {
    if c % 8 < 4 { -1.25 } else { ((7 * p + 3 * c) % 11) as f32 }
}

fn of(name: &str, shapes: Vec<(u32, u32, u32, u32, u32)>, fill: Fill) -> Case {
    super::sweep(&KERNEL, name, shapes, move |b, shape| build(b, shape, fill))
}

fn build(b: &mut CaseBuilder, (h, w, ca, cb, groups): (u32, u32, u32, u32, u32), fill: Fill) {
    let x = b.input("a", h, w, Channels::one(ca), b.values(), fill);
    let y = (cb > 0).then(|| b.input("b", h, w, Channels::one(cb), b.values(), fill));
    let channels = y.as_ref().map_or(x.tensor.channels.clone(), |y| x.tensor.channels.concat(&y.tensor.channels));
    let spread = Fill::Normal { mean: 1.0, std: 0.3 };
    let weight = b.input("weight", 1, 1, channels.clone(), Element::F32, spread);
    let bias = b.input("bias", 1, 1, channels, Element::F32, spread);
    let len = kernel::chunk_len(&b.recorder, h * w, (ca + cb) / groups);
    let sx = kernel::record(&mut b.recorder, &x.tensor, len);
    let sy = y.as_ref().map(|y| kernel::record(&mut b.recorder, &y.tensor, len));
    let second = y.as_ref().zip(sy.as_ref()).map(|(y, s)| (&y.tensor, s));
    let eps = 1e-5;
    let affine = record(&mut b.recorder, (&x.tensor, &sx), second, &weight.tensor, &bias.tensor, groups, eps);
    let per_group = ((ca + cb) / groups) as usize;
    let at = move |x: &HostTensor, y: &Option<HostTensor>, p: usize, c: usize| match y {
        Some(y) if c >= ca as usize => y.at(p, c - ca as usize),
        _ => x.at(p, c),
    };
    let moments: Vec<OnceCell<Moments>> = vec![OnceCell::new(); groups as usize];
    b.expect(&affine, move |row, channel| {
        let group = channel / per_group;
        let moments = *moments[group].get_or_init(|| {
            let length = sx.chunk_len as usize;
            let mut chunks = Vec::new();
            for from in (0..x.rows()).step_by(length) {
                let to = (from + length).min(x.rows());
                for c in group * per_group..(group + 1) * per_group {
                    let values: Vec<f64> = (from..to).map(|p| at(&x, &y, p, c)).collect();
                    chunks.push(((to - from) as f64, group_stats::moments(&values)));
                }
            }
            Moments::of(&chunks)
        });
        twin(moments, weight.at(0, channel), bias.at(0, channel), eps as f64, row)
    });
}
