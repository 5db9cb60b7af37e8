//! The run: episodes one by one on the GPU's thread.

use super::EvalError;
use super::banks::{self, Step};
use super::episodes::{Control, EpisodeFile, Example};
use super::load::{Queue, Task};
use super::marked::Marked;
use super::metrics::count;
use super::results::Record;
use super::sheet::Pictures;
use crate::segment::Progress;
use crate::settings::MaskRule;
use crate::{Error, Precision, Segmenter, SupportBank};
use std::collections::{BTreeMap, HashMap};

/// Most device memory for banks that are kept for later episodes with the same supports.
const KEPT_BYTES: u64 = 1 << 30;

/// How episodes are scored.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    /// Use the first so many supports of each episode; all if `None`.
    pub shots: Option<usize>,
    pub control: Control,
    /// Replace masks of supports by masks made from their boxes or from points.
    pub marked: Option<Marked>,
    /// Seed of the control's draws.
    pub seed: u64,
    pub rule: MaskRule,
}

/// An episode to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// Its number in the file, from 0.
    pub episode: usize,
    /// Whether to return its pictures, for a contact sheet.
    pub show: bool,
}

/// An episode that was run, or failed.
pub struct Scored {
    pub record: Record,
    /// Its pictures, if requested and readable.
    pub pictures: Option<Pictures>,
    /// Warnings about masks that are probably wrong.
    pub warnings: Vec<String>,
}

/// Scores `work`'s episodes of `file` in order and hands each to `done` at once.
///
/// Other threads read and resize the pictures; this one waits only if they are slower than the device. An episode
/// whose pictures cannot be read, or on which the network gives NaN or infinity, becomes a record with an error, and the run
/// goes on. The segmenter decides the precision of an episode; a record has it if it differs from the segmenter's
/// first one.
///
/// # Errors
/// Errors that end the run: the device's failures, [`Error::Interrupted`], and errors of `done`.
pub fn evaluate(
    segmenter: &Segmenter,
    file: &EpisodeFile,
    work: &[Work],
    job: &Job,
    progress: Progress,
    done: &mut dyn FnMut(Scored) -> Result<(), EvalError>,
) -> Result<(), EvalError> {
    let supports: Vec<&[Example]> = work
        .iter()
        .map(|w| file.supports(w.episode, job.shots, job.control, job.seed))
        .collect::<Result<_, EvalError>>()?;
    let keys: Vec<(&[Example], usize)> = supports.iter().map(|&s| (s, s.len())).collect();
    let steps = banks::plan(&keys, room(segmenter));
    let tasks: Vec<Task> = (work.iter().zip(&steps).zip(&supports))
        .map(|((work, step), &supports)| Task {
            supports: (step.compute || work.show).then_some(supports),
            marked: job.marked,
            query: &file.episodes[work.episode].query,
        })
        .collect();
    std::thread::scope(|scope| {
        let mut queue = Queue::start(scope, file, &tasks, segmenter.size());
        let mut banks = Banks { segmenter, held: HashMap::new() };
        for (work, step) in work.iter().zip(&steps) {
            let (loaded, waited) = queue.next().ok_or_else(|| {
                EvalError::Usage("a thread that reads pictures has ended; this is a defect of the program".into())
            })?;
            let mut seconds = BTreeMap::from([("wait".to_string(), waited), ("load".to_string(), loaded.seconds)]);
            let episode = &file.episodes[work.episode];
            let (mut precision, mut score) = (None, None);
            let scored = banks.ready(step, loaded.supports.as_ref(), &mut seconds, progress)?;
            let outcome = match (scored, &loaded.query) {
                (Err(error), _) => Err(error),
                (_, Err(error)) => Err(error.clone()),
                (Ok(bank), Ok((picture, truth))) => {
                    of_episode(segmenter.segment_with(bank, picture, progress))?.map(|result| {
                        add(&mut seconds, result.times());
                        let full = result.precision() != segmenter.precision();
                        precision = full.then(|| result.precision().name().to_string());
                        score = Some(result.map().score(job.rule.threshold));
                        let mask = result.map().mask(job.rule);
                        (count(mask.foreground(), truth), mask)
                    })
                }
            };
            let counts = outcome.as_ref().map(|o| o.0).map_err(String::clone);
            let made_iou = loaded.made_iou;
            let record = Record { seconds, precision, score, made_iou, ..Record::new(work.episode, episode, counts) };
            let pictures = match (work.show, outcome, loaded.supports, loaded.query) {
                (true, Ok((_, prediction)), Some(Ok(supports)), Ok((query, truth))) => {
                    Some(Pictures { supports, query, truth, prediction })
                }
                _ => None,
            };
            done(Scored { record, pictures, warnings: loaded.warnings })?;
        }
        Ok(())
    })
}

/// Number of supports whose banks fit. Those of one episode always fit, as planned.
fn room(segmenter: &Segmenter) -> usize {
    let memory = segmenter.memory();
    // Half of what the plan leaves free: drivers and other programs need some, too.
    let free = segmenter.memory_limit().map_or(KEPT_BYTES, |m| m.saturating_sub(memory.peak()) / 2);
    // If f32 may be tried after an overflow, keys and values may exist twice.
    let copies = if segmenter.precision() == Precision::F32 { 1 } else { 2 };
    let beside = free.min(KEPT_BYTES) / (copies * memory.bank_per_support).max(1);
    (memory.shots + beside) as usize
}

/// Banks on the device by number, or the error of making one.
struct Banks<'a> {
    segmenter: &'a Segmenter,
    held: HashMap<usize, Result<SupportBank, String>>,
}

type Supports = Result<Vec<crate::Example>, String>;

impl Banks<'_> {
    fn ready(
        &mut self,
        step: &Step,
        supports: Option<&Supports>,
        seconds: &mut BTreeMap<String, f64>,
        progress: Progress,
    ) -> Result<Result<&SupportBank, String>, EvalError> {
        for bank in &step.drop {
            self.held.remove(bank);
        }
        if let (true, Some(supports)) = (step.compute, supports) {
            let bank = match supports {
                Ok(supports) => of_episode(self.segmenter.encode_with(supports, progress))?,
                Err(error) => Err(error.clone()),
            };
            if let Ok(bank) = &bank {
                add(seconds, bank.times());
            }
            self.held.insert(step.bank, bank);
        }
        let missing = || EvalError::Usage("a bank is missing; this is a defect of the program".into());
        Ok(self.held.get(&step.bank).ok_or_else(missing)?.as_ref().map_err(String::clone))
    }
}

/// Separates errors of an episode (inner) from errors that end the run (outer).
fn of_episode<T>(result: Result<T, Error>) -> Result<Result<T, String>, EvalError> {
    match result {
        Err(error @ (Error::Image(_) | Error::NotFinite { .. } | Error::Overflow { .. })) => Ok(Err(error.to_string())),
        other => Ok(Ok(other?)),
    }
}

fn add(seconds: &mut BTreeMap<String, f64>, times: &[(crate::Stage, f64)]) {
    for (stage, time) in times {
        *seconds.entry(stage.to_string().replace(' ', "_")).or_default() += time;
    }
}
