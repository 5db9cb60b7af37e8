//! The browser's GPU.

use crate::error::told;
use diffews_wgpu::Gpu;
use diffews_wgpu::gpu::AdapterChoice;
use wasm_bindgen::prelude::*;

/// The one that the browser gives.
pub async fn request() -> Result<Gpu, JsValue> {
    Gpu::request(&AdapterChoice::default()).await.map_err(|error| told(error.into()))
}
