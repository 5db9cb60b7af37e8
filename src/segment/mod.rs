//! From pictures to a map: the four plans of a model, their memory, and the order in which they run.

use crate::Error;
use crate::gpu::{Arena, BoundPlan, Gpu};
use crate::image_io::{self, DecodedMap, Mask, RgbImage};
use crate::model::Model;
use crate::plan::{Storage, Tensor, TensorId, layout};
use crate::settings::GuidedFilter;
use std::collections::HashMap;
use std::fmt;
use std::time::Instant;

mod memory;
mod parts;

pub use memory::MemoryPlan;
pub use parts::{Edit, Planned};
use parts::{Finish, Part, before_decoder, check_bank, query_part};

/// How elements are stored on the device; sums are f32 either way. Half precision is for the weights and for the
/// decoder's values, which take the most memory; the encoder's and the UNet's values stay f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// f32, or half precision where f32 would not fit the adapter's memory.
    #[default]
    Auto,
    F32,
    F16,
}

/// A part of the work, for progress, times and error messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    Load,
    EncodeSupport,
    Support,
    EncodeQuery,
    Query,
    Decode,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Stage::Load => "load weights",
            Stage::EncodeSupport => "encode support",
            Stage::Support => "support pass",
            Stage::EncodeQuery => "encode query",
            Stage::Query => "query pass",
            Stage::Decode => "decode",
        })
    }
}

/// Told of the share of a stage that is done (0 to 1); returns false to stop with [`Error::Interrupted`].
pub type Progress<'a> = &'a mut dyn FnMut(Stage, f64) -> bool;

/// What a [`Segmenter`] is built for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Side of the square that pictures are resized to; the model's default where `None`.
    pub size: Option<u32>,
    pub precision: Precision,
    /// Most supports of one bank, for the memory plan; at least one is planned for.
    pub shots: usize,
    /// How outlines are refined; as the model has it where `None`. [`GuidedFilter::OFF`] gives DiffewS' own map.
    pub guided_filter: Option<GuidedFilter>,
}

struct Bound {
    part: Part,
    plan: BoundPlan,
}

/// A model ready to run on one device at one size.
pub struct Segmenter {
    gpu: Gpu,
    model: Model,
    size: u32,
    storage: Storage,
    guided_filter: Option<GuidedFilter>,
    memory: MemoryPlan,
    encoder: Bound,
    support: Bound,
    decoder: Bound,
    /// As planned, for the most supports expected.
    query: Part,
    arena: Arena,
    constants: Vec<wgpu::Buffer>,
}

/// Keys and values of a support set, on the device: computed once, read by any number of queries.
pub struct SupportBank {
    shots: usize,
    /// The query plan, bound to this bank.
    query: BoundPlan,
    input: Tensor,
    output: Tensor,
    bank: Vec<Tensor>,
    times: Vec<(Stage, f64)>,
}

impl SupportBank {
    /// Number of supports.
    pub fn shots(&self) -> usize {
        self.shots
    }

    /// Seconds that each stage took, summed over the supports.
    pub fn times(&self) -> &[(Stage, f64)] {
        &self.times
    }
}

/// A query's map.
pub struct Segmentation {
    /// The decoder's output, its outlines refined where that was asked for; gives masks and probabilities at any size.
    pub map: DecodedMap,
    /// Seconds that each stage took.
    pub times: Vec<(Stage, f64)>,
}

impl Segmenter {
    pub fn size(&self) -> u32 {
        self.size
    }

    pub fn storage(&self) -> Storage {
        self.storage
    }

    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    pub fn model(&self) -> &Model {
        &self.model
    }

    pub fn memory(&self) -> &MemoryPlan {
        &self.memory
    }

    /// How outlines are refined, if they are.
    pub fn guided_filter(&self) -> Option<GuidedFilter> {
        self.guided_filter
    }

