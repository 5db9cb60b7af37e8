//! Weights that do not all fit in memory: which stay, and which are uploaded for a part of a pass.

use super::recorder::{Limits, Recording};
use super::schedule::Schedule;
use super::tensor::{Tensor, TensorId};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Preferred bytes of the window that weights are uploaded to in turn: large enough that waiting for the device is negligible beside its
/// work, and small enough that most weights stay.
const WINDOW: u64 = 64 << 20;

/// Constants that always stay: up to so many bytes, or up to this fraction of the largest.
const SMALL: u64 = 256 << 10;
const SMALL_SHARE: u64 = 16;

/// Which constants stay on the device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Residency {
    /// Bytes of the window; 0 if all constants stay.
    pub window: u64,
    /// The constants that are uploaded to the window in turn.
    pub passing: BTreeSet<TensorId>,
}

/// A range of dispatches, and the weights that they need in the window, with their byte offsets.
#[derive(Clone, Debug)]
pub struct Phase {
    pub dispatches: Range<usize>,
    pub weights: Vec<(Tensor, u64)>,
}

/// The distinct constants of some schedules, in the order of their first use.
fn in_order(schedules: &[&Schedule]) -> Vec<Tensor> {
    let windows = schedules.iter().flat_map(|s| s.dispatches()).flat_map(|d| &d.inputs);
    let constants = windows.filter(|w| matches!(w.tensor.id, TensorId::Constant(..)));
    let mut seen = BTreeSet::new();
    constants.filter(|w| seen.insert(w.tensor.id)).map(|w| w.tensor.clone()).collect()
}

/// Bytes in the window.
fn room(tensor: &Tensor, limits: &Limits) -> u64 {
    tensor.bytes().next_multiple_of(limits.offset_alignment.max(1))
}

impl Residency {
    /// The constants that may leave, the bytes of all others, and the bytes of the smallest window that serves every dispatch.
    fn least(constants: &[Tensor], schedules: &[&Schedule]) -> (BTreeSet<TensorId>, u64, u64) {
        let largest = constants.iter().map(Tensor::bytes).max().unwrap_or(0);
        let (small, large): (Vec<&Tensor>, Vec<&Tensor>) =
            constants.iter().partition(|t| t.bytes() <= SMALL.min(largest / SMALL_SHARE));
        let large: BTreeSet<TensorId> = large.into_iter().map(|t| t.id).collect();
        let of_schedule = |s: &&Schedule| {
            let of = |i| s.passing_of(i, &large).values().map(|t| room(t, &s.recording.limits)).sum::<u64>();
            (0..s.dispatches().len()).map(of).max().unwrap_or(0)
        };
        let window = schedules.iter().map(of_schedule).max().unwrap_or(0);
        (large, small.iter().map(|t| t.bytes()).sum(), window)
    }

    /// The minimum of `bytes` that [`Residency::within`] accepts for `schedules`.
    pub fn least_bytes(schedules: &[&Schedule]) -> u64 {
        let constants = in_order(schedules);
        let (_, small, window) = Residency::least(&constants, schedules);
        constants.iter().map(Tensor::bytes).sum::<u64>().min(small + window)
    }

    /// Keeps as many constants of `schedules` as `bytes` allow, the first ones first. The schedules never run at the same time. `None` if
    /// even the constants of one dispatch at a time do not fit.
    pub fn within(bytes: u64, schedules: &[&Schedule]) -> Option<Residency> {
        let constants = in_order(schedules);
        if constants.iter().map(Tensor::bytes).sum::<u64>() <= bytes {
            return Some(Residency::default());
        }
        let (large, small, least) = Residency::least(&constants, schedules);
        let most = bytes.checked_sub(small).filter(|most| *most >= least)?;
        let window = most.min(least.max(WINDOW));
        let mut left = most - window;
        let mut passing = BTreeSet::new();
        for tensor in constants.iter().filter(|t| large.contains(&t.id)) {
            match left.checked_sub(tensor.bytes()) {
                Some(rest) => left = rest,
                None => drop(passing.insert(tensor.id)),
            }
        }
        Some(Residency { window, passing })
    }
}

impl Schedule {
    /// The constants of a dispatch that are among `passing`.
    fn passing_of(&self, dispatch: usize, passing: &BTreeSet<TensorId>) -> BTreeMap<TensorId, &Tensor> {
        let inputs = self.dispatches()[dispatch].inputs.iter().map(|w| &w.tensor);
        inputs.filter(|t| passing.contains(&t.id)).map(|t| (t.id, t)).collect()
    }

