//! Checkpoints in the diffusers layout: headers are read at once, tensors on demand.
//!
//! ```text
//! directory or embedded bytes --ModelFiles--> unet, vae, text: Weights + their config.json texts
//! Weights --root()--> Scope --pp("down_blocks").pp(0)--> Scope --tensor("weight", &[o, i])--> TensorView --to_f32()--> Vec<f32>
//! ```
//!
//! Requesting a tensor from a [`Scope`] never fails: a missing or mismatched tensor is recorded and replaced by a placeholder of the
//! requested shape, so that a model is built completely and [`Weights::finish`] then names *every* fault and every unused
//! tensor. Files are untrusted; see [`mod@file`] for the checks.

mod error;
pub mod file;
mod fingerprint;
mod kind;
mod lookup;
mod memory;
#[cfg(feature = "embedded")]
mod nano;
mod problems;
mod scaled;
mod scope;
mod source;
mod tensor;
#[cfg(test)]
mod tests;
mod writer;

pub use error::WeightsError;
pub use fingerprint::fingerprint;
#[cfg(feature = "fetch")]
pub(crate) use lookup::{has_pickles, shards_in, weights_in};
#[cfg(feature = "embedded")]
pub use nano::nano;
pub use problems::Problem;
pub(crate) use scaled::{SCALES, blocks, encode};
pub use scope::{Report, Scope, Weights};
pub use source::{ConfigText, ModelFiles, TextSource};
pub use tensor::TensorView;
pub(crate) use writer::{Layout, bytes_of, halves_of};
