//! Whole models: their configurations, and their tensors.

use super::{Ran, Runner, seeds};
use crate::mutate::safetensors::{join, split};
use diffews_wgpu::GuidedFilter;
use diffews_wgpu::eval::fingerprint;
use diffews_wgpu::kernels::attention::KeyValue;
use diffews_wgpu::kernels::guided_filter;
use diffews_wgpu::model::Model;
use diffews_wgpu::plan::{Channels, Element, Forms, Limits, Policy, Recorder, Schedule, Tensor};
use diffews_wgpu::shader::Facts;
use diffews_wgpu::weights::ModelFiles;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// Small models of the tests: with embeddings, and with a text encoder.
const MODELS: [&str; 3] = ["odd", "five", "sd21"];
const CONFIGS: [&str; 5] = [
    "unet/config.json",
    "vae/config.json",
    "text_encoder/config.json",
    "scheduler/scheduler_config.json",
    "diffews.json",
];
/// Plans for larger pictures legitimately take long to record.
const MOST: u32 = 512;

/// A JSON object with the model's number, a size, and its configurations by path.
pub fn seeds() -> Vec<Vec<u8>> {
    let of = |(number, model): (usize, &&str)| {
        let mut all = json!({"model": number, "size": 64});
        for path in CONFIGS {
            let text =
                fs::read_to_string(seeds::repository(&format!("tests/golden/{model}/{path}"))).unwrap_or_default();
            if let Ok(value) = serde_json::from_str::<Value>(&text) {
                all[path] = value;
            }
        }
        all.to_string().into_bytes()
    };
    MODELS.iter().enumerate().map(of).collect()
}

/// Copies of the models, whose files may be replaced.
fn copies(dir: &Path) -> Vec<PathBuf> {
    let copy = |model: &&str| {
        let (from, to) = (seeds::repository(&format!("tests/golden/{model}")), dir.join(model));
        for part in ["", "unet", "vae", "text_encoder", "scheduler"] {
            for entry in fs::read_dir(from.join(part)).into_iter().flatten().flatten().filter(|e| e.path().is_file()) {
                let bytes = fs::read(entry.path()).unwrap_or_default();
                seeds::write(&to.join(part).join(entry.file_name()), &bytes);
            }
        }
        to
    };
    MODELS.iter().map(copy).collect()
}

pub fn open(dir: &Path) -> Runner {
    let models = copies(dir);
    Box::new(move |bytes, _| {
        let Ok(input) = serde_json::from_slice::<Value>(bytes) else { return Ran::new(false) };
        let number = input["model"].as_u64().unwrap_or(0) as usize % models.len();
        for path in CONFIGS {
            let file = models[number].join(path);
            match &input[path] {
                Value::Null => drop(fs::remove_file(file)),
                // Text, which need not be JSON.
                Value::String(text) => seeds::write(&file, text.as_bytes()),
                value => seeds::write(&file, value.to_string().as_bytes()),
            }
        }
        let Some(model) = load(&models[number]) else { return Ran::new(false) };
        let size = input["size"].as_u64().unwrap_or(64) as usize;
        if model.config().check_size(size).is_err() || size as u32 > MOST {
            return Ran::new(false);
        }
        Ran::new(record(&model, size as u32, Policy::F32) & record(&model, size as u32, Policy::PACKED))
    })
}

fn load(dir: &Path) -> Option<Model> {
    let model = Model::load(ModelFiles::open(dir, None).ok()?);
    if let Err(error) = &model {
        error.to_string();
    }
    model.ok()
}

