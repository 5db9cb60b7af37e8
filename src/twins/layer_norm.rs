//! The f64 twin of `layer_norm` and its cases.

use crate::check::bound::{Approx, Bound, EPS};
use crate::check::sum::Sum;
use crate::check::{Case, CaseBuilder, Fill};
use crate::kernels::layer_norm::{KERNEL, record};
use crate::plan::{Channels, Element, Policy};

/// Bounds: sums over the channels in four lanes (see `Sum`), as in `group_stats`, but M2 is summed over the lanes, too. The deviation
/// carries the mean's error and its own rounding; the scale carries half the variance's relative error and the errors of division, sum,
/// inverse of the root and its root: 2.5 + 1 of the variance, 2 + 2.5 + 2.5 of the scale. Then two products and a sum.
fn twin(row: &[f64], c: usize, weight: f64, bias: f64, eps: f64) -> Approx {
    let n = row.len() as f64;
    let sum = Sum::of(row.iter().copied());
    let mean = sum.value() / n;
    let mean_error = sum.additions_in(4.0) * n.recip() + 2.5 * EPS * mean.abs();
    let m2 = Sum::of(row.iter().map(|v| (v - mean).powi(2)));
    let var = m2.value() / n;
    let rounding = if m2.is_exact() && mean_error == Bound::default() { 0.0 } else { 3.0 };
    let from_mean = mean_error * mean_error + mean_error * Bound::rounding(6.0 * var.sqrt());
    let var_error = m2.additions_in(4.0) * n.recip() + Bound::rounding(rounding * var) + from_mean;
    let relative = (var_error + 2.5 * EPS * var + Bound::rounding(var + eps)) * (0.5 / (var + eps)) + 7.0 * EPS;
    let inv_std = 1.0 / (var + eps).sqrt();
    let d = row[c] - mean;
    let d_error = mean_error
        + if mean_error == Bound::default() && d as f32 as f64 == d { Bound::default() } else { Bound::rounding(d) };
    let v = d * inv_std * weight;
    let error = d_error * (inv_std * weight).abs() + (relative + Bound::rounding(2.0)) * v.abs();
    Approx::new(v + bias, error + Bound::rounding(v + bias))
}

pub fn cases() -> Vec<Case> {
    // tokens, channels, mean, spread, bytes of a binding (0: the adapter's limit)
    [
        (4096, 320, 0.0, 2.0, 0),
        (64, 1280, 0.5, 2.0, 0),
        (1, 4, 1.0, 2.0, 0),
        (67, 18, -3.0, 2.0, 0),
        (130, 7, 10.0, 2.0, 0),
        (67, 18, 0.0, 0.003, 0),
        (301, 20, 0.5, 2.0, 4096),
        // About as many channels as its loops can process.
        (3, 79_990, 0.5, 2.0, 0),
    ]
    .into_iter()
    .map(|(tokens, c, mean, std, limit)| {
        let case = case(format!("{tokens}x{c} mean {mean} spread {std}"), tokens, c, Fill::Normal { mean, std });
        if limit > 0 { case.with_binding_limit(limit) } else { case }
    })
    // Integers whose mean is 0, so no sum is rounded.
    .chain([(256, 320), (9, 1280)].map(|(tokens, c)| {
        case(format!("{tokens}x{c}, whole numbers"), tokens, c, Fill::Balanced { most: 63, apart: 1 })
    }))
    .chain(edges())
    .collect()
}

/// Values and sizes that the other cases do not reach.
fn edges() -> Vec<Case> {
    const NORMAL: Fill = Fill::Normal { mean: 0.5, std: 2.0 };
    let few = |case: Case| case.stored_as(&[Policy::F32, Policy::PACKED]);
    vec![
        // Tokens without variance.
        of("3x24 of one value", vec![(3, 24)], Fill::Of(&[3.0])),
        of("3x7 of one negative value", vec![(3, 7)], Fill::Of(&[-0.7])),
        of("3x20 of zeros", vec![(3, 20)], Fill::Of(super::ZEROS)),
        of(
            "5x20, every other token of one value",
            vec![(5, 20)],
            Fill::At(|p, c| if p % 2 == 0 { 1.5 } else { c as f32 }),
        ),
        of("40x21 of all kinds of values", vec![(40, 21)], Fill::Of(super::WIDE)),
        of("9x16 of alternating signs", vec![(9, 16)], Fill::Of(&[6e4, -6e4])),
        of("5x16 of values whose squares are no normal numbers", vec![(5, 16)], Fill::Of(&[6e-5, -6e-5, 1.2e-4])),
        Case::new(&KERNEL, "5x20 of results that no half holds".into(), |b| {
            let one = Fill::At(|p, c| if (p + c / 2) % 2 == 0 { 1.0 } else { -1.0 } * (1.0 + p as f32 / 7.0));
            let weight = Fill::At(|_, c| if super::overflows(c) { 1e5 } else { 0.77 + 0.1 * c as f32 });
            build_with(b, (5, 20), one, weight);
        })
        .stored_as(super::HALVES),
        // Blocks have 64 tokens.
        few(of("1 to 130 tokens", (1..=130).map(|n| (n, 5)).collect(), NORMAL)),
        few(of("1 to 70 channels", (1..=70).map(|n| (2, n)).collect(), NORMAL)),
        of("300x7", vec![(300, 7)], NORMAL).with_workgroup_limit(3),
        // More tokens than 16 bits hold.
        few(of("65600x3", vec![(65_600, 3)], NORMAL)),
        few(of("4194400x3", vec![(4_194_400, 3)], NORMAL)).in_full_only(),
        super::bound_whole(of("16810000x3", vec![(super::MANY.0 * super::MANY.1, 3)], NORMAL)),
    ]
}

fn case(name: String, tokens: u32, c: u32, fill: Fill) -> Case {
    Case::new(&KERNEL, name, move |b| build(b, (tokens, c), fill))
}

fn of(name: &str, shapes: Vec<(u32, u32)>, fill: Fill) -> Case {
    super::sweep(&KERNEL, name, shapes, move |b, shape| build(b, shape, fill))
}

fn build(b: &mut CaseBuilder, shape: (u32, u32), fill: Fill) {
    build_with(b, shape, fill, Fill::Normal { mean: 1.0, std: 0.3 });
}

fn build_with(b: &mut CaseBuilder, (tokens, c): (u32, u32), fill: Fill, weight: Fill) {
    let channels = Channels::one(c);
    let x = b.input("x", 1, tokens, channels.clone(), b.values(), fill);
    let weight = b.input("weight", 1, 1, channels.clone(), Element::F32, weight);
    let bias = b.input("bias", 1, 1, channels, Element::F32, Fill::Normal { mean: 0.0, std: 0.5 });
    let eps = 1e-5;
    let out = record(&mut b.recorder, &x.tensor, &weight.tensor, &bias.tensor, eps);
    b.expect(&out, move |p, channel| {
        let row: Vec<f64> = (0..c as usize).map(|i| x.at(p, i)).collect();
        twin(&row, channel, weight.at(0, channel), bias.at(0, channel), eps as f64)
    });
}
