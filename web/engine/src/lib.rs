//! What the page's worker calls: the engine of diffews-wgpu behind JavaScript's types.
//!
//! All calls take `&self` and may be made while others run: they wait for one another. Errors are `Error` objects whose `name` says what to
//! do: `Interrupted` was asked for, `Lost` wants a new engine, the rest is for the user.

mod callback;
mod conformance;
mod error;
mod found;
mod gpu;

use callback::Callback;
use diffews_wgpu::image_io::{self, BoundingBox, LoadedMask, Marks, MaskReading, PictureOptions};
use diffews_wgpu::weights::ModelFiles;
use diffews_wgpu::{Example, Precision, Segmenter, SupportBank};
use error::{Told, told, usage};
use found::{Found, Outlined};
use js_sys::{Array, Function, Map, Uint8Array};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;
use wasm_bindgen::prelude::*;

/// More pixels are refused before they are decoded: a tab's memory is small.
const MOST_PIXELS: u64 = 64 << 20;
/// Banks that are kept; the oldest makes room.
const MOST_BANKS: usize = 16;

/// Panics end the module; before that they say why.
#[wasm_bindgen(start)]
pub fn start() {
    std::panic::set_hook(Box::new(|panic| error::console(&format!("diffews-wgpu broke down: {panic}"))));
}

/// A model ready to run on the browser's GPU.
#[wasm_bindgen]
pub struct Engine {
    segmenter: Segmenter,
    banks: RefCell<HashMap<u32, Rc<SupportBank>>>,
    next: Cell<u32>,
}

#[wasm_bindgen]
impl Engine {
    /// Loads the model of `files`, a map of [`names`] to their bytes, to the GPU. `precision` is auto, f32, f16 or q8. `progress` hears a stage's
    /// name and its share, and stops the call by returning false or by throwing: what it throws comes out.
    pub async fn open(files: Map, precision: String, progress: Function) -> Result<Engine, JsValue> {
        let precision: Precision =
            precision.parse().map_err(|reason: String| usage(&format!("precision: {reason}")))?;
        let gpu = gpu::request().await?;
        let builder = Segmenter::builder().files(model(&files)?).precision(precision).gpu(gpu);
        let progress = Callback::new(progress);
        let segmenter = builder.build_async(&mut |stage, share| progress.progress(stage, share)).await;
        let segmenter = progress.outcome(segmenter)?;
        Ok(Engine { segmenter, banks: Default::default(), next: Cell::new(0) })
    }

    /// What computes, in words.
    pub fn about(&self) -> String {
        let (segmenter, facts) = (&self.segmenter, self.segmenter.gpu().facts());
        format!("{}, {} x {}, {}", facts.name, segmenter.size(), segmenter.size(), segmenter.precision().name())
    }

    /// The bank of examples: `pictures` and `masks` are arrays of files' bytes. Gives `[bank, ...warnings]`.
    pub async fn encode(&self, pictures: Array, masks: Array, progress: Function) -> Result<Array, JsValue> {
        if pictures.length() != masks.length() {
            return Err(usage("each example is a picture and a mask"));
        }
        let (mut examples, answer) = (Vec::new(), Array::new());
        answer.push(&JsValue::NULL);
        for i in 0..pictures.length() {
            let (picture, mask) = (bytes(&pictures.get(i))?, bytes(&masks.get(i))?);
            let (example, warnings) = example(&picture, &mask, i + 1)?;
            examples.push(example);
            for warning in warnings {
                answer.push(&warning.into());
            }
        }
        let progress = Callback::new(progress);
        let bank = self.segmenter.encode_async(&examples, &mut |stage, share| progress.progress(stage, share)).await;
        let bank = Rc::new(progress.outcome(bank)?);
        let again = bank.overflow().map(|why| format!("{why}; encoded again in f32"));
        for warning in self.warnings().into_iter().chain(again) {
            answer.push(&warning.into());
        }
        let number = self.next.replace(self.next.get().wrapping_add(1));
        let mut banks = self.banks.borrow_mut();
        if banks.len() >= MOST_BANKS
            && let Some(oldest) = banks.keys().min().copied()
        {
            banks.remove(&oldest);
        }
        banks.insert(number, bank);
        answer.set(0, number.into());
        Ok(answer)
    }

