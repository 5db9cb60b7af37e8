//! Pictures for the GPU's thread, read and resized beside it.

use super::episodes::{EpisodeFile, Example};
use super::metrics::{BACKGROUND, FOREGROUND, IGNORE};
use crate::image_io::{self, ImageError, Mask, MaskWarning, RgbImage};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{Scope, available_parallelism};
use std::time::Instant;

/// Episodes that each thread may be ahead.
const AHEAD: usize = 2;
const MOST_THREADS: usize = 4;

/// What one episode needs from the disk.
pub(super) struct Task<'a> {
    /// Where they are wanted.
    pub supports: Option<&'a [Example]>,
    pub query: &'a Example,
}

/// An episode's pictures at S x S, each part with its own failure, told in one line that names the file.
pub(super) struct Loaded {
    pub supports: Option<Result<Vec<(RgbImage, Mask)>, String>>,
    /// The picture and, for each pixel, [`BACKGROUND`], [`FOREGROUND`] or [`IGNORE`].
    pub query: Result<(RgbImage, Vec<u8>), String>,
    /// Masks that are probably not what was meant.
    pub warnings: Vec<String>,
    /// What reading and resizing took.
    pub seconds: f64,
}

/// The loaders' end: gives the tasks' pictures in order.
pub(super) struct Queue {
    receivers: Vec<Receiver<Loaded>>,
    next: usize,
}

impl Queue {
    /// Starts threads that work through `tasks` (of `file`, at `size`) until all are done or the queue is dropped.
    pub fn start<'scope, 'env>(
        scope: &'scope Scope<'scope, 'env>,
        file: &'env EpisodeFile,
        tasks: &'env [Task<'env>],
        size: u32,
    ) -> Queue {
        // Half of the cores: the other half feeds the GPU, or is it where the adapter is the CPU.
        let cores = available_parallelism().map_or(1, |n| n.get());
        let threads = (cores / 2).clamp(1, MOST_THREADS);
        let start = |first: usize| {
            let (sender, receiver) = sync_channel(AHEAD);
            scope.spawn(move || {
                for task in tasks.iter().skip(first).step_by(threads) {
                    // Sending fails where the run has ended early.
                    if sender.send(load(file, task, size)).is_err() {
                        return;
                    }
                }
            });
            receiver
        };
        Queue { receivers: (0..threads).map(start).collect(), next: 0 }
    }

    /// The next task's pictures, and the seconds spent waiting for them.
    pub fn next(&mut self) -> Option<(Loaded, f64)> {
        let started = Instant::now();
        let loaded = self.receivers[self.next % self.receivers.len()].recv().ok()?;
        self.next += 1;
        Some((loaded, started.elapsed().as_secs_f64()))
    }
}

fn load(file: &EpisodeFile, task: &Task, size: u32) -> Loaded {
    let started = Instant::now();
    let mut warnings = Vec::new();
    let supports = task.supports.map(|examples| {
        let one = |example| {
            let (picture, truth) = guarded(file, example, size, &mut warnings)?;
            let foreground = truth.iter().map(|&t| t == FOREGROUND).collect();
            Ok((picture, Mask::new(size, size, foreground).map_err(|e| e.to_string())?))
        };
        examples.iter().map(one).collect()
    });
    let query = guarded(file, task.query, size, &mut warnings);
    Loaded { supports, query, warnings, seconds: started.elapsed().as_secs_f64() }
}

/// [`example`] with panics of the decoders made errors: a broken picture must not end a run of hours.
fn guarded(
    file: &EpisodeFile,
    wanted: &Example,
    size: u32,
    warnings: &mut Vec<String>,
) -> Result<(RgbImage, Vec<u8>), String> {
    match catch_unwind(AssertUnwindSafe(|| example(file, wanted, size, warnings))) {
        Ok(loaded) => loaded.map_err(|e| e.to_string()),
        Err(_) => {
            let (image, mask) = (wanted.image.display(), wanted.mask.display());
            Err(format!("{image} or {mask}: the decoder broke down on it; save it again as a PNG"))
        }
    }
}

/// A picture and its mask at `size` x `size`: bilinear as the PIL of the published runs does it, and nearest as torch
/// does it.
fn example(
    file: &EpisodeFile,
    wanted: &Example,
    size: u32,
    warnings: &mut Vec<String>,
) -> Result<(RgbImage, Vec<u8>), ImageError> {
    let (image, path) = (file.locate(&wanted.image), file.locate(&wanted.mask));
    let picture = image_io::load_rgb(&image)?;
    let (width, height) = picture.dimensions();
    let at_size = |mask: &Mask| image_io::resize_nearest_mask(mask, size, size);
    let (mask, warning, ignored) = match wanted.value {
        Some(number) => {
            let numbers = image_io::load_index_mask(&path, (width, height))?;
            let is = |wanted: u8| Mask::new(width, height, numbers.iter().map(|&n| n == wanted).collect());
            let warning = (!numbers.contains(&number)).then_some(MaskWarning::NoClass { number });
            (is(number)?, warning, Some(at_size(&is(IGNORE)?)))
        }
        None => {
            let loaded = image_io::load_mask(&path, (width, height))?;
            (loaded.mask, loaded.warning, None)
        }
    };
    let foreground = at_size(&mask);
    let told = [warning, MaskWarning::between(&mask, &foreground)];
    warnings.extend(told.into_iter().flatten().map(|w| format!("{}: {w}", path.display())));
    let mut truth: Vec<u8> = foreground.foreground().iter().map(|&f| if f { FOREGROUND } else { BACKGROUND }).collect();
    for (pixel, &skip) in truth.iter_mut().zip(ignored.iter().flat_map(|m| m.foreground())) {
        if skip {
            *pixel = IGNORE;
        }
    }
    Ok((image_io::resize_bilinear_rgb_rows_first(&picture, size, size), truth))
}
