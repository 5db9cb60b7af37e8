//! Chooses the elements of an output that are compared with its twin.

use super::case::Check;
use crate::plan::{Dispatch, Tensor};
use std::collections::BTreeSet;

/// Tensors of up to this many elements are compared whole.
const WHOLE: usize = 1 << 14;
/// Of a larger tensor, its first and last row, and this many others.
const SAMPLE: usize = 1 << 10;
/// The same limit for cheap twins.
const MOST_WHOLE: usize = 1 << 20;
const MUCH: usize = 1 << 17;
/// Elements compared on each side of an end or a seam.
const EDGE: usize = 512;
/// Positions of a small sample.
const FEW_POSITIONS: usize = 8;
const FEW_CHANNELS: usize = 16;

/// The elements of a check, independent of the form: distinct and in order. The seed selects among those of a large tensor.
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

/// Additional elements on both sides of the seams between dispatches' parts.
pub(super) fn seams(check: &Check, dispatches: &[Dispatch]) -> BTreeSet<usize> {
    if is_whole(check) {
        return BTreeSet::new();
    }
    let tensor = &check.tensor;
    let (n, channels) = (elements(tensor), tensor.channels.logical() as usize);
    let row = tensor.channels.vec4s() as u64 * tensor.vec4_bytes();
    let windows = dispatches.iter().flat_map(|d| &d.outputs).filter(|window| window.tensor.id == tensor.id);
    // A window's start is rounded down to an aligned address, so use its end.
    let ends: BTreeSet<usize> = windows.map(|w| (((w.offset + w.size) / row) as usize * channels).min(n)).collect();
    let near = |end: usize| end.saturating_sub(edge(tensor))..(end + edge(tensor)).min(n);
    ends.into_iter().filter(|&end| end < n).flat_map(near).collect()
}

/// Some channels of some positions, including the first and the last: for the quick suite, where other cases compare all.
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