    /// Splits its dispatches into as few parts as the window allows, each with the constants to upload for it.
    pub fn parts(&self, residency: &Residency) -> Vec<Phase> {
        let limits = &self.recording.limits;
        let (mut parts, mut part, mut end) = (Vec::new(), Phase { dispatches: 0..0, weights: Vec::new() }, 0);
        for i in 0..self.dispatches().len() {
            let own = self.passing_of(i, &residency.passing);
            let is_new = |part: &Phase, id: &TensorId| !part.weights.iter().any(|(t, _)| t.id == *id);
            let more: u64 = own.iter().filter(|(id, _)| is_new(&part, id)).map(|(_, t)| room(t, limits)).sum();
            if more > 0 && end + more > residency.window {
                let next = Phase { dispatches: i..i, weights: Vec::new() };
                parts.push(std::mem::replace(&mut part, next));
                end = 0;
            }
            for (id, tensor) in own {
                if is_new(&part, &id) {
                    part.weights.push((tensor.clone(), end));
                    end += room(tensor, limits);
                }
            }
            part.dispatches.end = i + 1;
        }
        parts.push(part);
        parts.retain(|part| !part.dispatches.is_empty());
        parts
    }

    /// Some of its dispatches, in the same memory. Results are poisoned before the first part only.
    pub fn part(&self, dispatches: Range<usize>) -> Schedule {
        let of = |tensors: &[Tensor]| if dispatches.start == 0 { tensors.to_vec() } else { Vec::new() };
        let recording = &self.recording;
        let recording = Recording {
            inputs: of(&recording.inputs),
            outputs: of(&recording.outputs),
            handed: of(&recording.handed),
            dispatches: recording.dispatches[dispatches].to_vec(),
            storage: recording.storage,
            limits: recording.limits.clone(),
            values: recording.values.clone(),
            marks: recording.marks.clone(),
        };
        Schedule { recording, slots: self.slots.clone(), places: self.places.clone(), pruned: 0, pruned_flops: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::conv2d::{self, Epilogue, Geometry, Weights};
    use crate::plan::{Channels, Forms, Param, Policy, Recorder};
    use crate::shader::Facts;

    /// `n` layers of 64 x 64 weights, 16 KiB each, and biases of 256 bytes.
    fn layers(n: u32) -> Schedule {
        let mut r = Recorder::new(Policy::F32, Forms::first(Facts::LEAST), Limits::TEST);
        let channels = Channels::one(64);
        let mut x = r.input("x", 8, 8, channels.clone());
        for i in 0..n {
            let (inputs, outputs) = (channels.clone(), channels.clone());
            let weight = Param { id: 2 * i, name: "weight".into(), taps: 1, inputs, outputs };
            let mut bias = r.value("bias", 1, 1, channels.clone());
            bias.id = TensorId::Constant(2 * i + 1, None);
            x = conv2d::record(&mut r, "y", &x, &Weights { weight, bias }, Geometry::LINEAR, Epilogue::None);
        }
        r.output(&x);
        Schedule::new(r.finish().expect("records"))
    }

    const WEIGHT: u64 = 16 << 10;
    const BIAS: u64 = 256;

    #[test]
    fn as_many_stay_as_there_is_room_for() {
        let schedule = layers(8);
        let all = 8 * (WEIGHT + BIAS);
        let within = |bytes| Residency::within(bytes, &[&schedule]);
        assert_eq!(within(all), Some(Residency::default()));
        let least = 8 * BIAS + WEIGHT;
        assert_eq!((Residency::least_bytes(&[&schedule]), within(least - 1)), (least, None));
        let one = within(least).expect("it fits");
        assert_eq!((one.window, one.passing.len()), (WEIGHT, 8));
        assert_eq!(Residency::least_bytes(&[&layers(1)]), WEIGHT + BIAS);
        // Slightly less than everything: the window is below WINDOW, and takes all that the small constants leave.
        let some = within(all - 1).expect("it fits");
        assert_eq!((some.window, some.passing.len()), (8 * WEIGHT - 1, 8));
    }

    #[test]
    fn parts_have_what_they_read_and_no_more_than_the_window_holds() {
        let schedule = layers(8);
        let weights = |schedule: &Schedule| {
            Vec::from_iter(schedule.constants().into_keys().filter(|id| matches!(id, TensorId::Constant(_, Some(_)))))
        };
        let passing: BTreeSet<TensorId> = weights(&schedule).into_iter().skip(2).collect();
        let residency = Residency { window: 2 * WEIGHT + 10, passing: passing.clone() };
        let parts = schedule.parts(&residency);
        let ranges = Vec::from_iter(parts.iter().map(|part| part.dispatches.clone()));
        assert_eq!(ranges, [0..4, 4..6, 6..8]);
        for part in &parts {
            let places = Vec::from_iter(part.weights.iter().map(|(tensor, at)| (tensor.id, *at)));
            let own = schedule.part(part.dispatches.clone());
            let read = Vec::from_iter(weights(&own).into_iter().filter(|id| passing.contains(id)));
            assert_eq!(places, [(read[0], 0), (read[1], WEIGHT)]);
            assert_eq!(own.recording.outputs.len(), usize::from(part.dispatches.start == 0));
        }
        let whole = schedule.parts(&Residency::default());
        assert!(whole.len() == 1 && whole[0].dispatches == (0..8) && whole[0].weights.is_empty());
    }
}
