//! Pictures for the GPU's thread, read and resized on other threads.

use super::episodes::{EpisodeFile, Example};
use super::marked::Marked;
use super::metrics::{BACKGROUND, FOREGROUND, IGNORE};
use crate::image_io::{self, ImageError, Mask, MaskReading, MaskSource, MaskWarning, RgbImage};
use crate::panics::caught;
use crate::shown;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{Builder, Scope, available_parallelism};
use std::time::Instant;

/// Episodes that each thread may prepare ahead.
const AHEAD: usize = 2;
const MOST_THREADS: usize = 4;

/// The files of an episode to load.
pub(super) struct Task<'a> {
    /// The supports, if needed.
    pub supports: Option<&'a [Example]>,
    /// Replace the supports' masks by masks made from this.
    pub marked: Option<Marked>,
    pub query: &'a Example,
}

/// An episode's pictures at S x S, each with its own error in one line that names the file.
pub(super) struct Loaded {
    pub supports: Option<Result<Vec<crate::Example>, String>>,
    /// The picture and, for each pixel, [`BACKGROUND`], [`FOREGROUND`] or [`IGNORE`].
    pub query: Result<(RgbImage, Vec<u8>), String>,
    /// Mean IoU of the masks made from marks with the true ones.
    pub made_iou: Option<f64>,
    /// Warnings about masks that are probably wrong.
    pub warnings: Vec<String>,
    /// Seconds for reading and resizing.
    pub seconds: f64,
}

/// The receiving end of the loaders: returns the tasks' pictures in order.
pub(super) struct Queue<'env> {
    file: &'env EpisodeFile,
    tasks: &'env [Task<'env>],
    size: u32,
    /// Lanes take the tasks in turn.
    lanes: Vec<Lane>,
    next: usize,
}

enum Lane {
    Thread(Receiver<Loaded>),
    /// Its thread could not be started: the caller does the work.
    Here,
}

/// Starts a thread, or fails.
type Spawn<'a, 'scope> = &'a dyn Fn(Box<dyn FnOnce() + Send + 'scope>) -> io::Result<()>;

impl<'env> Queue<'env> {
    /// Starts threads that work through `tasks` (of `file`, at `size`) until all are done or the queue is dropped.
    pub fn start<'scope>(
        scope: &'scope Scope<'scope, 'env>,
        file: &'env EpisodeFile,
        tasks: &'env [Task<'env>],
        size: u32,
    ) -> Queue<'env> {
        // Half of the cores: the other half feeds the GPU, or computes if the adapter is the CPU.
        let cores = available_parallelism().map_or(1, |n| n.get());
        let spawn = |work| Builder::new().name("pictures".into()).spawn_scoped(scope, work).map(|_| ());
        Queue::with_threads((cores / 2).clamp(1, MOST_THREADS), &spawn, file, tasks, size)
    }

    fn with_threads<'scope>(
        threads: usize,
        spawn: Spawn<'_, 'scope>,
        file: &'env EpisodeFile,
        tasks: &'env [Task<'env>],
        size: u32,
    ) -> Queue<'env>
    where
        'env: 'scope,
    {
        let start = |first: usize| {
            let (sender, receiver) = sync_channel(AHEAD);
            let work = move || {
                for task in tasks.iter().skip(first).step_by(threads) {
                    // Sending fails if the run has ended early.
                    if sender.send(load(file, task, size)).is_err() {
                        return;
                    }
                }
            };
            match spawn(Box::new(work)) {
                Ok(()) => Lane::Thread(receiver),
                Err(error) => {
                    log::warn!("a thread cannot be started ({error}); pictures are read on the device's thread");
                    Lane::Here
                }
            }
        };
        Queue { file, tasks, size, lanes: (0..threads).map(start).collect(), next: 0 }
    }

    /// The next task's pictures, and the seconds spent waiting for them.
    pub fn next(&mut self) -> Option<(Loaded, f64)> {
        let started = Instant::now();
        let task = self.tasks.get(self.next)?;
        let loaded = match &self.lanes[self.next % self.lanes.len()] {
            Lane::Thread(receiver) => receiver.recv().ok()?,
            Lane::Here => load(self.file, task, self.size),
        };
        self.next += 1;
        Some((loaded, started.elapsed().as_secs_f64()))
    }
}

