//! A model on a device with its supports' bank; opened again where that helps.

use super::open::{self, Told};
use super::options::EngineArgs;
use super::report::Support;
use super::tell;
use diffews_wgpu::image_io::{Mask, RgbImage};
use diffews_wgpu::settings::Threshold;
use diffews_wgpu::weights::ModelFiles;
use diffews_wgpu::{Error, Precision, Segmentation, Segmenter, Stage, SupportBank};
use std::time::Instant;

/// What an engine is made of.
pub struct Setup<'a> {
    pub args: &'a EngineArgs,
    /// Opened once, so that all queries get the same model.
    pub files: ModelFiles,
    pub supports: &'a [Support],
    pub told: Told,
}

/// Who is told of the progress, and where lines can be printed in between.
pub trait Watch {
    /// Told of the share of a stage that is done; says whether to go on.
    fn step(&mut self, stage: Stage, done: f64) -> bool;
    /// Makes room for a line.
    fn clear(&mut self);
}

/// A model on a device with the supports' bank.
pub struct Engine {
    pub segmenter: Segmenter,
    pub bank: SupportBank,
    pub default_threshold: Threshold,
    load_seconds: f64,
    /// As it was asked for.
    precision: Precision,
}

impl Engine {
    /// Opens everything; where half precision fails on the supports or the device is lost, once more.
    pub fn with_retry(setup: &Setup, watch: &mut dyn Watch) -> anyhow::Result<Engine> {
        let mut remedies = Remedies { precision: setup.args.precision, opened_anew: false };
        loop {
            match Engine::new(setup, remedies.precision, watch) {
                Err(error) => remedies.after(error, watch)?,
                made => return made,
            }
        }
    }

    fn new(setup: &Setup, precision: Precision, watch: &mut dyn Watch) -> anyhow::Result<Engine> {
        let planned = open::plan(setup.args, setup.files.clone(), precision, setup.supports.len(), setup.told)?;
        let default_threshold = planned.model().default_threshold();
        let started = Instant::now();
        let segmenter = planned.allocate(&mut |stage, done| watch.step(stage, done))?;
        let load_seconds = started.elapsed().as_secs_f64();
        let examples: Vec<(RgbImage, Mask)> = setup.supports.iter().map(|s| s.data.clone()).collect();
        let bank = segmenter.encode_support(&examples, &mut |stage, done| watch.step(stage, done))?;
        Ok(Engine { segmenter, bank, default_threshold, load_seconds, precision })
    }

    /// Seconds by stage: those of loading and of the supports, which all queries share, and `result`'s.
    pub fn times(&self, result: &Segmentation) -> Vec<(Stage, f64)> {
        let mut times = vec![(Stage::Load, self.load_seconds)];
        times.extend(self.bank.times().iter().chain(&result.times));
        times
    }
}

/// What is tried after a failure, each once.
struct Remedies {
    precision: Precision,
    opened_anew: bool,
}

impl Remedies {
    /// Says what is tried next.
    ///
    /// # Errors
    /// The failure itself where nothing may help.
    fn after(&mut self, error: anyhow::Error, watch: &mut dyn Watch) -> anyhow::Result<()> {
        let what = match error.downcast_ref::<Error>() {
            Some(e) if e.halves_overflowed() && self.precision != Precision::F32 => {
                self.precision = Precision::F32;
                "with everything in f32"
            }
            Some(e) if e.device_lost() && !self.opened_anew => {
                self.opened_anew = true;
                "on the device opened anew"
            }
            _ => return Err(error),
        };
        watch.clear();
        tell(&format!("warning: {error}; trying again {what}"));
        Ok(())
    }
}

/// A query's map, and the engine that made it: another one where half precision was not enough, or the device was lost.
pub fn segment<'a>(
    setup: &Setup,
    slot: &'a mut Option<Engine>,
    watch: &mut dyn Watch,
    rgb: &RgbImage,
) -> anyhow::Result<(&'a Engine, Segmentation)> {
    // Without an engine, f32 had failed on the supports when an earlier query asked for it.
    let precision = slot.as_ref().map_or(Precision::F32, |engine| engine.precision);
    let mut remedies = Remedies { precision, opened_anew: false };
    loop {
        let made = slot.take().map_or_else(|| Engine::new(setup, remedies.precision, watch), Ok);
        let (engine, error) = match made {
            Ok(engine) => {
                match engine.segmenter.segment(&engine.bank, rgb, &mut |stage, done| watch.step(stage, done)) {
                    Ok(result) => return Ok((slot.insert(engine), result)),
                    Err(error) => (Some(engine), error.into()),
                }
            }
            Err(error) => (None, error),
        };
        if let Err(error) = remedies.after(error, watch) {
            *slot = engine;
            return Err(error);
        }
        // The engine ends here: two at once may not fit the device.
    }
}
