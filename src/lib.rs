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
//! | [`segment`] | pictures in, maps out: the four plans and their order |
//! | [`model`] | the network as functions of a recorder; `model::fold` holds every constant folding |
//! | [`weights`] | checkpoints as published, read tensor by tensor |
//! | [`kernels`] | one file per WGSL kernel: parameters and wrapper |
//! | [`plan`] | recording, pruning, liveness, buffers: plain data, no GPU |
//! | [`gpu`] | the only room that calls wgpu |
//! | [`shader`] | WGSL as text and tables, and its preprocessor |
//! | [`twins`] | one file per kernel: what it must compute in f64, the bound, and cases |
//! | [`check`] | how a case is run and judged |
//! | [`conformance`] | does this adapter compute right? |
//! | [`eval`] | measuring: episodes, scores, shards, resuming |
//! | [`image_io`] | pictures, masks, resizing as PIL does it, atomic writes |
//! | [`settings`] | threshold and guided filter, and what `diffews.json` may say of them |
//!
//! A module uses those below it; `tests/structure.rs` has the order, from the command to the ground.
//!
//! ```no_run
//! use diffews_wgpu::{Gpu, Model, Options, Segmenter, image_io, weights::ModelFiles};
//! use std::path::Path;
//!
//! # fn main() -> Result<(), diffews_wgpu::Error> {
//! let gpu = Gpu::new(&Default::default())?;
//! let model = Model::load(ModelFiles::embedded()?)?;
//! let threshold = model.default_threshold();
//! let quiet = &mut |_, _| true;
//! let segmenter = Segmenter::plan(gpu, model, Options::default())?.allocate(quiet)?;
//!
//! let support = image_io::load_rgb(Path::new("support.png"))?;
//! let mask = image_io::load_mask(Path::new("support_mask.png"), support.dimensions())?.mask;
//! let bank = segmenter.encode_support(&[(support, mask)], quiet)?;
//!
//! let query = image_io::load_rgb(Path::new("query.png"))?;
//! let (width, height) = query.dimensions();
//! let found = segmenter.segment(&bank, &query, quiet)?;
//! image_io::write_mask(Path::new("query_mask.png"), &found.map.mask_at(width, height, threshold)?, false)?;
//! # Ok(())
//! # }
//! ```

#[cfg(test)]
extern crate self as diffews_wgpu;

pub mod bench;
pub mod check;
pub mod conformance;
mod error;
pub mod eval;
mod files;
pub mod gpu;
pub mod image_io;
pub mod kernels;
pub mod model;
pub mod names;
mod panics;
pub mod plan;
pub mod segment;
pub mod settings;
pub mod shader;
#[doc(hidden)]
pub mod shown;
pub mod twins;
pub mod weights;

pub use error::Error;
pub use gpu::Gpu;
pub use model::Model;
pub use segment::{MemoryPlan, Options, Planned, Precision, Progress, Segmentation, Segmenter, Stage, SupportBank};
pub use settings::{GuidedFilter, Threshold};
