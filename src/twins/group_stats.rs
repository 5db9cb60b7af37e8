//! The f64 twin of `group_stats` and its cases.

use crate::check::bound::{Approx, EPS};
use crate::check::{Case, CaseBuilder, Fill};
use crate::kernels::group_stats::{KERNEL, record};
use crate::plan::Channels;

/// Mean (row 0) or M2 (row 1) of a chunk of one channel.
///
/// Bounds: a sum of n terms of one sign errs by sqrt(n) u sum|x| (see `bound`); the mean's error d enters
/// M2 as n d^2, each squared deviation as 2 |x - m| (d + u |x - m|).
fn twin(values: &[f64], row: usize) -> Approx {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let magnitude: f64 = values.iter().map(|v| v.abs()).sum();
    let mean_error = EPS * (n.sqrt() + 2.0) * magnitude / n;
    if row == 0 {
        return Approx::new(mean, mean_error);
    }
    let m2: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    let spread: f64 = values.iter().map(|v| (v - mean).abs()).sum();
    // Deviations sum to zero, so the mean's error enters through its rounding in each term only.
    let subtraction =
        2.0 * EPS * values.iter().map(|v| (v - mean).abs() * v.abs().max(mean.abs())).sum::<f64>() / n.sqrt();
    Approx::new(m2, EPS * (n.sqrt() + 3.0) * m2 + subtraction + n * mean_error.powi(2) + EPS * spread * mean_error)
}

pub fn cases() -> Vec<Case> {
    // height, width, channels, mean, bytes of a binding (0: what the adapter has)
    [
        (64, 64, 320, 0.0, 0),
        (1, 1, 4, 1.0, 0),
        (7, 5, 6, 3.0, 0),
        (300, 1, 13, -20.0, 0),
        (129, 131, 64, 0.5, 0),
        (1024, 65, 256, 0.0, 0),
        (129, 131, 12, 0.5, 28 * 1024),
        // Chunks as long as they may be, one more than 256.
        (2049, 2048, 1, 0.5, 0),
    ]
    .into_iter()
    .map(|(h, w, c, mean, limit)| {
        let case = Case::new(&KERNEL, format!("{h}x{w}x{c} mean {mean}"), move |b: &mut CaseBuilder| {
            let x = b.input("x", h, w, Channels::one(c), b.values(), Fill::Normal { mean, std: 1.0 });
            let stats = record(&mut b.recorder, &x.tensor);
            let len = stats.chunk_len as usize;
            b.expect(&stats.values, move |row, channel| {
                let (chunk, row) = (row / 2, row % 2);
                let end = ((chunk + 1) * len).min(x.rows());
                let values: Vec<f64> = (chunk * len..end).map(|p| x.at(p, channel)).collect();
                twin(&values, row)
            });
        });
        if limit > 0 { case.with_binding_limit(limit) } else { case }
    })
    .collect()
}
