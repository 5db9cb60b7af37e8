//! The f64 twin of `layer_norm` and its cases.

use crate::check::bound::{Approx, Bound, EPS};
use crate::check::sum::Sum;
use crate::check::{Case, CaseBuilder, Fill};
use crate::kernels::layer_norm::{KERNEL, record};
use crate::plan::{Channels, Element};

/// Bounds: sums over the channels in four lanes (see `Sum`); as in `group_stats`, but M2 is summed over the lanes, too. The deviation
/// carries the mean's error and its own rounding, the scale half the variance's relative error and what division, sum,
/// inverse of the root and its root err by: 2.5 + 1 of the variance, 2 + 2.5 + 2.5 of the scale. Then two products and a sum.
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
    // tokens, channels, mean, spread, bytes of a binding (0: what the adapter has)
    [
        (4096, 320, 0.0, 2.0, 0),
        (64, 1280, 0.5, 2.0, 0),
        (1, 4, 1.0, 2.0, 0),
        (67, 18, -3.0, 2.0, 0),
        (130, 7, 10.0, 2.0, 0),
        (67, 18, 0.0, 0.003, 0),
        (301, 20, 0.5, 2.0, 4096),
        // About as many channels as its loops can go through.
        (3, 79_990, 0.5, 2.0, 0),
    ]
    .into_iter()
    .map(|(tokens, c, mean, std, limit)| {
        let case = case(format!("{tokens}x{c} mean {mean} spread {std}"), tokens, c, Fill::Normal { mean, std });
        if limit > 0 { case.with_binding_limit(limit) } else { case }
    })
    // Whole numbers whose mean is 0: no sum is rounded.
    .chain([(256, 320), (9, 1280)].map(|(tokens, c)| {
        case(format!("{tokens}x{c}, whole numbers"), tokens, c, Fill::Balanced { most: 63, apart: 1 })
    }))
    .collect()
}

fn case(name: String, tokens: u32, c: u32, fill: Fill) -> Case {
    Case::new(&KERNEL, name, move |b: &mut CaseBuilder| {
        let channels = Channels::one(c);
        let x = b.input("x", 1, tokens, channels.clone(), b.values(), fill);
        let weight = b.input("weight", 1, 1, channels.clone(), Element::F32, Fill::Normal { mean: 1.0, std: 0.3 });
        let bias = b.input("bias", 1, 1, channels, Element::F32, Fill::Normal { mean: 0.0, std: 0.5 });
        let eps = 1e-5;
        let out = record(&mut b.recorder, &x.tensor, &weight.tensor, &bias.tensor, eps);
        b.expect(&out, move |p, channel| {
            let row: Vec<f64> = (0..c as usize).map(|i| x.at(p, i)).collect();
            twin(&row, channel, weight.at(0, channel), bias.at(0, channel), eps as f64)
        });
    })
}
