//! [`TensorView`]: one tensor of a checkpoint, decoded on demand.

use std::ops::Range;
use std::sync::Arc;

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use safetensors::tensor::Dtype;

use super::file::{Bytes, Entry};
use super::scaled;
use super::{Weights, WeightsError};
use crate::shown;

/// Position of a tensor's bytes within `bytes`; the length matches shape and dtype.
#[derive(Clone)]
pub(super) struct Data {
    pub dtype: Dtype,
    pub bytes: Bytes,
    pub range: Range<u64>,
    /// For weights of 8 bits: position of the scales.
    pub scales: Option<(Bytes, Range<u64>)>,
}

/// A tensor of a checkpoint: name, shape and position. Cheap to clone; [`TensorView::to_f32`] decodes it.
#[derive(Clone)]
pub struct TensorView {
    file: Weights,
    name: Arc<str>,
    shape: Arc<[usize]>,
    data: Option<Data>,
}

impl std::fmt::Debug for TensorView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {:?}", shown::text(&self.name), shown::shape(&self.shape), self.dtype())
    }
}

impl TensorView {
    /// `data` is `None` for a placeholder.
    pub(super) fn new(file: Weights, name: String, shape: Vec<usize>, data: Option<Data>) -> TensorView {
        TensorView { file, name: name.into(), shape: shape.into(), data }
    }

    /// Full name in the checkpoint.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Shape in the file, row-major; for a placeholder, the requested shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        match &self.data {
            Some(data) => (data.range.end - data.range.start) as usize / size_of_element(data.dtype),
            None => self.shape.iter().fold(1, |n, &d| n.saturating_mul(d)),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Element type in the file; `None` for a placeholder.
    pub fn dtype(&self) -> Option<Dtype> {
        self.data.as_ref().map(|data| data.dtype)
    }

    /// All elements as f32, row-major. F16, BF16 and F32 are exact (subnormals, infinities and NaN included), as is I8 with scales that this
    /// program wrote; F64 is rounded to nearest.
    ///
    /// # Errors
    /// [`WeightsError::Placeholder`] for a missing tensor.
    pub fn to_f32(&self) -> Result<Vec<f32>, WeightsError> {
        self.to_f32_range(0..self.len())
    }

    /// The elements of `rows` along the first axis as f32.
    ///
    /// # Errors
    /// As [`TensorView::to_f32_range`].
    pub(crate) fn rows_to_f32(&self, rows: Range<usize>) -> Result<Vec<f32>, WeightsError> {
        let row: usize = self.shape.iter().skip(1).product();
        self.to_f32_range(rows.start * row..rows.end * row)
    }

    /// The elements of `range` (counted in elements of the flat tensor) as f32, so that a large tensor can be read by rows.
    ///
    /// # Errors
    /// [`WeightsError::Placeholder`] for a missing tensor, [`WeightsError::Range`] beyond its end.
    pub fn to_f32_range(&self, range: Range<usize>) -> Result<Vec<f32>, WeightsError> {
        let (file, name) = (self.file.name().to_owned(), self.name.to_string());
        let Some(data) = &self.data else {
            return Err(WeightsError::Placeholder { file, name });
        };
        let Range { start, end } = range;
        let len = self.len();
        if start > end || end > len {
            return Err(WeightsError::Range { file, name, start, end, len });
        }
        let size = size_of_element(data.dtype);
        let at = |element: usize| data.range.start + (element * size) as u64;
        let mut out = Vec::with_capacity(end - start);
        if let Some((bytes, range)) = &data.scales {
            let mut scales = Vec::new();
            bytes.read(range.clone(), |piece| decode(Dtype::F32, piece, &mut scales))?;
            let block_of = scaled::block_of(&self.shape);
            data.bytes.read(at(start)..at(end), |piece| {
                scaled::decode(piece, start + out.len(), &scales, &block_of, &mut out);
            })?;
            return Ok(out);
        }
        data.bytes.read(at(start)..at(end), |piece| decode(data.dtype, piece, &mut out))?;
        Ok(out)
    }
}

/// Whether the element type can be decoded.
pub(super) fn readable(entry: &Entry) -> bool {
    matches!(entry.dtype, Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64) || entry.scales.is_some()
}

/// Bytes of an element of a [`readable`] type.
fn size_of_element(dtype: Dtype) -> usize {
    match dtype {
        Dtype::I8 => 1,
        Dtype::F16 | Dtype::BF16 => 2,
        Dtype::F64 => 8,
        _ => 4,
    }
}

/// Decodes `bytes` and appends to `out`. `bytes` need no alignment: tensors in a file have none.
fn decode(dtype: Dtype, bytes: &[u8], out: &mut Vec<f32>) {
    match dtype {
        Dtype::F16 => decode_by(bytes, out, f16::from_le_bytes, |from, to| from.convert_to_f32_slice(to)),
        Dtype::BF16 => decode_by(bytes, out, bf16::from_le_bytes, |from, to| from.convert_to_f32_slice(to)),
        Dtype::F64 => out.extend(chunks(bytes).map(|b| f64::from_le_bytes(b) as f32)),
        _ => decode_by(bytes, out, f32::from_le_bytes, |from, to| to.copy_from_slice(from)),
    }
}

/// The bytes in groups of N.
fn chunks<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> {
    bytes.chunks_exact(N).map(|group| std::array::from_fn(|i| group[i]))
}

/// Converts many values at once, so that vector instructions are used: in place if they are aligned in native byte order,
/// else through a small aligned buffer.
fn decode_by<T: bytemuck::Pod, const N: usize>(
    bytes: &[u8],
    out: &mut Vec<f32>,
    read: fn([u8; N]) -> T,
    convert: fn(&[T], &mut [f32]),
) {
    const BLOCK: usize = 4096;
    let first = out.len();
    out.resize(first + bytes.len() / N, 0.0);
    let out = &mut out[first..];
    if let (true, Ok(values)) = (cfg!(target_endian = "little"), bytemuck::try_cast_slice(bytes)) {
        return convert(values, out);
    }
    let mut aligned = [T::zeroed(); BLOCK];
    for (from, to) in bytes.chunks(N * BLOCK).zip(out.chunks_mut(BLOCK)) {
        let aligned = &mut aligned[..to.len()];
        for (value, group) in aligned.iter_mut().zip(chunks(from)) {
            *value = read(group);
        }
        convert(aligned, to);
    }
}
