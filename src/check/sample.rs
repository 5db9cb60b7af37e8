//! Which elements of an output are compared with its twin.

use super::case::Check;
use crate::plan::{Dispatch, Tensor};
use std::collections::BTreeSet;

/// Of a tensor of no more elements, all.
const WHOLE: usize = 1 << 14;
/// Of a larger one its first and last row, and so many of the rest.
const SAMPLE: usize = 1 << 10;
/// The same where the twin takes no time.
const MOST_WHOLE: usize = 1 << 20;
const MUCH: usize = 1 << 17;
/// Elements compared on each side of an end or a seam.
const EDGE: usize = 512;
/// Of a few elements.
const FEW_POSITIONS: usize = 8;
const FEW_CHANNELS: usize = 16;

/// Elements of a check whatever form computes them, each once, in order. The seed chooses among those of a large tensor.
pub(super) fn of(check: &Check, seed: u64) -> Vec<usize> {
    let n = elements(&check.tensor);
    if is_whole(check) {
        return (0..n).collect();
    }
    let sample = if check.all { MUCH } else { SAMPLE };
    let mut rng = fastrand::Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ n as u64);
    let edge = edge(&check.tensor);
    let mut all: BTreeSet<usize> = (0..edge).chain(n - edge..n).collect();
    all.extend((0..sample).map(|_| rng.usize(..n)));
    all.into_iter().collect()
}

/// Beside a sample those on both sides of where one dispatch's part ends and the next one's begins.
pub(super) fn seams(check: &Check, dispatches: &[Dispatch]) -> BTreeSet<usize> {
    if is_whole(check) {
        return BTreeSet::new();
    }
    let tensor = &check.tensor;
    let (n, channels) = (elements(tensor), tensor.channels.logical() as usize);
    let row = tensor.channels.vec4s() as u64 * tensor.vec4_bytes();
    let windows = dispatches.iter().flat_map(|d| &d.outputs).filter(|window| window.tensor.id == tensor.id);
    // Where a window begins is rounded down to an aligned address.
    let ends: BTreeSet<usize> = windows.map(|w| (((w.offset + w.size) / row) as usize * channels).min(n)).collect();
    let near = |end: usize| end.saturating_sub(edge(tensor))..(end + edge(tensor)).min(n);
    ends.into_iter().filter(|&end| end < n).flat_map(near).collect()
}

/// Some channels of some positions, the first and the last among them: where time is short, and other cases ask for all.
pub(super) fn few(tensor: &Tensor, seed: u64) -> BTreeSet<usize> {
    let (positions, channels) = (tensor.positions() as usize, tensor.channels.logical() as usize);
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut some = |most: usize, of: usize| -> BTreeSet<usize> {
        [0, of - 1].into_iter().chain((2..most).map(|_| rng.usize(..of))).collect()
    };
    let (rows, columns) = (some(FEW_POSITIONS, positions), some(FEW_CHANNELS, channels));
    rows.iter().flat_map(|row| columns.iter().map(move |column| row * channels + column)).collect()
}

fn is_whole(check: &Check) -> bool {
    elements(&check.tensor) <= if check.all { MOST_WHOLE } else { WHOLE }
}

fn elements(tensor: &Tensor) -> usize {
    tensor.positions() as usize * tensor.channels.logical() as usize
}

fn edge(tensor: &Tensor) -> usize {
    (tensor.channels.logical() as usize).min(EDGE)
}
