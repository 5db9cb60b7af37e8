//! A model on a device with its supports' bank; opened again where that helps.

use super::errors::CliError;
use super::options::{AdapterArgs, ModelArgs};
use super::report::Support;
use super::tell;
use diffews_wgpu::gpu::Gpu;
use diffews_wgpu::image_io::{Mask, RgbImage, Threshold};
use diffews_wgpu::model::Model;
use diffews_wgpu::{Error, GuidedFilter, Options, Precision, Segmentation, Segmenter, Stage, SupportBank};
use std::time::Instant;

/// What an engine is made of.
pub struct Setup<'a> {
    pub model: &'a ModelArgs,
    pub adapter: &'a AdapterArgs,
    /// As the user asked for it, if so.
    pub size: Option<u32>,
    pub precision: Precision,
    pub guided_filter: Option<GuidedFilter>,
    pub supports: &'a [Support],
    /// Print the memory plan.
    pub verbose: bool,
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
}

impl Engine {
    /// Opens everything; where half precision fails on the supports, once more in f32.
    pub fn with_retry(setup: &Setup, watch: &mut dyn Watch) -> anyhow::Result<Engine> {
        match Engine::new(setup, setup.precision, watch) {
            Err(error) if overflowed(&error) => Engine::again(setup, &error, watch),
            other => other,
        }
    }

    fn again(setup: &Setup, error: &anyhow::Error, watch: &mut dyn Watch) -> anyhow::Result<Engine> {
        watch.clear();
        tell(&format!("warning: {error}; trying again with everything in f32"));
        Engine::new(setup, Precision::F32, watch)
    }

    fn new(setup: &Setup, precision: Precision, watch: &mut dyn Watch) -> anyhow::Result<Engine> {
        let model = Model::load(setup.model.files()?)?;
        for warning in model.warnings() {
            tell(&format!("warning: {warning}"));
        }
        let default_threshold = model.default_threshold();
        // The flag is the user's to correct, a default the model's.
        let size = setup.size.unwrap_or_else(|| model.default_size());
        if let Err(error) = model.config().check_size(size as usize) {
            return match setup.size {
                Some(_) => Err(error.into()),
                None => Err(CliError::Weights(format!("{}: diffews.json: {error}", setup.model.name())).into()),
            };
        }
        let gpu = Gpu::new(&setup.adapter.choice())?;
        let shots = setup.supports.len();
        let options = Options { size: Some(size), precision, shots, guided_filter: setup.guided_filter };
        let planned = Segmenter::plan(gpu, model, options)?;
        if setup.verbose {
            tell(planned.memory().to_string().trim_end());
        }
        let started = Instant::now();
        let segmenter = planned.allocate(&mut |stage, done| watch.step(stage, done))?;
        let load_seconds = started.elapsed().as_secs_f64();
        let examples: Vec<(RgbImage, Mask)> = setup.supports.iter().map(|s| s.data.clone()).collect();
        let bank = segmenter.encode_support(&examples, &mut |stage, done| watch.step(stage, done))?;
        Ok(Engine { segmenter, bank, default_threshold, load_seconds })
    }

    /// Seconds by stage: those of loading and of the supports, which all queries share, and `result`'s.
    pub fn times(&self, result: &Segmentation) -> Vec<(Stage, f64)> {
        let mut times = vec![(Stage::Load, self.load_seconds)];
        times.extend(self.bank.times().iter().chain(&result.times));
        times
    }
}

/// Whether f32 may do what failed.
fn overflowed(error: &anyhow::Error) -> bool {
    error.downcast_ref().is_some_and(Error::halves_overflowed)
}

/// A query's map, and the engine that made it: another one where half precision was not enough.
pub fn segment<'a>(
    setup: &Setup,
    slot: &'a mut Option<Engine>,
    watch: &mut dyn Watch,
    rgb: &RgbImage,
) -> anyhow::Result<(&'a Engine, Segmentation)> {
    let engine = match slot.take() {
        Some(engine) => engine,
        // f32 had failed on the supports when an earlier query asked for it.
        None => Engine::new(setup, Precision::F32, watch)?,
    };
    let run = |engine: &Engine, watch: &mut dyn Watch| -> anyhow::Result<Segmentation> {
        Ok(engine.segmenter.segment(&engine.bank, rgb, &mut |stage, done| watch.step(stage, done))?)
    };
    match run(&engine, watch) {
        Err(error) if overflowed(&error) => {
            // Two engines at once may not fit the device.
            drop(engine);
            let engine = slot.insert(Engine::again(setup, &error, watch)?);
            let result = run(engine, watch)?;
            Ok((engine, result))
        }
        result => Ok((slot.insert(engine), result?)),
    }
}
