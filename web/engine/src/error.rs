//! Errors as JavaScript has them.

use diffews_wgpu::Error;
use diffews_wgpu::gpu::GpuError;
use wasm_bindgen::prelude::*;

/// What a caller is to do about an error: the name of its object.
#[derive(Clone, Copy, Debug)]
pub enum Told {
    Interrupted,
    /// The GPU is of no more use: another engine may do.
    Lost,
    /// The bank is not there any more.
    Gone,
    Failed,
}

impl Told {
    pub fn error(self, message: &str) -> JsValue {
        let error = js_sys::Error::new(message);
        error.set_name(&format!("{self:?}"));
        error.into()
    }
}

/// An error of the library.
pub fn told(error: Error) -> JsValue {
    let kind = match &error {
        Error::Interrupted => Told::Interrupted,
        // In a browser a device that has once failed goes on failing.
        Error::Gpu(GpuError::Lost { .. } | GpuError::Failed { .. } | GpuError::Idle { .. }) => Told::Lost,
        _ => Told::Failed,
    };
    kind.error(&error.to_string())
}

/// What a caller did wrong.
pub fn usage(message: &str) -> JsValue {
    Told::Failed.error(message)
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = console, js_name = error)]
    pub fn console(text: &str);
}
