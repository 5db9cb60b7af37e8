//! The f64 twin of `group_norm` and its cases.

use crate::check::bound::{Approx, EPS};
use crate::check::{Case, CaseBuilder, Fill, HostTensor};
use crate::kernels::group_norm::{KERNEL, record};
use crate::kernels::{LANES, group_stats};
use crate::plan::{Channels, Element};
use std::cell::OnceCell;

/// Mean, mean of magnitudes, and variance of a group.
#[derive(Clone, Copy)]
struct Moments {
    n: f64,
    mean: f64,
    magnitude: f64,
    var: f64,
}

impl Moments {
    fn of(group: impl Iterator<Item = f64> + Clone) -> Moments {
        let n = group.clone().count() as f64;
        let mean = group.clone().sum::<f64>() / n;
        let magnitude = group.clone().map(f64::abs).sum::<f64>() / n;
        Moments { n, mean, magnitude, var: group.map(|v| (v - mean).powi(2)).sum::<f64>() / n }
    }
}

/// Scale (row 0) or shift (row 1) of a channel.
///
/// Bounds: statistics are sums of means and M2 over `n` chunk entries, each already within the bound of
/// `group_stats`; the scale errs by half the relative error of the variance plus a few roundings, the
/// shift by the mean's error times the scale.
fn twin(group: Moments, chunk_len: usize, weight: f64, bias: f64, eps: f64, row: usize) -> Approx {
    let Moments { n, mean, magnitude, var } = group;
    let entries = (n / chunk_len as f64).max(1.0);
    let sum_error = EPS * ((chunk_len as f64).sqrt() + (entries / LANES as f64).sqrt() + 8.0);
    let mean_error = sum_error * magnitude;
    // A deviation's subtraction rounds by u |x|; over n of them the sum gains 2 u |x| |d| / sqrt(n).
    let var_error = sum_error * var
        + 2.0 * EPS * var.sqrt() * (mean.abs() + magnitude) / (chunk_len as f64).sqrt()
        + mean_error * mean_error;
    let scale = weight / (var + eps).sqrt();
    let scale_error = scale.abs() * (0.5 * var_error / (var + eps) + 5.0 * EPS);
    if row == 0 {
        return Approx::new(scale, scale_error);
    }
    let shift = bias - mean * scale;
    Approx::new(
        shift,
        mean.abs() * scale_error + mean_error * scale.abs() + 2.0 * EPS * (bias.abs() + (mean * scale).abs()),
    )
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
        // Loops some ten times as long as any published network's.
        (64, 64, 1024, 0, 1, 0.2),
    ]
    .into_iter()
    .map(|(h, w, ca, cb, groups, mean)| {
        Case::new(&KERNEL, format!("{h}x{w}x({ca}+{cb}) groups {groups} mean {mean}"), move |b: &mut CaseBuilder| {
            let fill = Fill::Normal { mean, std: 1.5 };
            let x = b.input("a", h, w, Channels::one(ca), b.values(), fill);
            let y = (cb > 0).then(|| b.input("b", h, w, Channels::one(cb), b.values(), fill));
            let channels =
                y.as_ref().map_or(x.tensor.channels.clone(), |y| x.tensor.channels.concat(&y.tensor.channels));
            let spread = Fill::Normal { mean: 1.0, std: 0.3 };
            let weight = b.input("weight", 1, 1, channels.clone(), Element::F32, spread);
            let bias = b.input("bias", 1, 1, channels, Element::F32, spread);
            let sx = group_stats::record(&mut b.recorder, &x.tensor);
            let sy = y.as_ref().map(|y| group_stats::record(&mut b.recorder, &y.tensor));
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
                let channels = group * per_group..(group + 1) * per_group;
                let values = (0..x.rows()).flat_map(|p| channels.clone().map(move |c| (p, c)));
                let moments = *moments[group].get_or_init(|| Moments::of(values.map(|(p, c)| at(&x, &y, p, c))));
                twin(moments, sx.chunk_len as usize, weight.at(0, channel), bias.at(0, channel), eps as f64, row)
            });
        })
    })
    .collect()
}
