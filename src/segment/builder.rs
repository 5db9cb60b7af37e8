//! Building a segmenter.

use super::kept_pipelines::KeptPipelines;
use super::known_answers::{KnownAnswers, SelfCheck};
use super::options::quiet;
use super::planned::Setup;
use super::tuning::Tuner;
use super::{Edit, KvSample, Planned, Precision, Progress, Segmenter};
use crate::Error;
use crate::gpu::{Gpu, block_on};
use crate::image_io::Framing;
use crate::model::Model;
use crate::plan::Policy;
use crate::settings::{GuidedFilter, MaskRule, Threshold};
use crate::tune::Tuning;
use crate::weights::ModelFiles;
use std::path::PathBuf;

/// Settings of a [`Segmenter`]; all are optional.
#[derive(Default)]
#[must_use]
pub struct SegmenterBuilder {
    weights: Option<PathBuf>,
    unet: Option<PathBuf>,
    given: Option<Given>,
    size: Option<u32>,
    precision: Precision,
    shots: usize,
    kv_sample: Option<KvSample>,
    gpu: Option<Gpu>,
    guided_filter: Option<GuidedFilter>,
    threshold: Option<Threshold>,
    min_score: f64,
    framing: Framing,
    memory: Option<u64>,
    self_check: SelfCheck,
    tuning: Option<Tuning>,
    pipelines: Option<PathBuf>,
}

/// A model that was opened before.
enum Given {
    Files(Box<ModelFiles>),
    Model(Box<Model>),
}

impl Segmenter {
    /// A builder for the embedded model on the best adapter.
    pub fn builder() -> SegmenterBuilder {
        SegmenterBuilder::default()
    }
}

impl SegmenterBuilder {
    /// The model's directory in the diffusers layout; by default the embedded model.
    pub fn weights(mut self, dir: impl Into<PathBuf>) -> Self {
        self.weights = Some(dir.into());
        self
    }

    /// The directory of the fine-tuned UNet, if it is not in the model's directory.
    pub fn unet(mut self, dir: impl Into<PathBuf>) -> Self {
        self.unet = Some(dir.into());
        self
    }

    /// The model's files, opened before.
    pub fn files(mut self, files: ModelFiles) -> Self {
        self.given = Some(Given::Files(Box::new(files)));
        self
    }

    /// A model, loaded before.
    pub fn model(mut self, model: Model) -> Self {
        self.given = Some(Given::Model(Box::new(model)));
        self
    }

    /// Side of the square that pictures are resized to, in pixels; by default the model's own.
    pub fn size(mut self, size: u32) -> Self {
        self.size = Some(size);
        self
    }

    /// How values are stored; [`Precision::Auto`] by default.
    pub fn precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// Number of examples in a bank for the memory plan; one by default. Banks of other sizes work, too.
    pub fn shots(mut self, shots: usize) -> Self {
        self.shots = shots;
        self
    }

    /// Keeps a random sample of each bank's keys, as many as the given number of supports have: the cost of a query then stops growing
    /// with the supports. The paper reports mIoU of 74.7 and 73.4 for 5 and 10 shots instead of 72.2 and 70.1 (COCO-20i); its code lacks it.
    pub fn kv_sample(mut self, sample: KvSample) -> Self {
        self.kv_sample = Some(sample);
        self
    }

    /// The device; by default the best one is opened.
    pub fn gpu(mut self, gpu: Gpu) -> Self {
        self.gpu = Some(gpu);
        self
    }

    /// The guided filter that refines outlines; by default the model's own. [`GuidedFilter::OFF`] gives DiffewS' own map.
    pub fn guided_filter(mut self, filter: GuidedFilter) -> Self {
        self.guided_filter = Some(filter);
        self
    }

    /// The threshold of the foreground; by default the model's own.
    pub fn threshold(mut self, threshold: Threshold) -> Self {
        self.threshold = Some(threshold);
        self
    }

    /// How examples and queries are made square; by default they are squashed, as in the paper.
    pub fn framing(mut self, framing: Framing) -> Self {
        self.framing = framing;
        self
    }

    /// The score ([`Segmentation::score`](super::Segmentation::score), in [0, 1]) below which the mask is empty. By default the threshold
    /// alone decides.
    pub fn min_score(mut self, min_score: f64) -> Self {
        self.min_score = min_score;
        self
    }