fn load(file: &EpisodeFile, task: &Task, size: u32) -> Loaded {
    let started = Instant::now();
    let (mut warnings, mut ious) = (Vec::new(), Vec::new());
    let supports = task.supports.map(|examples| {
        let one = |example: &Example| {
            let (picture, truth) = guarded(file, example, size, &mut warnings)?;
            let foreground = truth.iter().map(|&t| t == FOREGROUND).collect();
            let mut mask = Mask::new(size, size, foreground).map_err(|e| e.to_string())?;
            if let Some(marked) = task.marked {
                let named = |e: ImageError| format!("{}: {e}", shown::path(&example.image));
                let (made, iou) = marked.mask(&picture, &mask).map_err(named)?;
                mask = made;
                ious.push(iou);
            }
            crate::Example::new(picture, mask).map_err(|e| e.to_string())
        };
        examples.iter().map(one).collect()
    });
    let query = guarded(file, task.query, size, &mut warnings);
    let made_iou = (!ious.is_empty()).then(|| ious.iter().sum::<f64>() / ious.len() as f64);
    Loaded { supports, query, made_iou, warnings, seconds: started.elapsed().as_secs_f64() }
}

/// [`example`] with panics turned into errors: a broken picture must not end a run of hours.
fn guarded(
    file: &EpisodeFile,
    wanted: &Example,
    size: u32,
    warnings: &mut Vec<String>,
) -> Result<(RgbImage, Vec<u8>), String> {
    match caught(|| example(file, wanted, size, warnings)) {
        Ok(loaded) => loaded.map_err(|e| e.to_string()),
        Err(panic) => {
            let (image, mask) = (shown::path(&wanted.image), shown::path(&wanted.mask));
            Err(format!("{image} or {mask}: reading broke down ({panic}); save it again as a PNG"))
        }
    }
}

/// A picture and its mask at `size` x `size`: bilinear like the published runs' PIL, and nearest like
/// torch. Each is resized by itself, as in the published evaluation, so the mask may have another size.
fn example(
    file: &EpisodeFile,
    wanted: &Example,
    size: u32,
    warnings: &mut Vec<String>,
) -> Result<(RgbImage, Vec<u8>), ImageError> {
    let (image, path) = (file.locate(&wanted.image), file.locate(&wanted.mask));
    [&image, &path].into_iter().try_for_each(|path| image_io::check_ordinary(path))?;
    let picture = image_io::load_rgb(&image)?;
    let (mask, sizes_differ) = match truth(file, wanted.value, &path, picture.dimensions()) {
        Err(ImageError::MaskSize { mask, .. }) if may_be(mask) => {
            let ((width, height), (mask_width, mask_height)) = (picture.dimensions(), mask);
            let told = format!(
                "the mask is {mask_width} x {mask_height}, {} {width} x {height}: each is resized by itself",
                shown::path(&image)
            );
            (truth(file, wanted.value, &path, mask)?, Some(told))
        }
        other => (other?, None),
    };
    let at_size = |mask: &Mask| image_io::resize_nearest_mask(mask, size, size);
    let foreground = at_size(&mask.foreground);
    let lost = MaskWarning::between(&mask.foreground, &foreground);
    let told = mask.warnings.iter().chain(&lost).map(|w| w.to_string()).chain(sizes_differ);
    warnings.extend(told.map(|w| format!("{}: {w}", shown::path(&path))));
    let mut truth: Vec<u8> = foreground.foreground().iter().map(|&f| if f { FOREGROUND } else { BACKGROUND }).collect();
    if let Some(ignored) = &mask.ignored {
        for (pixel, _) in truth.iter_mut().zip(at_size(ignored).foreground()).filter(|(_, skip)| **skip) {
            *pixel = IGNORE;
        }
    }
    Ok((image_io::resize_bilinear_rgb_rows_first(&picture, size, size), truth))
}

/// Whether any picture may have this size. The size of a mask comes from its untrusted file.
fn may_be((width, height): (u32, u32)) -> bool {
    width.max(height) <= image_io::MAX_SIDE && u64::from(width) * u64::from(height) <= image_io::MAX_PIXELS
}

/// A mask at its original size.
struct Truth {
    foreground: Mask,
    ignored: Option<Mask>,
    warnings: Vec<MaskWarning>,
}

/// Reads a mask of the size `expect`: of the class number `value`, or black and white.
fn truth(file: &EpisodeFile, value: Option<u8>, path: &Path, expect: (u32, u32)) -> Result<Truth, ImageError> {
    let Some(number) = value else {
        let how = MaskReading { source: MaskSource::HalfOfWhite, invert: false };
        let loaded = image_io::load_mask_with(path, expect, how)?;
        return Ok(Truth { foreground: loaded.mask, ignored: None, warnings: loaded.warnings });
    };
    let numbers = image_io::load_index_mask(path, expect)?;
    let is = |wanted: u8| Mask::new(expect.0, expect.1, numbers.iter().map(|&n| n == wanted).collect());
    let warnings = if numbers.contains(&number) { vec![] } else { vec![MaskWarning::NoClass { number }] };
    Ok(Truth { foreground: is(number)?, ignored: file.ignore.map(is).transpose()?, warnings })
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
