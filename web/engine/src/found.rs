//! What was found in a picture.

use diffews_wgpu::{Mask, Segmentation, Threshold};
use wasm_bindgen::Clamped;
use wasm_bindgen::prelude::*;

/// What was found, at the picture's own size.
#[wasm_bindgen]
pub struct Found {
    #[wasm_bindgen(readonly)]
    pub width: u32,
    #[wasm_bindgen(readonly)]
    pub height: u32,
    /// The largest value of the network's map, by which a relative threshold counts.
    #[wasm_bindgen(readonly)]
    pub peak: f32,
    #[wasm_bindgen(readonly)]
    pub score: f32,
    /// Whether `threshold` is a part of the peak.
    #[wasm_bindgen(readonly)]
    pub relative: bool,
    #[wasm_bindgen(readonly)]
    pub threshold: f64,
    /// Seconds that the stages took together.
    #[wasm_bindgen(readonly)]
    pub seconds: f64,
    map: Vec<u8>,
    warnings: Vec<String>,
}

impl Found {
    /// `warnings` are what is odd about the picture.
    pub fn new(
        found: &Segmentation,
        (width, height): (u32, u32),
        threshold: Threshold,
        mut warnings: Vec<String>,
    ) -> Found {
        warnings.extend(found.overflow().map(|why| format!("{why}; computed again in f32")));
        let levels = found.map().map_at(width, height);
        let (relative, threshold) = match threshold {
            Threshold::Relative(value) => (true, value),
            Threshold::Absolute(value) => (false, value),
        };
        Found {
            width,
            height,
            peak: found.map().peak(),
            score: found.score(),
            relative,
            threshold,
            seconds: found.times().iter().map(|(_, seconds)| seconds).sum(),
            map: levels.iter().map(|value| (value.clamp(0.0, 1.0) * 255.0 + 0.5) as u8).collect(),
            warnings,
        }
    }
}

#[wasm_bindgen]
impl Found {
    /// The map before the threshold, 255 for 1; it is given away.
    pub fn map(&mut self) -> Clamped<Vec<u8>> {
        Clamped(std::mem::take(&mut self.map))
    }

    /// What is odd about the picture, or was done in another way than asked for; it is given away.
    pub fn warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }
}

/// A mask that marks made.
#[wasm_bindgen]
pub struct Outlined {
    #[wasm_bindgen(readonly)]
    pub width: u32,
    #[wasm_bindgen(readonly)]
    pub height: u32,
    mask: Vec<u8>,
}

impl Outlined {
    pub fn new(mask: &Mask) -> Outlined {
        let (width, height) = mask.size();
        Outlined { width, height, mask: bytes_of(mask) }
    }
}

#[wasm_bindgen]
impl Outlined {
    /// 255 for foreground; it is given away.
    pub fn mask(&mut self) -> Clamped<Vec<u8>> {
        Clamped(std::mem::take(&mut self.mask))
    }
}

fn bytes_of(mask: &Mask) -> Vec<u8> {
    mask.foreground().iter().map(|&on| 255 * u8::from(on)).collect()
}
