//! Sound, incomplete and hostile checkpoints.

use std::fs;
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView as View, serialize};

use super::source::read_diffews;
use super::*;
use crate::settings::DiffewsJson;

mod changed;
mod decode;
mod hostile;
mod layout;
mod odd;

/// A file with the given header text and data bytes.
fn raw(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

fn file_of(tensors: &[(&str, Dtype, &[usize], &[u8])]) -> Vec<u8> {
    let views = tensors.iter().map(|(n, d, s, b)| (n.to_string(), View::new(*d, s.to_vec(), b).unwrap()));
    serialize(views, None).unwrap()
}

fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// One f32 tensor `name` of one element.
fn scalar(name: &str, value: f32) -> Vec<u8> {
    file_of(&[(name, Dtype::F32, &[1], &f32s(&[value]))])
}

fn write(dir: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// The message of an error that must occur.
fn message<T>(result: Result<T, WeightsError>) -> String {
    result.err().expect("must be refused").to_string()
}

fn malformed(bytes: Vec<u8>) -> String {
    match Weights::from_bytes("bad.safetensors", bytes) {
        Err(e @ WeightsError::Malformed { .. }) => {
            assert!(e.to_string().contains("bad.safetensors"), "{e}");
            e.to_string()
        }
        Err(e) => panic!("another error: {e}"),
        Ok(_) => panic!("accepted"),
    }
}
