//! `group_stats`: the first half of GroupNorm. Mean and M2 per channel and chunk of positions.

use super::{Kernel, LANES, bands};
use crate::conformance::bound::{Approx, EPS};
use crate::conformance::{Case, CaseBuilder, Fill};
use crate::plan::{Channels, Dispatch, Element, Recorder, Tensor, Tuning, turns};
use bytemuck::{Pod, Zeroable};

pub static KERNEL: Kernel = Kernel {
    name: "group_stats",
    source: include_str!("../../shaders/group_stats.wgsl"),
    variants: &[&[]],
    tunings: &[Tuning::Tiled],
    cases,
};

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    positions: u32,
    c4: u32,
    chunk_len: u32,
    chunks: u32,
    chunk0: u32,
    base: u32,
    groups_x: u32,
}

/// Statistics of a tensor: `[chunks, 2, C]` in f32, and how many positions a chunk has.
#[derive(Clone, Debug)]
pub struct Stats {
    pub values: Tensor,
    pub chunk_len: u32,
}

/// At most 256 chunks, none shorter than 16 positions; more where their loops would take too many turns.
fn chunk_len(positions: u32) -> u32 {
    positions.div_ceil(256).clamp(16, LONGEST)
}

/// Positions of a chunk, which a lane goes through twice.
const LONGEST: u32 = 1 << 14;

pub fn record(r: &mut Recorder, x: &Tensor) -> Stats {
    let chunk_len = chunk_len(x.positions());
    let chunks = x.positions().div_ceil(chunk_len);
    let name = format!("{}.stats", x.name);
    let values = r.value_of(&name, chunks, 2, x.channels.clone(), Element::F32);
    let c4 = x.channels.vec4s();
    let chunk_bytes = chunk_len as u64 * c4 as u64 * x.vec4_bytes(r.storage);
    for (from, to) in bands(chunks, chunk_bytes, r.limits.max_binding, r.limits.offset_alignment) {
        let first = from * chunk_len;
        let end = (to * chunk_len).min(x.positions());
        let (window, base) = r.window(x, first as u64 * c4 as u64, end as u64 * c4 as u64);
        let workgroups = r.fold_workgroups(((to - from) as u64 * c4 as u64).div_ceil(LANES));
        let params = Params {
            positions: end - first,
            c4,
            chunk_len,
            chunks: to - from,
            chunk0: from,
            base,
            groups_x: workgroups[0],
        };
        let outputs = vec![r.whole(&values)];
        r.push(Dispatch {
            kernel: &KERNEL,
            defines: vec![],
            overrides: vec![],
            inputs: vec![window],
            outputs,
            params: bytemuck::bytes_of(&params).to_vec(),
            workgroups,
            flops: (end - first) as u64 * c4 as u64 * 16,
            padding: 0,
            turns: 2 * turns(chunk_len as u64, 0),
        });
    }
    Stats { values, chunk_len }
}

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

fn cases() -> Vec<Case> {
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
            let x = b.input("x", h, w, Channels::one(c), Element::Stored, Fill::Normal { mean, std: 1.0 });
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
