//! A case as one file that says everything: `conformance report` writes it, and `conformance replay` runs it on any other adapter,
//! without the twin and without this program's shaders.

mod read;
mod write;

use super::report::{Adapter, Made, Row};
use crate::shown;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::PathBuf;

pub use read::{Bundle, Replayed, read_bundle};
pub use write::{Captured, capture};

/// Of the files' form; another one is refused.
const FORMAT: u32 = 1;
/// Where everything but shaders and numbers is.
const CASE: &str = "case.json";
/// The first line of the elements of a tensor: what must come, from where to where it may lie and by what errors are measured, by
/// WGSL's text and strictly, and what came.
const ELEMENTS: &str = "index,expected,low,high,unit,strict_low,strict_high,strict_unit,got";

/// Why a bundle cannot be had. One line, with the file's name.
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
    /// How it ended there; not run where the file is of before that.
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
    /// Of inputs alone.
    Q8,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Role {
    /// Its bytes are in `data/NUMBER.bin`.
    Input,
    /// What must come out and what came is in `elements/NUMBER.csv`.
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
    /// Bindings of group 0 in order: first what is read.
    inputs: Vec<WindowOf>,
    outputs: Vec<WindowOf>,
    /// The uniform of group 1, in words of four bytes: unsigned numbers, or the bits of f32.
    params: Vec<u32>,
    names: Vec<String>,
    workgroups: [u32; 3],
    work: u64,
}

/// A part of a tensor, by its number, in bytes.
#[derive(Serialize, Deserialize)]
struct WindowOf {
    tensor: usize,
    offset: u64,
    size: u64,
}
