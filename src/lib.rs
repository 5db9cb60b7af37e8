//! Segment by example: DiffewS (few-shot segmentation with Stable Diffusion, NeurIPS 2024) as WGSL compute
//! kernels on wgpu.
//!
//! ```text
//! picture --image_io--> [S,S,3] --VAE encoder plan--> latents --UNet support plan--> KV bank (one for each support set, reusable)
//!                                 query latent --UNet query plan (reads the bank)--> -v --VAE decoder plan--> [S,S] map --> mask
//!                                                               optional: outlines from the query (guided filter) --^
//! ```
//!
//! | module | content |
//! |---|---|
//! | [`segment`] | pictures in, maps out: the four plans, their order, and fallback to f32 |
//! | [`model`] | the network as functions of a recorder; `model::fold` holds every constant folding |
//! | [`weights`] | published checkpoints, read tensor by tensor |
//! | [`kernels`] | one file or folder per WGSL kernel: parameters, wrapper, and a table of its forms |
//! | [`plan`] | recording, choosing forms, packing weights, pruning, liveness: plain data, no GPU |
//! | [`gpu`] | the only module that calls wgpu |
//! | [`shader`] | WGSL as text and tables: kernels, forms, the features they need; the preprocessor |
//! | [`tune`] | measures forms on the model's own problems and keeps the times in a file |
//! | [`twins`] | one file per kernel: a reference in f64, its error bound, and cases |
//! | [`check`] | runs cases and compares them with their bounds |
//! | [`conformance`] | checks whether an adapter computes right |
//! | [`eval`] | evaluation: episodes, scores, shards, resuming |
//! | [`fetch`] | downloads of published weights, resumed and verified |
//! | [`serve`] | the engine behind HTTP: a bounded queue, protocols of annotation tools, a page to paint on |
//! | [`formats`] | results for other tools: COCO, YOLO, labelme, Label Studio, label maps, npz, GeoJSON |
//! | [`image_io`] | pictures, masks, resizing like PIL, atomic writes |
//! | [`settings`] | threshold and guided filter, and their defaults in `diffews.json` |
//!
//! A module uses only modules below it; `tests/structure.rs` has the order.
//!
//! Most programs need only the top-level names:
//!
//! ```no_run
//! use diffews_wgpu::{Example, Segmenter, open_image};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let segmenter = Segmenter::builder().build()?; // .weights(dir) .unet(dir) .size(n) .precision(p) .shots(n) .gpu(gpu) ..
//! let cat = Example::open("support.png", "support_mask.png")?;
//! let bank = segmenter.encode(&[cat])?;
//! let found = segmenter.segment(&bank, &open_image("query.png")?)?;
//! found.mask().save("query_mask.png")?; // at the query's size, by the model's own threshold; refuses to overwrite
//! println!("{:?} in {:?}", found.bounding_box(), found.times());
//! # Ok(())
//! # }
//! ```

// Futures of `serve` hold wgpu's types, which are nested deeper than the default limit.
#![cfg_attr(feature = "serve", recursion_limit = "256")]

#[cfg(test)]
extern crate self as diffews_wgpu;

#[cfg(feature = "cli")]
pub mod bench;
mod cache;
pub mod check;
#[cfg(feature = "conformance")]
pub mod conformance;
/// Tests choose their device as the command does.
#[cfg(test)]
#[path = "cli/environment.rs"]
mod environment;
mod error;
#[cfg(feature = "eval")]
pub mod eval;
#[cfg(feature = "fetch")]
pub mod fetch;
mod files;
pub mod formats;
pub mod gpu;
pub mod image_io;
pub mod kernels;
pub mod model;
pub mod names;
mod panics;
pub mod plan;
mod q8;
pub mod segment;
#[cfg(feature = "serve")]
pub mod serve;
pub mod settings;
pub mod shader;
#[doc(hidden)]
pub mod shown;
mod threads;
pub mod tune;
pub mod twins;
pub mod weights;

pub use error::Error;
pub use gpu::Gpu;
pub use image_io::{Mask, RgbImage, open_image};
pub use segment::{BankFile, Example, Precision, Segmentation, Segmenter, Stage, SupportBank};
pub use settings::{GuidedFilter, MaskRule, Threshold};
