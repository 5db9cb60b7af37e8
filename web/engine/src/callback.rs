//! What a call tells JavaScript while it works.

use crate::error::told;
use diffews_wgpu::Error;
use diffews_wgpu::segment::Stage;
use js_sys::Function;
use std::cell::RefCell;
use std::ops::ControlFlow;
use wasm_bindgen::prelude::*;

/// A function that hears of the work, and ends it by returning false or by throwing.
pub struct Callback {
    function: Function,
    thrown: RefCell<Option<JsValue>>,
}

impl Callback {
    pub fn new(function: Function) -> Callback {
        Callback { function, thrown: RefCell::new(None) }
    }

    /// Whether the work is to go on.
    pub fn hears(&self, arguments: &[JsValue]) -> bool {
        match self.function.apply(&JsValue::NULL, &arguments.iter().collect()) {
            Ok(goes_on) => goes_on.is_truthy(),
            Err(thrown) => {
                self.thrown.replace(Some(thrown));
                false
            }
        }
    }

    pub fn progress(&self, stage: Stage, share: f64) -> ControlFlow<()> {
        match self.hears(&[stage.to_string().into(), share.into()]) {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    }

    /// What came of the work, or what the function threw, as it is.
    pub fn outcome<T>(&self, result: Result<T, Error>) -> Result<T, JsValue> {
        match self.thrown.take() {
            Some(thrown) => Err(thrown),
            None => result.map_err(told),
        }
    }
}
