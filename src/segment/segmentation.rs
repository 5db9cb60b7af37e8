//! What was found in a query.

use super::{Precision, Stage};
use crate::Error;
use crate::gpu::Wait;
use crate::image_io::{BoundingBox, DecodedMap, Mask, Object, ObjectOptions, find_objects};
use crate::settings::MaskRule;
use std::sync::{Arc, OnceLock};
use web_time::Instant;

/// What was found in a query picture.
pub struct Segmentation {
    pub(super) map: DecodedMap,
    /// Of the query.
    pub(super) size: (u32, u32),
    pub(super) rule: MaskRule,
    pub(super) mask: OnceLock<Mask>,
    pub(super) times: Vec<(Stage, f64)>,
    pub(super) spans: Vec<Span>,
    pub(super) precision: Precision,
    pub(super) overflow: Option<Arc<Error>>,
}

impl Segmentation {
    /// The mask, of the query's own size: where the map, enlarged smoothly, exceeds the segmenter's threshold; empty where the
    /// score is below the least that was asked for. Made at the first call.
    pub fn mask(&self) -> &Mask {
        self.mask.get_or_init(|| self.map.mask_at(self.size.0, self.size.1, self.rule))
    }

    /// How sure the network is that the example's thing is there, in [0, 1] ([`DecodedMap::score`]).
    pub fn score(&self) -> f32 {
        self.map.score(self.rule.threshold)
    }

    /// The network's picture of S x S, its outlines refined where that was asked for; gives masks and probabilities of any size.
    pub fn map(&self) -> &DecodedMap {
        &self.map
    }

    /// The same, without the rest.
    pub fn into_map(self) -> DecodedMap {
        self.map
    }

    /// The smallest rectangle around the mask's foreground, in pixels of the query from its top left corner; nothing where
    /// nothing was found.
    pub fn bounding_box(&self) -> Option<BoundingBox> {
        self.mask().bounding_box()
    }

    /// The connected parts of [`Self::mask`], the largest first ([`find_objects`]), with the mean of the map inside as their scores.
    ///
    /// # Errors
    /// None that a map of the network brings.
    pub fn objects(&self, options: &ObjectOptions) -> Result<Vec<Object>, Error> {
        let map = self.map.map_at(self.size.0, self.size.1);
        Ok(find_objects(self.mask(), Some(&map), options)?)
    }

    /// Seconds that each stage took, each once; with those of a second try in f32.
    pub fn times(&self) -> &[(Stage, f64)] {
        &self.times
    }

    /// Takes over what another query's stages took, which was a part of this one, and what is to be said of its precision.
    pub(super) fn add_times(&mut self, other: Segmentation) {
        add_times(&mut self.times, &other.times);
        self.spans.extend(other.spans);
        if other.overflow.is_some() {
            (self.overflow, self.precision) = (other.overflow, other.precision);
        }
    }

    /// When each of them ran, once for each time.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// What computed this: [`Precision::F32`] or [`Precision::F16`].
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Why half precision was not enough, where this query was tried in it first.
    pub fn overflow(&self) -> Option<&Error> {
        self.overflow.as_deref()
    }
}

/// Adds what stages took to what they took before, each once.
pub(super) fn add_times(all: &mut Vec<(Stage, f64)>, more: &[(Stage, f64)]) {
    for &(stage, seconds) in more {
        match all.iter_mut().find(|entry| entry.0 == stage) {
            Some(entry) => entry.1 += seconds,
            None => all.push((stage, seconds)),
        }
    }
}

/// A stage that ran.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub stage: Stage,
    pub started: Instant,
    pub seconds: f64,
}

/// A call of a segmenter: how it waits for the device, and what its stages took.
pub(super) struct Call {
    pub wait: Wait,
    /// Each stage once.
    pub times: Vec<(Stage, f64)>,
    pub spans: Vec<Span>,
}

impl Call {
    pub fn new(wait: Wait) -> Call {
        Call { wait, times: Vec::new(), spans: Vec::new() }
    }

    pub async fn time<T>(&mut self, stage: Stage, work: impl AsyncFnOnce() -> Result<T, Error>) -> Result<T, Error> {
        let started = Instant::now();
        let result = work().await?;
        let seconds = started.elapsed().as_secs_f64();
        self.spans.push(Span { stage, started, seconds });
        match self.times.iter_mut().find(|t| t.0 == stage) {
            Some(entry) => entry.1 += seconds,
            None => self.times.push((stage, seconds)),
        }
        Ok(result)
    }
}