    /// The bank of one or more supports, each a picture and its mask (of the picture's size).
    ///
    /// # Errors
    /// No support at all, sizes that differ, or whatever the device reports.
    pub fn encode_support(&self, supports: &[(RgbImage, Mask)], progress: Progress) -> Result<SupportBank, Error> {
        if supports.is_empty() {
            return Err(Error::Usage("at least one support is needed".into()));
        }
        let shots = supports.len();
        check_bank(&self.gpu, before_decoder(self.storage), &self.support.part.outputs, shots)?;
        let query = self.query_for(shots)?;
        let (bank, latent) = (query.inputs[1..].to_vec(), query.inputs[0].clone());
        let plan = self.gpu.bind(query.name(), &query.schedule, &self.arena, &self.constants, HashMap::new())?;
        let mut clock = Clock::default();
        for (i, (image, mask)) in supports.iter().enumerate() {
            if mask.size() != image.dimensions() {
                return Err(Error::Usage(format!("support {}: the mask is not of the picture's size", i + 1)));
            }
            let share = |part: f64| (i as f64 + part) / shots as f64;
            let picture = image_io::to_model_input(&image_io::resize_bilinear_rgb(image, self.size, self.size));
            let mask = image_io::mask_to_model_input(&image_io::resize_nearest_mask(mask, self.size, self.size));
            for (input, (pixels, first)) in self.support.part.inputs.iter().zip([(&picture, 0.0), (&mask, 0.5)]) {
                let stage = Stage::EncodeSupport;
                clock.time(stage, || {
                    self.encode(pixels, input, &self.support.plan, stage, &mut |p| {
                        progress(stage, share(first + p / 2.0))
                    })
                })?;
            }
            clock.time(Stage::Support, || {
                self.run(&self.support.plan, &mut |p| progress(Stage::Support, share(p)))?;
                for (from, to) in self.support.part.outputs.iter().zip(&bank) {
                    let bytes = from.bytes(plan.storage());
                    let (Some(from), Some(to)) = (self.support.plan.buffer(from), plan.buffer(to)) else { continue };
                    self.gpu.copy(from, to, i as u64 * bytes, bytes)?;
                }
                Ok(())
            })?;
        }
        let output = query.outputs[0].clone();
        Ok(SupportBank { shots, query: plan, input: latent, output, bank, times: clock.0 })
    }

    /// The query plan for a number of supports. Its working memory does not depend on it.
    fn query_for(&self, shots: usize) -> Result<Part, Error> {
        let latent_size = self.model.config().latent_size(self.size as usize) as u32;
        let finish: Finish = &mut |name, mut r, inputs, outputs| {
            outputs.iter().for_each(|t| r.output(t));
            Ok(Part::new(name, r.finish()?, inputs, outputs))
        };
        let planned = self.query.inputs.get(1).map_or(0, |t| t.height / self.support.part.outputs[0].height) as usize;
        if planned == shots {
            return Ok(self.query.clone());
        }
        query_part(
            &self.gpu,
            &self.model,
            before_decoder(self.storage),
            latent_size,
            &self.support.part.outputs,
            shots,
            finish,
        )
    }

    /// The map of a query picture.
    ///
    /// # Errors
    /// NaN or infinity after a stage, or whatever the device reports.
    pub fn segment(&self, bank: &SupportBank, query: &RgbImage, progress: Progress) -> Result<Segmentation, Error> {
        let pixels = image_io::to_model_input(&image_io::resize_bilinear_rgb(query, self.size, self.size));
        let mut clock = Clock::default();
        let stage = Stage::EncodeQuery;
        clock.time(stage, || self.encode(&pixels, &bank.input, &bank.query, stage, &mut |p| progress(stage, p)))?;
        let input = &self.decoder.part.inputs[0];
        clock.time(Stage::Query, || {
            self.run(&bank.query, &mut |p| progress(Stage::Query, p))?;
            if !self.finite(&bank.query, &bank.output)? {
                let banked = bank.bank.iter().map(|t| self.finite(&bank.query, t)).collect::<Result<Vec<_>, _>>()?;
                let stage = if banked.iter().all(|&f| f) { Stage::Query } else { Stage::Support };
                return Err(Error::NotFinite { stage, storage: self.storage });
            }
            self.hand_over(&bank.query, &bank.output, &self.decoder.plan, input)
        })?;
        let rgb = clock.time(Stage::Decode, || {
            let Bound { part, plan } = &self.decoder;
            if let Some((guide, buffer)) = part.inputs.get(1).and_then(|t| Some((t, plan.buffer(t)?))) {
                self.gpu.upload(buffer, 0, &layout::to_bytes(guide, plan.storage(), &pixels))?;
            }
            self.run(plan, &mut |p| progress(Stage::Decode, p))?;
            // The filter clips what the decoder drew, which may hide that it is no number.
            for output in &part.outputs[1..] {
                if !self.finite(plan, output)? {
                    return Err(Error::NotFinite { stage: Stage::Decode, storage: self.storage });
                }
            }
            self.read(plan, &part.outputs[0])
        })?;
        if !rgb.iter().all(|v| v.is_finite()) {
            return Err(Error::NotFinite { stage: Stage::Decode, storage: self.storage });
        }
        Ok(Segmentation { map: DecodedMap::new(self.size, rgb)?, times: clock.0 })
    }

