//! A query's way through the passes.

use super::pass::{Bound, DecoderEnds, EncoderEnds, Ends, Pass, Recorded, Refined, SupportEnds};
use super::record::{Passes, Recipe};
use super::{MemoryPlan, Progress, Stage, SupportBank};
use crate::Error;
use crate::gpu::{Arena, Gpu, Port};
use crate::image_io::{self, DecodedMap, RgbImage};
use crate::model::Model;
use crate::plan::{Storage, Tensor, TensorId};
use crate::settings::GuidedFilter;
use std::time::Instant;

/// A model ready to run on one device at one size.
pub struct Segmenter {
    pub(super) gpu: Gpu,
    pub(super) model: Model,
    pub(super) size: u32,
    pub(super) storage: Storage,
    /// Supports that the query pass was planned for.
    pub(super) shots: usize,
    pub(super) guided_filter: Option<GuidedFilter>,
    pub(super) memory: MemoryPlan,
    pub(super) passes: Passes,
    pub(super) encoder: Bound<EncoderEnds<Tensor>>,
    pub(super) support: Bound<SupportEnds<Tensor>>,
    pub(super) decoder: Bound<DecoderEnds<Tensor>>,
    pub(super) arena: Arena,
    pub(super) constants: Vec<wgpu::Buffer>,
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

    pub(super) fn recipe(&self) -> Recipe<'_> {
        Recipe { gpu: &self.gpu, model: &self.model, size: self.size, storage: self.storage }
    }

    /// The map of a query picture. Nothing is read back from the device before its end.
    ///
    /// # Errors
    /// NaN or infinity after a stage, or whatever the device reports.
    pub fn segment(&self, bank: &SupportBank, query: &RgbImage, progress: Progress) -> Result<Segmentation, Error> {
        let pixels = image_io::to_model_input(&image_io::resize_bilinear_rgb(query, self.size, self.size));
        let mut clock = Clock::default();
        let (gpu, query, decoder) = (&self.gpu, &bank.query, &self.decoder);
        clock.time(Stage::EncodeQuery, || {
            self.encode(&pixels, &query.ends.latent, &mut |p| progress(Stage::EncodeQuery, p))
        })?;
        clock.time(Stage::Query, || {
            gpu.run(&query.plan, &mut |p| progress(Stage::Query, p))?;
            Ok(gpu.hand_over(&query.ends.predicted, &decoder.ends.latent, 0)?)
        })?;
        // What the decoder drew, if that is not the map itself.
        let (map, drawn) = clock.time(Stage::Decode, || {
            if let Some(Refined { guide, .. }) = &decoder.ends.refined {
                gpu.write(guide, &pixels)?;
            }
            gpu.run(&decoder.plan, &mut |p| progress(Stage::Decode, p))?;
            Ok(match &decoder.ends.refined {
                Some(Refined { drawn, .. }) => {
                    let [map, drawn] = gpu.read([&decoder.ends.map, drawn])?;
                    (map, Some(drawn))
                }
                None => {
                    let [map] = gpu.read([&decoder.ends.map])?;
                    (map, None)
                }
            })
        })?;
        // The norms of the decoder spread what is no number over all that it draws; the guided filter may clip it.
        if !finite(&map) || drawn.is_some_and(|drawn| !finite(&drawn)) {
            return Err(Error::NotFinite { stage: self.guilty(bank)?, storage: self.storage });
        }
        Ok(Segmentation { map: DecodedMap::new(self.size, map)?, times: clock.0 })
    }

    /// The first stage whose results hold NaN or infinity, where the decoder's do.
    fn guilty(&self, bank: &SupportBank) -> Result<Stage, Error> {
        let ends = &bank.query.ends;
        for port in &ends.bank {
            if !self.is_finite(port)? {
                return Ok(Stage::Support);
            }
        }
        Ok(match (self.is_finite(&ends.latent)?, self.is_finite(&ends.predicted)?) {
            (false, _) => Stage::EncodeQuery,
            (true, false) => Stage::Query,
            (true, true) => Stage::Decode,
        })
    }

    pub(super) fn is_finite(&self, port: &Port) -> Result<bool, Error> {
        let [values] = self.gpu.read([port])?;
        Ok(finite(&values))
    }

    /// `[S, S, 3]` pixels through the encoder to `latent`, an input of another pass.
    pub(super) fn encode(
        &self,
        pixels: &[f32],
        latent: &Port,
        progress: &mut dyn FnMut(f64) -> bool,
    ) -> Result<(), Error> {
        let Bound { plan, ends } = &self.encoder;
        self.gpu.write(&ends.image, pixels)?;
        self.gpu.run(plan, progress)?;
        Ok(self.gpu.hand_over(&ends.latent, latent, 0)?)
    }

    /// Values marked by the model's layers, where a pass was edited to keep them: for tests.
    #[doc(hidden)]
    pub fn outputs(&self, bank: &SupportBank) -> Result<Vec<(String, Tensor, Vec<f32>)>, Error> {
        let mut all = Vec::new();
        self.kept(&self.passes.encoder, &self.encoder, &mut all)?;
        self.kept(&self.passes.support, &self.support, &mut all)?;
        self.kept(&self.passes.query, &bank.query, &mut all)?;
        self.kept(&self.passes.decoder, &self.decoder, &mut all)?;
        Ok(all)
    }

    fn kept<E: Ends>(
        &self,
        planned: &Recorded<E>,
        bound: &Bound<E>,
        all: &mut Vec<(String, Tensor, Vec<f32>)>,
    ) -> Result<(), Error> {
        let recording = &planned.schedule.recording;
        let kept: Vec<TensorId> = recording.outputs.iter().map(|t| t.id).collect();
        for (path, tensor) in recording.marks.iter().filter(|(_, tensor)| kept.contains(&tensor.id)) {
            let [values] = self.gpu.read([&self.gpu.port(&bound.plan, tensor)?])?;
            all.push((format!("{}{path}", Pass::prefix(E::PASS)), tensor.clone(), values));
        }
        Ok(())
    }
}

fn finite(values: &[f32]) -> bool {
    values.iter().all(|v| v.is_finite())
}

/// Seconds per stage.
#[derive(Default)]
pub(super) struct Clock(pub Vec<(Stage, f64)>);

impl Clock {
    pub fn time<T>(&mut self, stage: Stage, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
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
