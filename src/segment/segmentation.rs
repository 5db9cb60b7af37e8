//! The result for a query.

use super::{Precision, Stage};
use crate::Error;
use crate::gpu::Wait;
use crate::image_io::{BoundingBox, DecodedMap, Mask, Object, ObjectOptions, find_objects};
use crate::settings::MaskRule;
use std::sync::{Arc, OnceLock};
use web_time::Instant;

/// The result for a query.
pub struct Segmentation {
    pub(super) map: DecodedMap,
    /// Size of the query.
    pub(super) size: (u32, u32),
    pub(super) rule: MaskRule,
    pub(super) mask: OnceLock<Mask>,
    pub(super) times: Vec<(Stage, f64)>,
    pub(super) spans: Vec<Span>,
    pub(super) precision: Precision,
    pub(super) overflow: Option<Arc<Error>>,
}

impl Segmentation {
    /// The mask at the query's size: the foreground is where the map, enlarged bilinearly, exceeds the segmenter's threshold. It is empty
    /// if the score is below the minimum. Computed at the first call.
    pub fn mask(&self) -> &Mask {
        self.mask.get_or_init(|| self.map.mask_at(self.size.0, self.size.1, self.rule))
    }

    /// The network's confidence that the thing is in the query, in [0, 1] ([`DecodedMap::score`]).
    pub fn score(&self) -> f32 {
        self.map.score(self.rule.threshold)
    }

    /// The network's S x S output, with refined outlines if the filter is on; gives masks and probabilities of any size.
    pub fn map(&self) -> &DecodedMap {
        &self.map
    }

    /// Returns the map.
    pub fn into_map(self) -> DecodedMap {
        self.map
    }

    /// The bounding box of the mask, in pixels of the query from its top left corner; `None` if the mask is
    /// empty.
    pub fn bounding_box(&self) -> Option<BoundingBox> {
        self.mask().bounding_box()
    }

    /// The connected components of [`Self::mask`], the largest first ([`find_objects`]), with the mean of the map inside as scores.
    ///
    /// # Errors
    /// None for a map of the network.
    pub fn objects(&self, options: &ObjectOptions) -> Result<Vec<Object>, Error> {
        let map = self.map.map_at(self.size.0, self.size.1);
        Ok(find_objects(self.mask(), Some(&map), options)?)
    }

    /// Seconds of each stage, including a second run in f32.
    pub fn times(&self) -> &[(Stage, f64)] {
        &self.times
    }

    /// Adds the times and the overflow of another query that was a part of this one.
    pub(super) fn add_times(&mut self, other: Segmentation) {
        add_times(&mut self.times, &other.times);
        self.spans.extend(other.spans);
        if other.overflow.is_some() {
            (self.overflow, self.precision) = (other.overflow, other.precision);
        }
    }

    /// When each stage ran, one span for each run.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// The precision of the result: [`Precision::F32`] or [`Precision::F16`].
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The overflow, if this query was first run in half precision and that was not enough.
    pub fn overflow(&self) -> Option<&Error> {
        self.overflow.as_deref()
    }
}

/// Adds times of stages to `all`, one entry for each stage.
pub(super) fn add_times(all: &mut Vec<(Stage, f64)>, more: &[(Stage, f64)]) {
    for &(stage, seconds) in more {
        match all.iter_mut().find(|entry| entry.0 == stage) {
            Some(entry) => entry.1 += seconds,
            None => all.push((stage, seconds)),
        }
    }
}

/// A run of a stage.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub stage: Stage,
    pub started: Instant,
    pub seconds: f64,
}

/// A call of a segmenter: how it waits for the device, and the times of its stages.
pub(super) struct Call {
    pub wait: Wait,
    /// Seconds, one entry for each stage.
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
