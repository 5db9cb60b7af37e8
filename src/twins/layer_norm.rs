//! The f64 twin of `layer_norm` and its cases.

use crate::check::bound::{Approx, EPS};
use crate::check::{Case, CaseBuilder, Fill};
use crate::kernels::layer_norm::{KERNEL, record};
use crate::plan::{Channels, Element};

/// Bounds: sums over n channels in four lanes, sqrt(n / 4) u each (see `bound`); the deviation carries the
/// mean's error and its own rounding, the scale half the variance's relative error.
fn twin(row: &[f64], c: usize, weight: f64, bias: f64, eps: f64) -> Approx {
    let n = row.len() as f64;
    let mean = row.iter().sum::<f64>() / n;
    let magnitude = row.iter().map(|v| v.abs()).sum::<f64>() / n;
    let var = row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
    let sum_error = EPS * ((n / 4.0).sqrt() + 4.0);
    let mean_error = sum_error * magnitude;
    let var_error =
        sum_error * var + 2.0 * EPS * var.sqrt() * (magnitude + mean.abs()) / n.sqrt() + mean_error * mean_error;
    let inv_std = 1.0 / (var + eps).sqrt();
    let d = row[c] - mean;
    let d_error = mean_error + EPS * d.abs();
    let v = d * inv_std * weight;
    let error = d_error * (inv_std * weight).abs() + v.abs() * (0.5 * var_error / (var + eps) + 6.0 * EPS);
    Approx::new(v + bias, error + EPS * (v.abs() + bias.abs()))
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
        let case = Case::new(&KERNEL, format!("{tokens}x{c} mean {mean} spread {std}"), move |b: &mut CaseBuilder| {
            let channels = Channels::one(c);
            let x = b.input("x", 1, tokens, channels.clone(), b.values(), Fill::Normal { mean, std });
            let weight = b.input("weight", 1, 1, channels.clone(), Element::F32, Fill::Normal { mean: 1.0, std: 0.3 });
            let bias = b.input("bias", 1, 1, channels, Element::F32, Fill::Normal { mean: 0.0, std: 0.5 });
            let eps = 1e-5;
            let out = record(&mut b.recorder, &x.tensor, &weight.tensor, &bias.tensor, eps);
            b.expect(&out, move |p, channel| {
                let row: Vec<f64> = (0..c as usize).map(|i| x.at(p, i)).collect();
                twin(&row, channel, weight.at(0, channel), bias.at(0, channel), eps as f64)
            });
        });
        if limit > 0 { case.with_binding_limit(limit) } else { case }
    })
    .collect()
}
