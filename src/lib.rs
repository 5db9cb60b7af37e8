//! Segment by example: DiffewS (few-shot segmentation with Stable Diffusion, NeurIPS 2024) as WGSL compute
//! kernels on wgpu.
//!
//! ```text
//! picture --image_io--> [S,S,3] --VAE encoder plan--> latents --UNet support plan--> KV bank (per support set, kept)
//!                                 query latent --UNet query plan (reads the bank)--> -v --VAE decoder plan--> [S,S] map --> mask
//!                                                     where a model asks for it: outlines from the query (guided filter) --^
//! ```
//!
//! | module | is |
//! |---|---|
//! | [`segment`] | pictures in, maps out: the four plans and their order, and what is computed again in f32 |
//! | [`model`] | the network as functions of a recorder; `model::fold` holds every constant folding |
//! | [`weights`] | checkpoints as published, read tensor by tensor |
//! | [`kernels`] | one file or folder per WGSL kernel: parameters, wrapper, and a table of its forms |
//! | [`plan`] | recording, choosing forms, packing weights, pruning, liveness: plain data, no GPU |
//! | [`gpu`] | the only room that calls wgpu |
//! | [`shader`] | WGSL as text and tables: kernels, forms, what they need of an adapter; the preprocessor |
//! | [`tune`] | forms measured on the model's own problems, and kept in a file |
//! | [`twins`] | one file per kernel: what it must compute in f64, the bound, and cases |
//! | [`check`] | how a case is run and judged |
//! | [`conformance`] | does this adapter compute right? |
//! | [`eval`] | measuring: episodes, scores, shards, resuming |
//! | [`fetch`] | weights from where they are published, resumed and checked |
//! | [`serve`] | the engine behind HTTP: a bounded queue, annotation tools' protocol, a page to paint on |
//! | [`formats`] | what was found as other tools read it: COCO, YOLO, labelme, Label Studio, label maps, npz, GeoJSON |
//! | [`image_io`] | pictures, masks, resizing as PIL does it, atomic writes |
//! | [`settings`] | threshold and guided filter, and what `diffews.json` may say of them |
//!
//! A module uses those below it; `tests/structure.rs` has the order, from the command to the ground.
//!
//! The names of the top level are all that most programs need:
//!
//! ```no_run
//! use diffews_wgpu::{Example, Segmenter, open_image};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let segmenter = Segmenter::builder().build()?; // .weights(dir) .unet(dir) .size(n) .precision(p) .shots(n) .gpu(gpu) ..
//! let cat = Example::open("support.png", "support_mask.png")?;
//! let bank = segmenter.encode(&[cat])?;
//! let found = segmenter.segment(&bank, &open_image("query.png")?)?;
//! found.mask().save("query_mask.png")?; // of the query's own size, by the model's own threshold; refuses to overwrite
//! println!("{:?} in {:?}", found.bounding_box(), found.times());
//! # Ok(())
//! # }
//! ```

// Futures of `serve` hold banks, and so wgpu's types, which are nested deeper than the default.
#![cfg_attr(feature = "serve", recursion_limit = "256")]

#[cfg(test)]
extern crate self as diffews_wgpu;

#[cfg(feature = "cli")]
pub mod bench;
mod cache;
pub mod check;
#[cfg(feature = "conformance")]
pub mod conformance;
/// Tests that need a device choose it as the command does.
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
