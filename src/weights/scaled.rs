//! Weights of 8 bits in a file: a tensor `NAME` of I8, `[outputs, inputs, ...taps]`, and `NAME.scales` of F32, `[outputs, blocks]`.
//!
//! An output's numbers, tap by tap and within a tap input by input, form blocks of [`BLOCK`], the last of which may be shorter. The device
//! has the same layout.

use super::file::Entry;
use crate::q8::{self, BLOCK};
use safetensors::tensor::Dtype;
use std::collections::HashMap;

/// Suffix of the scales' name.
pub(crate) const SCALES: &str = ".scales";

/// Most numbers of an output: the widest of SD 2.1 has 23,040.
const MOST: usize = 1 << 24;

/// Count of an output's numbers and blocks.
pub(crate) fn blocks(shape: &[usize]) -> Option<(usize, usize)> {
    let each = shape.get(1..)?.iter().try_fold(1usize, |n, &d| n.checked_mul(d))?;
    (shape.len() > 1 && (1..=MOST).contains(&each)).then_some((each, each.div_ceil(BLOCK)))
}

/// The block of each number of an output, in the file's order.
pub(super) fn block_of(shape: &[usize]) -> Vec<usize> {
    let inputs = shape.get(1).copied().unwrap_or(1).max(1);
    let each = blocks(shape).map_or(0, |(each, _)| each);
    let taps = each / inputs;
    (0..each).map(|i| (i % taps * inputs + i / taps) / BLOCK).collect()
}

/// Moves scales from the list to their tensors, if both have the right type and shape.
pub(super) fn join(tensors: &mut HashMap<String, (usize, Entry)>) {
    let with_scales = |(name, (_, entry)): (&String, &(usize, Entry))| {
        let scales = format!("{name}{SCALES}");
        let (_, of) = tensors.get(&scales)?;
        let (_, blocks) = blocks(&entry.shape)?;
        let fits = entry.dtype == Dtype::I8 && of.dtype == Dtype::F32 && of.shape == [entry.shape[0], blocks];
        fits.then(|| (name.clone(), scales))
    };
    let pairs: Vec<(String, String)> = tensors.iter().filter_map(with_scales).collect();
    for (name, scales) in pairs {
        let scales = tensors.remove(&scales).map(|(file, entry)| (file, entry.range));
        if let Some((_, entry)) = tensors.get_mut(&name) {
            entry.scales = scales;
        }
    }
}

/// Appends numbers from index `first` on, each times its scale.
pub(super) fn decode(bytes: &[u8], first: usize, scales: &[f32], block_of: &[usize], out: &mut Vec<f32>) {
    let blocks = block_of.last().map_or(1, |last| last + 1);
    let (mut output, mut i) = (first / block_of.len().max(1), first % block_of.len().max(1));
    for &byte in bytes {
        out.push(f32::from(byte as i8) * scales[output * blocks + block_of[i]]);
        i += 1;
        if i == block_of.len() {
            (output, i) = (output + 1, 0);
        }
    }
}

/// The numbers of a tensor, in the file's order, and the scales of their blocks.
pub(crate) fn encode(shape: &[usize], values: &[f32]) -> (Vec<u8>, Vec<f32>) {
    let of = block_of(shape);
    let (mut numbers, mut scales) = (Vec::with_capacity(values.len()), Vec::new());
    for output in values.chunks_exact(of.len().max(1)) {
        let mut own = vec![0f32; of.last().map_or(0, |last| last + 1)];
        output.iter().zip(&of).for_each(|(value, &block)| own[block] = value.abs().max(own[block]));
        own.iter_mut().for_each(|most| *most = q8::scale(*most));
        numbers.extend(output.iter().zip(&of).map(|(&value, &block)| q8::number(value, own[block]) as u8));
        scales.append(&mut own);
    }
    (numbers, scales)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_go_tap_by_tap() {
        // 40 inputs of 9 taps: 360 numbers.
        let shape = [3, 40, 3, 3];
        assert_eq!(blocks(&shape), Some((360, 6)));
        let of = block_of(&shape);
        for (input, tap) in (0..40).flat_map(|i| (0..9).map(move |t| (i, t))) {
            assert_eq!(of[input * 9 + tap], (tap * 40 + input) / 64);
        }
        assert_eq!(blocks(&[5]), None);
        assert_eq!(blocks(&[5, 0]), None);
        assert_eq!(blocks(&[2, usize::MAX, 2]), None);
        let scales: Vec<f32> = (1..=18).map(|i| i as f32).collect();
        let bytes: Vec<u8> = (0..3 * 360).map(|i| (i % 251) as u8).collect();
        let mut all = Vec::new();
        decode(&bytes, 0, &scales, &of, &mut all);
        assert_eq!(all[2 * 360 + 7], f32::from(bytes[727] as i8) * scales[12 + of[7]]);
        // From the middle of an output on.
        let mut some = Vec::new();
        decode(&bytes[500..], 500, &scales, &of, &mut some);
        assert_eq!(some, all[500..]);
        // Quantising again changes nothing.
        let mut rng = fastrand::Rng::with_seed(8);
        let values: Vec<f32> = (0..3 * 360).map(|_| rng.f32() - 0.5).collect();
        let (numbers, scales) = encode(&shape, &values);
        let mut once = Vec::new();
        decode(&numbers, 0, &scales, &of, &mut once);
        assert_eq!((scales.len(), encode(&shape, &once)), (18, (numbers, scales)));
        assert!(values.iter().zip(&once).all(|(v, q)| (v - q).abs() < 0.5 / 253.0));
    }
}
