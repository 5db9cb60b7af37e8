//! A safetensors file, written tensor by tensor.

use serde_json::{Map, json};
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::ops::Range;

/// The layout of a file to write.
pub(crate) struct Layout {
    header: String,
    places: Vec<Range<u64>>,
}

impl Layout {
    /// The layout of tensors, by name, type, shape and bytes, in order. Tensors are aligned if wider types come first.
    pub fn of<'a>(
        metadata: impl IntoIterator<Item = (&'a str, String)>,
        tensors: impl IntoIterator<Item = (String, &'static str, Vec<usize>, usize)>,
    ) -> Layout {
        let metadata: Map<String, _> =
            metadata.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
        let (mut all, mut places, mut end) = (Map::new(), Vec::new(), 0);
        all.insert("__metadata__".into(), metadata.into());
        for (name, dtype, shape, bytes) in tensors {
            let start = end;
            end += bytes as u64;
            all.insert(name, json!({ "dtype": dtype, "shape": shape, "data_offsets": [start, end] }));
            places.push(start..end);
        }
        let mut header = serde_json::Value::from(all).to_string();
        // Pad the header so that numbers are aligned.
        header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
        Layout { header, places }
    }

    /// Writes the header to an empty file; tensors follow.
    pub fn begin(&self, file: &mut File) -> io::Result<()> {
        file.write_all(&(self.header.len() as u64).to_le_bytes())?;
        file.write_all(self.header.as_bytes())
    }

    /// The whole file, from the bytes of each tensor in order.
    pub fn whole(&self, tensors: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
        let mut all = (self.header.len() as u64).to_le_bytes().to_vec();
        all.extend_from_slice(self.header.as_bytes());
        tensors.for_each(|bytes| all.extend(bytes));
        all
    }

    /// Writes the bytes of the tensor of this number.
    pub fn put(&self, file: &mut File, tensor: usize, bytes: &[u8]) -> io::Result<()> {
        file.seek(SeekFrom::Start(8 + self.header.len() as u64 + self.places[tensor].start))?;
        file.write_all(bytes)
    }
}

/// The bytes of values in a file.
pub(crate) fn bytes_of(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// The bytes of `values` as halves; an error is the first value that no half can hold.
pub(crate) fn halves_of(values: &[f32]) -> Result<Vec<u8>, f32> {
    use half::f16;
    use half::slice::HalfFloatSliceExt;
    let mut halves = vec![f16::ZERO; values.len()];
    halves.convert_from_f32_slice(values);
    match halves.iter().position(|half| !half.is_finite()) {
        Some(bad) => Err(values[bad]),
        None => Ok(halves.iter().flat_map(|half| half.to_le_bytes()).collect()),
    }
}
