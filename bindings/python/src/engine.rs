//! The segmenter and its banks.

use crate::errors;
use crate::owned::Owned;
use crate::picture::{self, Examples, Picture, Shape};
use crate::prediction::{self, Image, Prediction};
use crate::watch;
use diffews_wgpu::gpu::{AdapterChoice, check_backend};
use diffews_wgpu::image_io::{Framing, LoadedPicture, PictureOptions, Tiles};
use diffews_wgpu::segment::{BankOptions, BankStorage, KvSample, SelfCheck};
use diffews_wgpu::tune::Tuning;
use diffews_wgpu::{BankFile, Error, Gpu, GuidedFilter, MaskRule, Precision, Segmenter, SupportBank, Threshold};
use pyo3::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The arguments of Python's `Segmenter`.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Asked {
    weights: Option<PathBuf>,
    unet: Option<PathBuf>,
    size: Option<u32>,
    precision: String,
    backend: Option<String>,
    adapter: Option<String>,
    shots: usize,
    kv_sample: Option<usize>,
    kv_seed: u64,
    fit: String,
    guided_filter: Option<(u32, f64)>,
    threshold: Option<f64>,
    absolute_threshold: Option<f64>,
    min_score: f64,
    max_memory: Option<u64>,
    self_check: bool,
    cache: Option<PathBuf>,
    tune: bool,
    tune_seconds: Option<f64>,
}

pub fn unknown(what: &str, given: &str, known: &[&str]) -> Error {
    Error::Usage(format!("{what} is {given:?}; it must be one of {}", known.join(", ")))
}

pub fn choice(backend: Option<&str>, adapter: Option<String>) -> Result<AdapterChoice, Error> {
    let backends = match backend {
        None => wgpu::Backends::all(),
        Some("vulkan") => wgpu::Backends::VULKAN,
        Some("metal") => wgpu::Backends::METAL,
        Some("dx12") => wgpu::Backends::DX12,
        Some("gl") => wgpu::Backends::GL,
        Some(other) => return Err(unknown("backend", other, &["vulkan", "metal", "dx12", "gl"])),
    };
    let choice = AdapterChoice { backends, adapter, ..Default::default() };
    check_backend(&choice)?;
    Ok(choice)
}

impl Asked {
    fn open(self, progress: diffews_wgpu::segment::Progress) -> Result<(Segmenter, Vec<String>), Error> {
        let names = Framing::ALL.map(Framing::name);
        let framing = Framing::ALL.into_iter().find(|framing| framing.name() == self.fit);
        let framing = framing.ok_or_else(|| unknown("fit", &self.fit, &names))?;
        let precision = self.precision.parse::<Precision>();
        let precision =
            precision.map_err(|_| unknown("precision", &self.precision, &Precision::ALL.map(Precision::name)))?;
        let none = MaskRule { threshold: Threshold::PAPER, min_score: self.min_score };
        let rule = prediction::rule(none, self.threshold, self.absolute_threshold, None)?;
        let choice = choice(self.backend.as_deref(), self.adapter)?;
        let gpu = Gpu::new(&choice)?.interrupted_by(watch::interrupted);
        let mut builder = Segmenter::builder().gpu(gpu).precision(precision).shots(self.shots).framing(framing);
        builder = builder.min_score(rule.min_score);
        if self.threshold.or(self.absolute_threshold).is_some() {
            builder = builder.threshold(rule.threshold);
        }
        if let Some(dir) = self.weights {
            builder = builder.weights(dir);
        }
        if let Some(dir) = self.unet {
            builder = builder.unet(dir);
        }
        if let Some(size) = self.size {
            builder = builder.size(size);
        }
        if let Some(supports) = self.kv_sample {
            builder = builder.kv_sample(KvSample { supports, seed: self.kv_seed });
        }
        if let Some((radius, epsilon)) = self.guided_filter {
            builder = builder.guided_filter(GuidedFilter { radius, epsilon });
        }
        if let Some(bytes) = self.max_memory {
            builder = builder.memory(bytes);
        }
        builder = builder.self_check(match (self.self_check, &self.cache) {
            (false, _) => SelfCheck::Off,
            (true, Some(dir)) => SelfCheck::Remembered(dir.clone()),
            (true, None) => SelfCheck::Each,
        });
        match (self.tune, &self.cache) {
            (true, None) => return Err(Error::Usage("tuning needs a cache directory; give one".into())),
            (true, Some(dir)) => {
                builder = builder.tuning(Tuning { seconds: self.tune_seconds, ..Tuning::in_dir(dir) });
            }
            (false, _) => {}
        }
        if let Some(dir) = self.cache {
            builder = builder.pipelines(dir);
        }
        let planned = builder.plan()?.tune_with(progress)?;
        let mut warnings: Vec<String> = planned.model().warnings().iter().map(ToString::to_string).collect();
        warnings.extend_from_slice(planned.notes());
        let segmenter = planned.allocate_with(progress)?;
        warnings.extend(segmenter.overflow().map(|why| format!("{why}; everything runs in f32")));
        Ok((segmenter, warnings))
    }
}