    /// Most bytes to use on the device, to leave memory to other programs. Weights that do not fit are uploaded when they are needed,
    /// which takes time and changes no result.
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory = Some(bytes);
        self
    }

    /// Whether the device must pass a self-check before its first result; [`SelfCheck::Each`] by default.
    pub fn self_check(mut self, self_check: SelfCheck) -> Self {
        self.self_check = self_check;
        self
    }

    /// Chooses the fastest kernel forms on this device. [`SegmenterBuilder::build`] and [`Planned::tune`] measure them if `tuning`'s
    /// directory has no measurements. Off by default: it takes seconds and writes a file, and the choice, and so the last bits of a
    /// result, may differ from one measurement to the next. The error bounds hold in any case. Without it, a fixed rule
    /// chooses.
    pub fn tuning(mut self, tuning: Tuning) -> Self {
        self.tuning = Some(tuning);
        self
    }

    /// Keeps the driver's pipeline cache in a file in this directory, if the driver has one, so that later runs need not compile
    /// pipelines. Creates the directory if needed. Off by default. The driver trusts the file, so others should not be able to write
    /// to the directory.
    pub fn pipelines(mut self, dir: impl Into<PathBuf>) -> Self {
        self.pipelines = Some(dir.into());
        self
    }

    /// Loads the model on the device.
    ///
    /// # Errors
    /// As [`SegmenterBuilder::plan`], [`Planned::tune`] and [`Planned::allocate`].
    pub fn build(self) -> Result<Segmenter, Error> {
        self.plan()?.tune()?.allocate_with(&mut quiet)
    }

    /// [`SegmenterBuilder::build`] without blocking, with reports to `progress`. Measures nothing.
    ///
    /// # Errors
    /// As [`SegmenterBuilder::plan`] and [`Planned::allocate`].
    pub async fn build_async(self, progress: Progress<'_>) -> Result<Segmenter, Error> {
        self.plan_async().await?.allocate_async(progress).await
    }

    /// Plans everything without taking memory on the device. Uses earlier measurements of forms, and makes no new ones.
    ///
    /// # Errors
    /// A model that cannot be used, no usable adapter, a size that the network cannot halve evenly, a tensor beyond the
    /// adapter's limits, more memory than the adapter has, an invalid threshold or guided filter.
    pub fn plan(self) -> Result<Planned, Error> {
        block_on(self.planned(None))
    }

    /// [`SegmenterBuilder::plan`] without blocking.
    ///
    /// # Errors
    /// As there.
    pub async fn plan_async(self) -> Result<Planned, Error> {
        self.planned(None).await
    }

    /// [`SegmenterBuilder::plan`] with a hook on each of the four recordings. An overflow is then an error.
    #[doc(hidden)]
    pub fn plan_with(self, edit: Edit) -> Result<Planned, Error> {
        block_on(self.planned(Some(edit)))
    }

    async fn planned(self, edit: Option<Edit<'_>>) -> Result<Planned, Error> {
        let model = match (self.given, &self.weights) {
            (Some(Given::Model(model)), _) => *model,
            (Some(Given::Files(files)), _) => Model::load(*files)?,
            (None, Some(dir)) => Model::load(ModelFiles::open(dir, self.unet.as_deref())?)?,
            (None, None) if self.unet.is_some() => {
                return Err(Error::Usage(
                    "the UNet's directory was given without the directory of the weights; give both".into(),
                ));
            }
            (None, None) => Model::load(unnamed()?)?,
        };
        let size = self.size.unwrap_or(model.default_size());
        model.config().check_size(size as usize)?;
        let guided_filter = self.guided_filter.or(model.default_guided_filter()).filter(|f| f.radius > 0);
        let checked = guided_filter.map(GuidedFilter::check).transpose();
        checked.map_err(|e| Error::Usage(format!("the guided filter has {e}")))?;
        let threshold = self.threshold.unwrap_or(model.default_threshold());
        let rule = MaskRule { threshold, min_score: self.min_score }.check().map_err(Error::Usage)?;
        let gpu = match self.gpu {
            Some(gpu) => gpu,
            None => Gpu::request(&Default::default()).await?,
        };
        let memory = self.memory.into_iter().chain(gpu.facts().memory_bytes).min();
        if self.kv_sample.is_some_and(|sample| sample.supports == 0) {
            return Err(Error::Usage("a sample of 0 supports is empty; sample at least one".into()));
        }
        let shots = self.kv_sample.map_or(self.shots, |sample| self.shots.min(sample.supports)).max(1);
        let (kv_sample, known_answers) = (self.kv_sample, KnownAnswers::new(self.self_check));
        let edited = edit.is_some();
        // Edited recordings exist only once.
        let tuning = self.tuning.filter(|_| !edited).map(|tuning| Tuner::read(tuning, gpu.facts()));
        let (tuner, fault) = tuning.map_or((None, None), |(tuner, fault)| (Some(tuner), fault));
        let (pipelines, broken) = self.pipelines.map(|dir| KeptPipelines::read(&dir, &gpu)).unzip();
        let broken = broken.flatten().map(|fault| format!("kept pipelines cannot be used: {fault}"));
        let setup = Setup {
            gpu,
            model,
            size,
            shots,
            guided_filter,
            rule,
            framing: self.framing,
            kv_sample,
            known_answers,
            pipelines,
            tuner,
            memory,
        };
        setup.check_first_layer()?;
        let draft = setup.draft_as(self.precision, edit.unwrap_or(&mut |_, _| {}))?;
        let retries = !edited && draft.storage != Policy::F32;
        Ok(Planned { setup, draft, retries, notes: fault.into_iter().chain(broken).collect() })
    }
}

/// The default model.
#[cfg(feature = "embedded")]
fn unnamed() -> Result<ModelFiles, Error> {
    Ok(ModelFiles::embedded()?)
}

#[cfg(not(feature = "embedded"))]
fn unnamed() -> Result<ModelFiles, Error> {
    Err(Error::Usage("no weights were given, and no model is embedded (cargo feature `embedded`)".into()))
}
