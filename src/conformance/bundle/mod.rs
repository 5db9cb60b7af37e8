//! A case as one self-contained file. `conformance report` writes it, and `conformance replay` runs it on any other adapter, without the
//! twin and without this program's shaders.

mod read;
mod write;

use super::report::{Adapter, Made, Row};
use crate::shown;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::PathBuf;

pub use read::{Bundle, Replayed, read_bundle};
pub use write::{Captured, capture};

/// Version of the file format; others are refused.
const FORMAT: u32 = 1;
/// The file with everything except shaders and numbers.
const CASE: &str = "case.json";
/// Header of a tensor's element table: the exact value; range and unit of errors, as WGSL permits and strictly; and the result.
const ELEMENTS: &str = "index,expected,low,high,unit,strict_low,strict_high,strict_unit,got";

/// Why a bundle cannot be read. One line, with the file's name.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    #[error("{path}: cannot be read: {cause}", path = shown::path(.path))]
    Read { path: PathBuf, cause: io::Error },
    #[error("{path}: not a case of conformance report: {reason}", path = shown::path(.path))]
    NoBundle { path: PathBuf, reason: String },
}

/// `case.json`.
#[derive(Serialize, Deserialize)]
struct Manifest {
    format: u32,
    made: Made,
    adapter: Adapter,
    /// Its outcome on that adapter; "not run" if the file was written before the run.
    row: Row,
    tensors: Vec<TensorOf>,
    dispatches: Vec<DispatchOf>,
}

/// A tensor `[height, width, channels]`, each group of channels padded to whole vec4s.
#[derive(Serialize, Deserialize)]
struct TensorOf {
    name: String,
    height: u32,
    width: u32,
    channels: Vec<u32>,
    element: ElementOf,
    role: Role,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ElementOf {
    F32,
    Packed,
    F16,
    /// Inputs only.
    Q8,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Role {
    /// Its bytes are in `data/NUMBER.bin`.
    Input,
    /// Expected and actual elements are in `elements/NUMBER.csv`.
    Output,
    Between,
}

#[derive(Serialize, Deserialize)]
struct DispatchOf {
    /// Its text is `shaders/NAME.wgsl`, entry point `main`.
    shader: String,
    kernel: String,
    form: String,
    defines: Vec<String>,
    /// Bindings of group 0 in order: first the read-only ones.
    inputs: Vec<WindowOf>,
    outputs: Vec<WindowOf>,
    /// The uniform of group 1, as four-byte words: unsigned numbers, or the bits of f32.
    params: Vec<u32>,
    names: Vec<String>,
    workgroups: [u32; 3],
    work: u64,
}

/// A byte range of a tensor, given by its number.
#[derive(Serialize, Deserialize)]
struct WindowOf {
    tensor: usize,
    offset: u64,
    size: u64,
}