/// A segmenter, usable only in the process that opened it.
type Open = Owned<Segmenter>;

/// The address that identifies the segmenter of a call.
fn enter(open: &Open) -> PyResult<Option<usize>> {
    match open.is_here() {
        true => Ok(Some(std::ptr::from_ref::<Segmenter>(open).addr())),
        false => Err(errors::other(
            "the segmenter was opened in another process, and a device does not outlive a fork: open one in each process \
             (multiprocessing: the start method \"spawn\")",
        )),
    }
}

/// Reads a picture as all of `banks` need it. Examples of 16 bits determine white for their bank.
fn load(picture: &Picture, banks: &[&Bank]) -> Result<LoadedPicture, Error> {
    let options = banks.first().map(|bank| bank.options.clone()).unwrap_or_default();
    let loaded = picture.load(&options)?;
    for bank in banks.iter().filter(|bank| bank.options != options) {
        if picture.load(&bank.options)?.rgb != loaded.rgb {
            return Err(Error::Usage(format!(
                "{}: the examples of these banks use different numbers of bits, so its 16-bit samples have no common meaning; \
                segment it with each bank separately",
                picture.name("the image"),
            )));
        }
    }
    Ok(loaded)
}

#[pyclass(frozen, name = "Segmenter", module = "diffews_wgpu._native")]
pub struct Engine {
    open: Arc<Open>,
    #[pyo3(get)]
    warnings: Vec<String>,
}

#[pymethods]
impl Engine {
    #[new]
    fn new(py: Python<'_>, asked: Asked, progress: Option<Py<PyAny>>) -> PyResult<Engine> {
        let (segmenter, warnings) = watch::watched(py, None, progress.as_ref(), |progress| asked.open(progress))?;
        Ok(Engine { open: Arc::new(Open::new(segmenter)), warnings })
    }

    #[getter]
    fn size(&self) -> u32 {
        self.open.size()
    }

