//! A model and its banks on a device; opened again after the device is lost.

use super::advice::describe;
use super::classes::Class;
use super::open::{self, Told, Wanted};
use super::options::{EngineArgs, MaskArgs};
use super::tell;
use diffews_wgpu::image_io::{Framing, RgbImage, Tiles};
use diffews_wgpu::segment::KvSample;
use diffews_wgpu::weights::ModelFiles;
use diffews_wgpu::{Error, Example, Segmentation, Segmenter, Stage, SupportBank};
use std::ops::ControlFlow;
use std::time::Instant;

/// The parts of an engine.
pub struct Setup<'a> {
    pub args: &'a EngineArgs,
    /// Opened once, so that all queries get the same model.
    pub files: ModelFiles,
    pub masks: Option<&'a MaskArgs>,
    pub kv_sample: Option<KvSample>,
    pub framing: Framing,
    /// Tiles of the queries, if they are cut.
    pub tiles: Option<Tiles>,
    /// The classes to find.
    pub classes: &'a [Class],
    pub told: Told,
    /// Whether to measure dispatches with the device's timestamps.
    pub timed: bool,
}

/// Receives the progress, and makes room for lines in between.
pub trait Watch {
    /// Receives the completed part of a stage; returns whether to go on.
    fn step(&mut self, stage: Stage, done: f64) -> ControlFlow<()>;
    /// Clears the bar before a line is printed.
    fn clear(&mut self);
}

/// A model on a device with the banks of all classes.
pub struct Engine {
    pub segmenter: Segmenter,
    pub banks: Vec<SupportBank>,
    /// When loading began.
    pub begun: Instant,
    pub load_seconds: f64,
    /// The overflow warning was printed.
    told: bool,
}

impl Engine {
    /// Opens everything; tries once more if the device is lost.
    pub fn with_retry(setup: &Setup, watch: &mut dyn Watch) -> anyhow::Result<Engine> {
        let made = Engine::new(setup, watch);
        match made {
            Err(error) if is_lost(&error) => {
                warn_device_lost(&error, watch);
                Engine::new(setup, watch)
            }
            made => made,
        }
    }

    fn new(setup: &Setup, watch: &mut dyn Watch) -> anyhow::Result<Engine> {
        let shots = setup.classes.iter().map(Class::shots).max().unwrap_or(0);
        let wanted = setup.args.wanted(setup.files.clone(), shots, setup.timed)?;
        let banks = setup.classes.iter().flat_map(|class| &class.banks).collect();
        let mut wanted = Wanted { banks, kv_sample: setup.kv_sample, framing: setup.framing, ..wanted };
        if let Some(masks) = setup.masks {
            wanted = wanted.with_masks(masks);
        }
        let planned = open::plan(wanted, setup.told, watch)?;
        let begun = Instant::now();
        let segmenter = planned.allocate_with(&mut |stage, done| watch.step(stage, done))?;
        let load_seconds = begun.elapsed().as_secs_f64();
        segmenter.gpu().take_times(setup.timed);
        let mut bank = |class: &Class| {
            let examples: Vec<Example> = class.supports.iter().map(|s| s.data.clone()).collect();
            segmenter.load_bank(&class.banks, &examples, &mut |stage, done| watch.step(stage, done))
        };
        let banks = setup.classes.iter().map(&mut bank).collect::<Result<Vec<_>, _>>()?;
        let mut engine = Engine { segmenter, banks, begun, load_seconds, told: false };
        let overflows = engine.banks.iter().map(SupportBank::overflow);
        for overflow in overflows.chain([engine.segmenter.overflow()]).flatten() {
            engine.told |= warn_overflow(engine.told, overflow, watch);
        }
        Ok(engine)
    }

    /// Seconds by stage: loading and supports, which all queries share, and the query's own.
    pub fn times(&self, of_result: &[(Stage, f64)]) -> Vec<(Stage, f64)> {
        let mut times = vec![(Stage::Load, self.load_seconds)];
        let banks = self.banks.iter().flat_map(|bank| bank.times());
        for &(stage, seconds) in banks.chain(of_result) {
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

fn warn_device_lost(error: &anyhow::Error, watch: &mut dyn Watch) {
    watch.clear();
    tell(&format!("warning: {}; opening the device again and retrying", describe(error)));
}

/// Warns once that half precision overflowed; returns true.
fn warn_overflow(before: bool, overflow: &Error, watch: &mut dyn Watch) -> bool {
    if !before {
        watch.clear();
        tell(&format!("warning: {overflow}; ran again with everything in f32"));
    }
    true
}

/// A query's results, one for each class, and the engine that computed them: a new one if the device was lost.
pub fn segment<'a>(
    setup: &Setup,
    slot: &'a mut Option<Engine>,
    watch: &mut dyn Watch,
    rgb: &RgbImage,
) -> anyhow::Result<(&'a Engine, Vec<Segmentation>)> {
    let mut opened_anew = false;
    loop {
        let made = slot.take().map_or_else(|| Engine::new(setup, watch), Ok);
        let (engine, error) = match made {
            Ok(mut engine) => {
                let banks: Vec<&SupportBank> = engine.banks.iter().collect();
                let progress = &mut |stage, done| watch.step(stage, done);
                let found = match setup.tiles {
                    Some(tiles) => engine.segmenter.segment_tiled(&banks, rgb, tiles, progress),
                    None => engine.segmenter.segment_classes(&banks, rgb, progress),
                };
                match found {
                    Ok(results) => {
                        if let Some(overflow) = results.iter().find_map(Segmentation::overflow) {
                            engine.told = warn_overflow(engine.told, overflow, watch);
                        }
                        return Ok((slot.insert(engine), results));
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
        warn_device_lost(&error, watch);
        // Drop the engine here: two may not fit the device.
    }
}