/// Records the four plans as `Segmenter` does, for an adapter with common limits.
fn record(model: &Model, size: u32, storage: Policy) -> bool {
    let limits = Limits { max_buffer: 1 << 31, max_work: 1 << 36, ..Limits::WEBGPU };
    let recorder = || Recorder::new(storage, Forms::by_rule(Facts::LEAST), limits.clone());
    let finish = |mut r: Recorder, outputs: &[Tensor]| {
        outputs.iter().for_each(|t| r.output(t));
        r.finish().map(|recording| Schedule::new(recording).arena_bytes()).is_ok()
    };
    let side = model.config().latent_size(size as usize) as u32;
    let latent = Channels::one(model.config().vae.latent_channels as u32);
    let mut r = recorder();
    let image = r.input("image", size, size, Channels::one(3));
    let out = model.encoder.forward(&mut r, &image);
    let encoded = finish(r, &[out]);

    let mut r = recorder();
    let [image, mask] = ["image", "mask"].map(|name| r.input(name, side, side, latent.clone()));
    let bank: Vec<Tensor> = model.unet.support(&mut r, &image, &mask).into_iter().flat_map(|kv| [kv.k, kv.v]).collect();
    let supported = finish(r, &bank);

    let mut r = recorder();
    let input = r.input("query", side, side, latent.clone());
    let mut two = |t: &Tensor| r.input(&t.name, 2 * t.height, t.width, t.channels.clone());
    let banked: Vec<Vec<KeyValue>> =
        bank.chunks_exact(2).map(|kv| vec![KeyValue { k: two(&kv[0]), v: two(&kv[1]) }]).collect();
    let out = model.unet.query(&mut r, &input, &banked);
    let queried = finish(r, &[out]);

    let mut r = recorder();
    let input = r.input("latent", side, side, latent);
    let drawn = model.decoder.forward(&mut r, &input);
    let guide = r.input_of("guide", size, size, Channels::one(3), Element::F32);
    let filter = model.default_guided_filter().unwrap_or(GuidedFilter { radius: 3, epsilon: 1e-5 });
    let refined = guided_filter::record(&mut r, &drawn, &guide, filter);
    encoded & supported & queried & finish(r, &[refined])
}

const PARTS: [&str; 3] = ["unet", "vae", "text_encoder"];

/// The file of a component's tensors.
fn tensors(dir: &Path) -> Option<PathBuf> {
    let mut files = fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path());
    files.find(|p| p.extension().is_some_and(|e| e == "safetensors"))
}

/// A JSON object with the model's number, the component, the header of its tensors, and the excess length of its data.
pub fn layer_seeds() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for (number, model) in MODELS.iter().enumerate() {
        for part in PARTS {
            let file = tensors(&seeds::repository(&format!("tests/golden/{model}/{part}")));
            let bytes = file.and_then(|f| fs::read(f).ok()).unwrap_or_default();
            if let Some(Ok(header)) = split(&bytes).map(|(header, _)| serde_json::from_slice::<Value>(header)) {
                all.push(json!({"model": number, "part": part, "header": header, "extra": 0}).to_string().into_bytes());
            }
        }
    }
    all
}

pub fn open_layers(dir: &Path) -> Runner {
    let models = copies(dir);
    Box::new(move |bytes, _| {
        let Ok(input) = serde_json::from_slice::<Value>(bytes) else { return Ran::new(false) };
        let model = &models[input["model"].as_u64().unwrap_or(0) as usize % models.len()];
        let part = PARTS.iter().find(|part| input["part"] == **part).unwrap_or(&"unet");
        let Some(file) = tensors(&model.join(part)) else { return Ran::new(false) };
        let whole = fs::read(&file).unwrap_or_default();
        let Some((_, data)) = split(&whole) else { return Ran::new(false) };
        let mut data = data.to_vec();
        let extra = input["extra"].as_i64().unwrap_or(0).clamp(-4096, 4096);
        data.resize(data.len().saturating_add_signed(extra as isize), 0x3c);
        seeds::write(&file, &join(input["header"].to_string().as_bytes(), &data));
        let accepted = constants(model);
        seeds::write(&file, &whole);
        // The model's own tensors, several times over.
        Ran { accepted, allowed: 8 * whole.len() }
    })
}

/// Loads everything that would be uploaded to the GPU.
fn constants(dir: &Path) -> bool {
    let named = ModelFiles::open(dir, None).is_ok_and(|files| fingerprint(&files).is_ok());
    let Some(model) = load(dir) else { return false };
    let read = |element| model.constants.tensors(element).all(|tensor| model.constants.data(&tensor).is_ok());
    named & read(Element::F32) & read(Element::Packed)
}