    /// `[S, S, 3]` pixels through the encoder into `input` of `next`.
    fn encode(
        &self,
        pixels: &[f32],
        input: &Tensor,
        next: &BoundPlan,
        stage: Stage,
        progress: &mut dyn FnMut(f64) -> bool,
    ) -> Result<(), Error> {
        let Bound { part, plan } = &self.encoder;
        let (image, latent) = (&part.inputs[0], &part.outputs[0]);
        if let Some(buffer) = plan.buffer(image) {
            self.gpu.upload(buffer, 0, &layout::to_bytes(image, plan.storage(), pixels))?;
        }
        self.run(plan, progress)?;
        if !self.finite(plan, latent)? {
            return Err(Error::NotFinite { stage, storage: self.storage });
        }
        self.hand_over(plan, latent, next, input)
    }

    /// An output to the input of the next plan, which may store it otherwise.
    fn hand_over(&self, from: &BoundPlan, output: &Tensor, to: &BoundPlan, input: &Tensor) -> Result<(), Error> {
        let (Some(a), Some(b)) = (from.buffer(output), to.buffer(input)) else { return Ok(()) };
        if from.storage() == to.storage() {
            return Ok(self.gpu.copy(a, b, 0, output.bytes(from.storage()))?);
        }
        let values = self.read(from, output)?;
        Ok(self.gpu.upload(b, 0, &layout::to_bytes(input, to.storage(), &values))?)
    }

    fn run(&self, plan: &BoundPlan, progress: &mut dyn FnMut(f64) -> bool) -> Result<(), Error> {
        Ok(self.gpu.run(plan, progress)?)
    }

    /// An input's or output's values, `[positions, channels]`.
    fn read(&self, plan: &BoundPlan, tensor: &Tensor) -> Result<Vec<f32>, Error> {
        let Some(buffer) = plan.buffer(tensor) else { return Ok(Vec::new()) };
        let bytes = self.gpu.download(buffer, tensor.bytes(plan.storage()))?;
        Ok(layout::from_bytes(tensor, plan.storage(), &bytes))
    }

    fn finite(&self, plan: &BoundPlan, tensor: &Tensor) -> Result<bool, Error> {
        Ok(self.read(plan, tensor)?.iter().all(|v| v.is_finite()))
    }

    /// Values marked by the model's layers, where the plan was edited to keep them: for tests.
    #[doc(hidden)]
    pub fn outputs(&self, bank: &SupportBank) -> Result<Vec<(String, Tensor, Vec<f32>)>, Error> {
        let mut all = Vec::new();
        let plans = [
            ("vae.", &self.encoder.part, &self.encoder.plan),
            ("support.", &self.support.part, &self.support.plan),
            ("query.", &self.query, &bank.query),
            ("vae.", &self.decoder.part, &self.decoder.plan),
        ];
        for (prefix, part, plan) in plans {
            let kept: Vec<TensorId> = part.schedule.recording.outputs.iter().map(|t| t.id).collect();
            for (path, tensor) in &part.schedule.recording.marks {
                if kept.contains(&tensor.id) {
                    all.push((format!("{prefix}{path}"), tensor.clone(), self.read(plan, tensor)?));
                }
            }
        }
        Ok(all)
    }
}

/// Seconds per stage.
#[derive(Default)]
struct Clock(Vec<(Stage, f64)>);

impl Clock {
    fn time<T>(&mut self, stage: Stage, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        let started = Instant::now();
        let result = work()?;
        let seconds = started.elapsed().as_secs_f64();
        match self.0.iter_mut().find(|t| t.0 == stage) {
            Some(entry) => entry.1 += seconds,
            None => self.0.push((stage, seconds)),
        }
        Ok(result)
    }
}
