//! Shared by the parity and fault tests: fixtures made by `tools/reference`, and running them.
#![allow(dead_code)] // each test file uses its own part

// Tests choose a driver as the command does.
#[path = "../../src/cli/environment.rs"]
mod environment;

use diffews_wgpu::gpu::AdapterChoice;
use diffews_wgpu::image_io::{RgbImage, load_mask, load_rgb};
use diffews_wgpu::model::Model;
use diffews_wgpu::plan::Recording;
use diffews_wgpu::segment::{Pass, SelfCheck};
use diffews_wgpu::weights::ModelFiles;
use diffews_wgpu::{Error, Example, Gpu, Precision, Segmentation, Segmenter, SupportBank};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// One fixture: a checkpoint, pictures, and PyTorch's numbers in f64.
pub struct Fixture {
    pub name: String,
    dir: PathBuf,
    spec: serde_json::Value,
    pub expected: HashMap<String, Vec<f32>>,
}

pub fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

pub fn fixtures() -> Vec<Fixture> {
    let mut dirs: Vec<PathBuf> = std::fs::read_dir(golden()).unwrap().map(|e| e.unwrap().path()).collect();
    dirs.sort();
    dirs.into_iter().filter(|d| d.join("fixture.json").exists()).map(Fixture::open).collect()
}

impl Fixture {
    fn open(dir: PathBuf) -> Fixture {
        let spec = serde_json::from_slice(&std::fs::read(dir.join("fixture.json")).unwrap()).unwrap();
        let bytes = std::fs::read(dir.join("expected.safetensors")).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let values = |t: &safetensors::tensor::TensorView| bytemuck::pod_collect_to_vec::<u8, f32>(t.data());
        let expected = tensors.tensors().iter().map(|(name, t)| (name.clone(), values(t))).collect();
        Fixture { name: dir.file_name().unwrap().to_string_lossy().into_owned(), dir, spec, expected }
    }

    pub fn named(name: &str) -> Fixture {
        Fixture::open(golden().join(name))
    }

    fn path(&self, key: &str) -> Option<PathBuf> {
        self.spec.get(key)?.as_str().map(|p| self.dir.join(p))
    }

    /// The base checkpoint's directory and, if separate, the UNet's.
    pub fn weights(&self) -> (PathBuf, Option<PathBuf>) {
        (self.path("weights").unwrap_or(self.dir.clone()), self.path("unet"))
    }

    pub fn supports(&self) -> Vec<Example> {
        let pairs = self.spec["supports"].as_array().unwrap().clone();
        let file = |v: &serde_json::Value| self.dir.join(v.as_str().unwrap());
        let load = |pair: serde_json::Value| {
            let image = load_rgb(&file(&pair[0])).unwrap();
            let mask = load_mask(&file(&pair[1]), image.dimensions()).unwrap().mask;
            Example::new(image, mask).unwrap()
        };
        pairs.into_iter().map(load).collect()
    }

    pub fn query(&self) -> RgbImage {
        load_rgb(&self.path("query").unwrap()).unwrap()
    }

    pub fn model(&self) -> Model {
        let (dir, unet) = self.weights();
        Model::load(ModelFiles::open(&dir, unet.as_deref()).unwrap()).unwrap()
    }
}

/// A run of a fixture, and the values left in its plans.
pub struct Run {
    pub segmenter: Segmenter,
    pub bank: SupportBank,
    pub result: Segmentation,
}

/// Runs `model` on the fixture's pictures, and passes each recording to `edit` first.
pub fn run(
    fixture: &Fixture,
    gpu: Gpu,
    model: Model,
    precision: Precision,
    edit: &mut dyn FnMut(Pass, &mut Recording),
) -> Result<Run, Error> {
    let supports = fixture.supports();
    let builder = Segmenter::builder().gpu(gpu).model(model).precision(precision).shots(supports.len());
    let segmenter = builder.self_check(SelfCheck::Off).plan_with(edit)?.allocate()?;
    let bank = segmenter.encode(&supports)?;
    let result = segmenter.segment(&bank, &fixture.query())?;
    Ok(Run { segmenter, bank, result })
}

/// The adapter that the environment names.
pub fn choice() -> AdapterChoice {
    environment::choice(None, None).expect("WGPU_BACKEND names backends")
}

pub fn gpu() -> Gpu {
    Gpu::new(&choice()).expect("an adapter is present")
}

/// || got - expected || / || expected ||; NaN where anything is NaN.
pub fn relative_l2(got: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(got.len(), expected.len(), "lengths differ");
    let square = |it: &mut dyn Iterator<Item = f64>| it.map(|v| v * v).sum::<f64>();
    let difference = square(&mut got.iter().zip(expected).map(|(&a, &b)| a as f64 - b as f64));
    (difference / square(&mut expected.iter().map(|&v| v as f64))).sqrt()
}

/// The weights file `name` of `dir`, converted to f32, with one tensor changed.
pub fn rewritten(dir: &Path, name: &str, change: impl Fn(&mut [f32], &[usize])) -> Vec<u8> {
    let entry = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    let file = entry.into_iter().find(|p| p.extension().is_some_and(|e| e == "safetensors")).unwrap();
    let bytes = std::fs::read(file).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut found = false;
    let mut all = Vec::new();
    for (key, view) in tensors.tensors() {
        let mut values: Vec<f32> = match view.dtype() {
            safetensors::Dtype::F32 => bytemuck::pod_collect_to_vec(view.data()),
            safetensors::Dtype::F16 => {
                bytemuck::pod_collect_to_vec::<u8, half::f16>(view.data()).iter().map(|v| v.to_f32()).collect()
            }
            other => panic!("{key}: {other:?}"),
        };
        if key == name {
            change(&mut values, view.shape());
            found = true;
        }
        all.push((key, view.shape().to_vec(), bytemuck::cast_slice::<f32, u8>(&values).to_vec()));
    }
    assert!(found, "no tensor {name}");
    let views = all.iter().map(|(key, shape, data)| {
        (key.as_str(), safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), data).unwrap())
    });
    safetensors::serialize(views, None).unwrap()
}
