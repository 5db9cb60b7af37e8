//! diffews-wgpu
pub mod conformance;
pub mod gpu;
pub mod image_io;
pub mod kernels;
pub mod layout;
pub mod plan;
pub mod weights;
pub mod model;
