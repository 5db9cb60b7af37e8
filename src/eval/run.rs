//! The run: one episode after another on the GPU's thread.

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

/// Most device memory for banks that are kept because a later episode has the same supports.
const KEPT_BYTES: u64 = 1 << 30;

/// How episodes are scored.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    /// Take the first so many supports of each episode; all where `None`.
    pub shots: Option<usize>,
    pub control: Control,
    /// Masks of supports are made of their boxes or of points.
    pub marked: Option<Marked>,
    /// Of the control's draws.
    pub seed: u64,
    pub rule: MaskRule,
}

/// An episode to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// Its number in the file, from 0.
    pub episode: usize,
    /// Whether its pictures are wanted back, for a contact sheet.
    pub show: bool,
}

/// An episode that was done, or could not be.
pub struct Scored {
    pub record: Record,
    /// Where they were asked for and could be read.
    pub pictures: Option<Pictures>,
    /// Masks that are probably not what was meant.
    pub warnings: Vec<String>,
}

/// Scores `work`'s episodes of `file` in order, handing each to `done` at once.
///
/// Pictures are read and resized on threads of their own; this one waits for them only where they are slower than
/// the device. An episode whose pictures cannot be read, or on which the network gives no number, is a record with an
/// error; the run goes on. Which precision an episode has is the segmenter's to decide, and each record tells where it is
/// not the one that the segmenter begins with.
///
/// # Errors
/// What ends the run: the device's failures, [`Error::Interrupted`], and whatever `done` returns.
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

/// Supports for whose banks there is room. At least those of one episode always fit: they were planned for.
fn room(segmenter: &Segmenter) -> usize {
    let memory = segmenter.memory();
    // Half of what the plan leaves free: drivers and other programs need some too.
    let free = segmenter.memory_limit().map_or(KEPT_BYTES, |m| m.saturating_sub(memory.peak()) / 2);
    // Where a second try in f32 may come, keys and values may be there twice.
    let copies = if segmenter.precision() == Precision::F32 { 1 } else { 2 };
    let beside = free.min(KEPT_BYTES) / (copies * memory.bank_per_support).max(1);
    (memory.shots + beside) as usize
}

/// Banks on the device by number; where one could not be made, why.
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

/// Separates what fails an episode (inner) from what ends the run (outer).
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
