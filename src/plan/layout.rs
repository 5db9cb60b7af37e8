//! Between the host's `[positions, channels]` f32 and a tensor's bytes: padding and storage.

use super::{Element, Tensor};
use half::f16;

/// `values` (row by row, logical channels) as the tensor lies in memory.
pub fn to_bytes(tensor: &Tensor, values: &[f32]) -> Vec<u8> {
    let places = tensor.channels.places();
    let row = tensor.channels.vec4s() as usize * 4;
    let mut padded = vec![0f32; tensor.positions() as usize * row];
    for (to, from) in padded.chunks_exact_mut(row).zip(values.chunks_exact(places.len())) {
        for (&place, &value) in places.iter().zip(from) {
            to[place as usize] = value;
        }
    }
    encode(&padded, tensor.element)
}

/// f32 values as they are stored.
pub fn encode(values: &[f32], element: Element) -> Vec<u8> {
    if element == Element::F32 {
        return bytemuck::cast_slice(values).to_vec();
    }
    use half::slice::HalfFloatSliceExt;
    let mut halves = vec![f16::ZERO; values.len()];
    halves.convert_from_f32_slice(values);
    bytemuck::cast_slice(&halves).to_vec()
}

fn decode(tensor: &Tensor, bytes: &[u8]) -> Vec<f32> {
    if tensor.element == Element::F32 {
        return bytemuck::pod_collect_to_vec(bytes);
    }
    use half::slice::HalfFloatSliceExt;
    let halves: Vec<f16> = bytemuck::pod_collect_to_vec(bytes);
    let mut values = vec![0.0; halves.len()];
    halves.convert_to_f32_slice(&mut values);
    values
}

/// The logical channels of a tensor's bytes, row by row.
pub fn from_bytes(tensor: &Tensor, bytes: &[u8]) -> Vec<f32> {
    let places = tensor.channels.places();
    let row = tensor.channels.vec4s() as usize * 4;
    let values = decode(tensor, bytes);
    values.chunks_exact(row).flat_map(|r| places.iter().map(move |&p| r[p as usize])).collect()
}

/// Do all lanes beyond the logical channels hold zero?
pub fn padding_is_zero(tensor: &Tensor, bytes: &[u8]) -> bool {
    let row = tensor.channels.vec4s() as usize * 4;
    let mut real = vec![false; row];
    tensor.channels.places().iter().for_each(|&p| real[p as usize] = true);
    real.iter().all(|&r| r)
        || decode(tensor, bytes).chunks_exact(row).all(|r| r.iter().zip(&real).all(|(&v, &real)| real || v == 0.0))
}