    /// What the bank's examples show in a picture, whose file's bytes these are.
    pub async fn segment(&self, bank: u32, picture: Vec<u8>, progress: Function) -> Result<Found, JsValue> {
        let bank = self.banks.borrow().get(&bank).cloned();
        let bank =
            bank.ok_or_else(|| Told::Gone.error("the examples are no longer on the GPU: they are encoded again"))?;
        let picture = read(&picture, "the picture")?;
        let notes = picture.notes.iter().map(|note| format!("the picture: {note}")).collect();
        let progress = Callback::new(progress);
        let mut hear = |stage, share| progress.progress(stage, share);
        let found = self.segmenter.segment_async(&bank, &picture.rgb, &mut hear).await;
        let found = progress.outcome(found)?;
        Ok(Found::new(&found, picture.rgb.dimensions(), self.segmenter.mask_rule().threshold, notes))
    }

    /// What is odd about the model, or how it was loaded.
    fn warnings(&self) -> Vec<String> {
        let model = self.segmenter.model().warnings().iter().map(ToString::to_string);
        model.chain(self.segmenter.overflow().map(|why| format!("{why}; all is in f32"))).collect()
    }
}

/// The files of a model, by their paths in its directory.
#[wasm_bindgen]
pub fn names() -> Vec<String> {
    ModelFiles::NAMES.map(String::from).to_vec()
}

/// The mask of what lies in a box of a picture, whose file's bytes these are.
#[wasm_bindgen]
pub fn outline(picture: Vec<u8>, left: u32, top: u32, right: u32, bottom: u32) -> Result<Outlined, JsValue> {
    let picture = read(&picture, "the picture")?.rgb;
    let (width, height) = (right.saturating_sub(left), bottom.saturating_sub(top));
    let boxes = vec![BoundingBox { x: left, y: top, width, height }];
    let mask = Marks { boxes, strokes: Vec::new(), painted: None }.mask(&picture);
    Ok(Outlined::new(&mask.map_err(|error| told(error.into()))?))
}

fn model(files: &Map) -> Result<ModelFiles, JsValue> {
    let read = |path: &str| files.get(&path.into()).dyn_into::<Uint8Array>().ok().map(|bytes| bytes.to_vec().into());
    ModelFiles::from_bytes("fetched", read).map_err(|error| told(error.into()))
}

fn bytes(value: &JsValue) -> Result<Vec<u8>, JsValue> {
    value.dyn_ref::<Uint8Array>().map(Uint8Array::to_vec).ok_or_else(|| usage("a file's bytes are wanted"))
}

fn read(bytes: &[u8], name: &str) -> Result<image_io::LoadedPicture, JsValue> {
    let told = |error: image_io::ImageError| told(error.into());
    let name = Path::new(name);
    let (width, height) = image_io::dimensions_from(bytes, name).map_err(told)?;
    if u64::from(width) * u64::from(height) > MOST_PIXELS {
        let name = name.display();
        return Err(usage(&format!("{name}: {width} x {height} pixels are too many for a browser; scale it down")));
    }
    image_io::load_rgb_from(bytes, name, &PictureOptions::default()).map_err(told)
}

fn example(picture: &[u8], mask: &[u8], number: u32) -> Result<(Example, Vec<String>), JsValue> {
    let picture = read(picture, &format!("the picture of example {number}"))?;
    let name = format!("the mask of example {number}");
    let loaded = image_io::load_mask_from(mask, Path::new(&name), &picture, MaskReading::default());
    let LoadedMask { mask, warnings } = loaded.map_err(|error| told(error.into()))?;
    let notes = picture.notes.iter().map(|note| format!("the picture of example {number}: {note}"));
    let warnings = notes.chain(warnings.iter().map(|warning| format!("{name}: {warning}"))).collect();
    Ok((Example::new(picture.rgb, mask).map_err(told)?, warnings))
}
