//! A model on a device with its supports' bank; opened again where the device is lost.

use super::advice::told;
use super::open::{self, Told, Wanted};
use super::options::{EngineArgs, MaskArgs};
use super::report::Support;
use super::tell;
use diffews_wgpu::image_io::RgbImage;
use diffews_wgpu::weights::ModelFiles;
use diffews_wgpu::{BankFile, Error, Example, Segmentation, Segmenter, Stage, SupportBank};
use std::ops::ControlFlow;
use std::time::Instant;

/// What an engine is made of.
pub struct Setup<'a> {
    pub args: &'a EngineArgs,
    /// Opened once, so that all queries get the same model.
    pub files: ModelFiles,
    pub masks: Option<&'a MaskArgs>,
    /// What the bank is made of.
    pub supports: &'a [Support],
    pub banks: &'a [BankFile],
    pub told: Told,
    /// The device is opened with its clock, and dispatches have their times.
    pub timed: bool,
}

/// Who is told of the progress, and where lines can be printed in between.
pub trait Watch {
    /// Told of the share of a stage that is done; says whether to go on.
    fn step(&mut self, stage: Stage, done: f64) -> ControlFlow<()>;
    /// Makes room for a line.
    fn clear(&mut self);
}

/// A model on a device with the supports' bank.
pub struct Engine {
    pub segmenter: Segmenter,
    pub bank: SupportBank,
    /// When its model was loaded, and how long that took.
    pub begun: Instant,
    pub load_seconds: f64,
    /// The user knows that half precision is not enough.
    told: bool,
}

impl Engine {
    /// Opens everything; where the device is lost, once more.
    pub fn with_retry(setup: &Setup, watch: &mut dyn Watch) -> anyhow::Result<Engine> {
        let made = Engine::new(setup, watch);
        match made {
            Err(error) if is_lost(&error) => {
                tell_lost(&error, watch);
                Engine::new(setup, watch)
            }
            made => made,
        }
    }

    fn new(setup: &Setup, watch: &mut dyn Watch) -> anyhow::Result<Engine> {
        let shots = setup.supports.len() + setup.banks.iter().map(BankFile::shots).sum::<usize>();
        let wanted = setup.args.wanted(setup.files.clone(), shots, setup.timed)?;
        let mut wanted = Wanted { banks: setup.banks, ..wanted };
        if let Some(masks) = setup.masks {
            wanted = wanted.with_masks(masks);
        }
        let planned = open::plan(wanted, setup.told, watch)?;
        let begun = Instant::now();
        let segmenter = planned.allocate_with(&mut |stage, done| watch.step(stage, done))?;
        let load_seconds = begun.elapsed().as_secs_f64();
        segmenter.gpu().take_times(setup.timed);
        let examples: Vec<Example> = setup.supports.iter().map(|s| s.data.clone()).collect();
        let bank = segmenter.load_bank(setup.banks, &examples, &mut |stage, done| watch.step(stage, done))?;
        let mut engine = Engine { segmenter, bank, begun, load_seconds, told: false };
        for overflow in [engine.segmenter.overflow(), engine.bank.overflow()].into_iter().flatten() {
            engine.told |= tell_overflow(engine.told, overflow, watch);
        }
        Ok(engine)
    }

    /// Seconds by stage: those of loading and of the supports, which all queries share, and `result`'s.
    pub fn times(&self, result: &Segmentation) -> Vec<(Stage, f64)> {
        let mut times = vec![(Stage::Load, self.load_seconds)];
        for &(stage, seconds) in self.bank.times().iter().chain(result.times()) {
            match times.iter_mut().find(|t| t.0 == stage) {
                Some(entry) => entry.1 += seconds,
                None => times.push((stage, seconds)),
            }
        }
        times
    }
}

fn is_lost(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Error>().is_some_and(Error::device_lost)
}

fn tell_lost(error: &anyhow::Error, watch: &mut dyn Watch) {
    watch.clear();
    tell(&format!("warning: {}; trying again on the device opened anew", told(error)));
}

/// Says once why what was asked of half precision was done in f32; that it did.
fn tell_overflow(before: bool, overflow: &Error, watch: &mut dyn Watch) -> bool {
    if !before {
        watch.clear();
        tell(&format!("warning: {overflow}; tried again with everything in f32"));
    }
    true
}

/// A query's map, and the engine that made it: another one where the device was lost.
pub fn segment<'a>(
    setup: &Setup,
    slot: &'a mut Option<Engine>,
    watch: &mut dyn Watch,
    rgb: &RgbImage,
) -> anyhow::Result<(&'a Engine, Segmentation)> {
    let mut opened_anew = false;
    loop {
        let made = slot.take().map_or_else(|| Engine::new(setup, watch), Ok);
        let (engine, error) = match made {
            Ok(mut engine) => {
                match engine.segmenter.segment_with(&engine.bank, rgb, &mut |stage, done| watch.step(stage, done)) {
                    Ok(result) => {
                        if let Some(overflow) = result.overflow() {
                            engine.told = tell_overflow(engine.told, overflow, watch);
                        }
                        return Ok((slot.insert(engine), result));
                    }
                    Err(error) => (Some(engine), error.into()),
                }
            }
            Err(error) => (None, error),
        };
        if opened_anew || !is_lost(&error) {
            *slot = engine;
            return Err(error);
        }
        opened_anew = true;
        tell_lost(&error, watch);
        // The engine ends here: two at once may not fit the device.
    }
}
