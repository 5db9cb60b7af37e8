//! Conversion between the host's `[positions, channels]` f32 and a tensor's bytes, with its padding and storage.

use super::{Element, Tensor};
use crate::q8;
use half::f16;
use std::borrow::Cow;

/// The bytes of a tensor with `values` (row by row, logical channels).
pub fn to_bytes(tensor: &Tensor, values: &[f32]) -> Vec<u8> {
    let mut all = Vec::with_capacity(tensor.bytes() as usize);
    in_parts(tensor, values, &mut |bytes| all.extend_from_slice(bytes));
    all
}

/// Elements per part: few enough for a core's L1 cache.
const PART: usize = 4096;

/// Passes the same bytes to `put` a few rows at a time, to avoid a second buffer of the full size.
pub fn in_parts(tensor: &Tensor, values: &[f32], put: &mut dyn FnMut(&[u8])) {
    let row = tensor.channels.vec4s() as usize * 4;
    // No padding: pass the values on directly.
    if tensor.channels.logical() as usize == row && tensor.element != Element::Q8 {
        return match tensor.element {
            Element::F32 => put(bytemuck::cast_slice(values)),
            element => values.chunks(PART).for_each(|part| put(&encode(part, element))),
        };
    }
    let places = tensor.channels.places();
    // 8-bit storage needs whole blocks.
    let rows = match tensor.element {
        Element::Q8 => q8::BLOCK,
        _ => PART.div_ceil(row),
    };
    let mut padded = vec![0f32; rows * row];
    for values in values.chunks(rows * places.len()) {
        let part = &mut padded[..values.len() / places.len() * row];
        match tensor.channels.segments() {
            // A picture. The fixed length avoids a call per pixel.
            [3] => part.as_chunks_mut::<4>().0.iter_mut().zip(values.as_chunks::<3>().0).for_each(|(to, from)| {
                let [r, g, b] = *from;
                *to = [r, g, b, 0.0];
            }),
            _ => {
                for (to, from) in part.chunks_exact_mut(row).zip(values.chunks_exact(places.len())) {
                    places.iter().zip(from).for_each(|(&place, &value)| to[place as usize] = value);
                }
            }
        }
        match tensor.element {
            Element::F32 => put(bytemuck::cast_slice(part)),
            Element::Q8 => put(&encode_8_bits(part, row)),
            element => put(&encode(part, element)),
        }
    }
}

/// A block of rows as words of four columns, below the scales of its columns. The scales take four rows; the first of them has the scale of
/// each word's first column.
fn encode_8_bits(part: &[f32], row: usize) -> Vec<u8> {
    let mut most = vec![0f32; row];
    for values in part.chunks_exact(row) {
        most.iter_mut().zip(values).for_each(|(most, value)| *most = value.abs().max(*most));
    }
    let scales: Vec<f32> = most.into_iter().map(q8::scale).collect();
    let mut bytes = Vec::with_capacity(4 * row + part.len());
    for component in 0..4 {
        bytes.extend(scales.iter().skip(component).step_by(4).flat_map(|scale| scale.to_le_bytes()));
    }
    for values in part.chunks_exact(row) {
        bytes.extend(values.iter().zip(&scales).map(|(&value, &scale)| q8::number(value, scale) as u8));
    }
    bytes
}

/// Converts f32 values to a storage.
pub fn encode(values: &[f32], element: Element) -> Vec<u8> {
    if element == Element::F32 {
        return bytemuck::cast_slice(values).to_vec();
    }
    use half::slice::HalfFloatSliceExt;
    let mut halves = vec![f16::ZERO; values.len()];
    halves.convert_from_f32_slice(values);
    bytemuck::cast_slice(&halves).to_vec()
}

fn decode<'a>(tensor: &Tensor, bytes: &'a [u8]) -> Cow<'a, [f32]> {
    if tensor.element == Element::F32 {
        // Memory that a driver maps is aligned; a subslice of it may not be.
        return bytemuck::try_cast_slice(bytes).map_or_else(|_| bytemuck::pod_collect_to_vec(bytes).into(), Cow::from);
    }
    use half::slice::HalfFloatSliceExt;
    let halves: Vec<f16> = bytemuck::pod_collect_to_vec(bytes);
    let mut values = vec![0.0; halves.len()];
    halves.convert_to_f32_slice(&mut values);
    values.into()
}

/// Reads the logical channels from a tensor's bytes, row by row.
pub fn from_bytes(tensor: &Tensor, bytes: &[u8]) -> Vec<f32> {
    let places = tensor.channels.places();
    let row = tensor.channels.vec4s() as usize * 4;
    let part = PART.div_ceil(row) * tensor.channels.vec4s() as usize * tensor.vec4_bytes() as usize;
    let mut all = Vec::with_capacity(tensor.positions() as usize * places.len());
    for bytes in bytes.chunks(part) {
        let values = decode(tensor, bytes);
        match tensor.channels.segments() {
            [3] => all.extend(values.as_chunks::<4>().0.iter().flat_map(|&[r, g, b, _]| [r, g, b])),
            _ => all.extend(values.chunks_exact(row).flat_map(|r| places.iter().map(move |&place| r[place as usize]))),
        }
    }
    all
}

/// Whether all lanes beyond the logical channels hold zero.
pub fn padding_is_zero(tensor: &Tensor, bytes: &[u8]) -> bool {
    let row = tensor.channels.vec4s() as usize * 4;
    let mut real = vec![false; row];
    tensor.channels.places().iter().for_each(|&p| real[p as usize] = true);
    real.iter().all(|&r| r)
        || decode(tensor, bytes).chunks_exact(row).all(|r| r.iter().zip(&real).all(|(&v, &real)| real || v == 0.0))
}