    #[getter]
    fn precision(&self) -> &'static str {
        self.open.precision().name()
    }

    #[getter]
    fn fit(&self) -> &'static str {
        self.open.framing().name()
    }

    #[getter]
    fn model(&self) -> &str {
        self.open.model().name()
    }

    /// As JSON.
    #[getter]
    fn adapter(&self) -> PyResult<String> {
        json(serde_json::to_string(self.open.gpu().facts()))
    }

    fn encode(
        &self,
        py: Python<'_>,
        pictures: Vec<Picture>,
        shapes: Vec<Shape>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bank> {
        self.bank(py, progress, |segmenter, progress| {
            let Examples { all, warnings, options } = Examples::load(&pictures, &shapes)?;
            Ok((segmenter.encode_with(&all, progress)?, options, warnings))
        })
    }

    fn load_bank(&self, py: Python<'_>, files: Vec<PathBuf>, progress: Option<Py<PyAny>>) -> PyResult<Bank> {
        self.bank(py, progress, |segmenter, progress| {
            let files = files.iter().map(BankFile::open).collect::<Result<Vec<_>, _>>()?;
            Ok((segmenter.load_bank(&files, &[], progress)?, PictureOptions::default(), Vec::new()))
        })
    }

    /// Encodes the picture once, and gives a result for each bank but the `negative` one.
    #[expect(clippy::too_many_arguments, reason = "Python gives each by itself")]
    fn segment(
        &self,
        py: Python<'_>,
        banks: Vec<Py<Bank>>,
        picture: Picture,
        threshold: Option<f64>,
        absolute: Option<f64>,
        min_score: Option<f64>,
        tiles: Option<(u32, u32)>,
        negative: Option<Py<Bank>>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Vec<Prediction>> {
        let segmenter = &self.open;
        // What is not meant comes last, as another class.
        let banks: Vec<&Bank> = banks.iter().chain(&negative).map(Py::get).collect();
        watch::watched(py, enter(&self.open)?, progress.as_ref(), |progress| {
            let rule = prediction::rule(segmenter.mask_rule(), threshold, absolute, min_score)?;
            let tiles = tiles.map(|(side, overlap)| Tiles::new(side, overlap)).transpose().map_err(Error::Usage)?;
            let loaded = load(&picture, &banks)?;
            let odd: Vec<String> = picture::odd(&loaded, &picture.name("the image")).collect();
            let banks: Vec<&SupportBank> = banks.iter().map(|bank| &*bank.bank).collect();
            let found = match tiles {
                Some(tiles) => segmenter.segment_tiled(&banks, &loaded.rgb, tiles, progress)?,
                None => segmenter.segment_classes(&banks, &loaded.rgb, progress)?,
            };
            let image = Image::new(&picture, loaded);
            let mut found: Vec<Prediction> =
                found.into_iter().map(|found| Prediction::new(found, image.clone(), rule)).collect();
            if negative.is_some() {
                prediction::keep_negative(&mut found);
            }
            if let Some(first) = found.first_mut() {
                // The banks share the picture: report its notes once.
                first.warnings.splice(..0, odd);
            }
            Ok(found)
        })
    }
}

type Progress<'a> = diffews_wgpu::segment::Progress<'a>;

impl Engine {
    fn bank(
        &self,
        py: Python<'_>,
        progress: Option<Py<PyAny>>,
        make: impl FnOnce(&Segmenter, Progress) -> Result<(SupportBank, PictureOptions, Vec<String>), Error> + Send,
    ) -> PyResult<Bank> {
        let (bank, options, mut warnings) =
            watch::watched(py, enter(&self.open)?, progress.as_ref(), |progress| make(&self.open, progress))?;
        warnings.extend(bank.overflow().map(|why| format!("{why}; encoded again in f32")));
        Ok(Bank { open: self.open.clone(), bank: Owned::new(bank), options, warnings })
    }
}

#[pyclass(frozen, module = "diffews_wgpu._native")]
pub struct Bank {
    open: Arc<Open>,
    bank: Owned<SupportBank>,
    /// How query pictures are read.
    options: PictureOptions,
    #[pyo3(get)]
    warnings: Vec<String>,
}

#[pymethods]
impl Bank {
    #[getter]
    fn shots(&self) -> usize {
        self.bank.shots()
    }

    #[getter]
    fn precision(&self) -> &'static str {
        self.bank.precision().name()
    }

    fn save(&self, py: Python<'_>, path: PathBuf, f32: bool, name: Option<String>, overwrite: bool) -> PyResult<()> {
        watch::watched(py, enter(&self.open)?, None, |_| {
            let storage = if f32 { BankStorage::F32 } else { BankStorage::Half };
            let options = BankOptions { name: name.as_deref(), storage, force: overwrite };
            self.open.save_bank(&self.bank, Path::new(&path), &options)
        })
    }
}

pub fn json(written: serde_json::Result<String>) -> PyResult<String> {
    written.map_err(|error| errors::other(error.to_string()))
}
