//! safetensors: changes the header as JSON, and corrects its length.

use super::{Source, bytes, json};
use serde_json::Value;

pub fn mutate(input: &mut Vec<u8>, source: &mut Source) {
    let Some((header, data)) = split(input) else { return bytes(input, source) };
    let (header, mut data) = (header.to_vec(), data.to_vec());
    let parsed = serde_json::from_slice::<Value>(&header);
    match (parsed, source.below(10)) {
        (Ok(mut value), 0..=6) => {
            json::edit(&mut value, source);
            if source.once_in(3) {
                resize(&mut data, source);
            }
            *input = join(value.to_string().as_bytes(), &data);
        }
        (_, 7) => {
            let length = source.number();
            super::put(input, 0, 8, false, length);
        }
        _ => bytes(input, source),
    }
}

/// Makes `data` longer or shorter.
fn resize(data: &mut Vec<u8>, source: &mut Source) {
    let around = (data.len() as u64).wrapping_add(source.number().min(1 << 12)).wrapping_sub(source.rng.u64(..64));
    data.resize((around as usize).min(1 << 16), 0x3c);
}

/// Header and data, if the length is valid.
pub fn split(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = input.split_first_chunk::<8>()?;
    rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)
}

pub fn join(header: &[u8], data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header, data].concat()
}
