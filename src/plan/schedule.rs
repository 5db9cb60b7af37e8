//! The live dispatches of a recording, and the placement of its values.

use super::place::{Place, place};
use super::recorder::{Dispatch, Recording, Window};
use super::tensor::{Tensor, TensorId};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// A recording made ready to run: dead dispatches are dropped, and every value is placed.
///
/// Values that are neither inputs nor outputs share slots, one after the other or side by side. Plans that never run at the same time share
/// one arena, where slot i of each is buffer i.
#[derive(Clone)]
pub struct Schedule {
    pub recording: Recording,
    /// Bytes that it uses of each slot.
    pub slots: Vec<u64>,
    /// The place of each value in the arena.
    pub places: HashMap<u32, Place>,
    /// Dropped dispatches, whose results nothing reads.
    pub pruned: usize,
    /// Multiply-adds of the dropped dispatches, by the kernels' definitions.
    pub pruned_flops: u64,
}

fn values(windows: &[Window]) -> impl Iterator<Item = u32> + '_ {
    windows.iter().filter_map(|w| match w.tensor.id {
        TensorId::Value(v) => Some(v),
        TensorId::Constant(..) => None,
    })
}

fn id(tensor: &Tensor) -> Option<u32> {
    match tensor.id {
        TensorId::Value(v) => Some(v),
        TensorId::Constant(..) => None,
    }
}

impl Schedule {
    /// Places values in slots of its own.
    pub fn new(mut recording: Recording) -> Self {
        let counted = |r: &Recording| (r.dispatches.len(), r.dispatches.iter().map(|d| d.flops + d.saved).sum::<u64>());
        let before = counted(&recording);
        prune(&mut recording);
        let after = counted(&recording);
        let (slots, places) = place(&recording, &[]);
        Schedule { recording, slots, places, pruned: before.0 - after.0, pruned_flops: before.1 - after.1 }
    }

    /// Places values again, in existing slots of these sizes where they fit.
    pub fn settle(&mut self, slots: &[u64]) {
        (self.slots, self.places) = place(&self.recording, slots);
    }

    pub fn dispatches(&self) -> &[Dispatch] {
        &self.recording.dispatches
    }

    /// The forms of all kernels that have several, as in `conv2d=tiled-64`, which is how a user requests them.
    pub fn forms(&self) -> BTreeSet<String> {
        let several = self.dispatches().iter().filter(|d| d.kernel.forms.len() > 1);
        several.map(|d| format!("{}={}", d.kernel.name, d.form.name)).collect()
    }

    /// The distinct constants that it reads.
    pub fn constants(&self) -> BTreeMap<TensorId, Tensor> {
        let windows = self.dispatches().iter().flat_map(|d| &d.inputs);
        let constants = windows.filter(|w| matches!(w.tensor.id, TensorId::Constant(..)));
        constants.map(|w| (w.tensor.id, w.tensor.clone())).collect()
    }

    /// Bytes that dispatches read and write, counting each binding once.
    pub fn traffic(&self) -> u64 {
        self.dispatches().iter().map(Dispatch::bytes).sum()
    }

    pub fn flops(&self) -> u64 {
        self.dispatches().iter().map(|d| d.flops).sum()
    }

    /// Operations of the definition that algorithms save.
    pub fn saved(&self) -> u64 {
        self.dispatches().iter().map(|d| d.saved).sum()
    }

    /// Operations on padding.
    pub fn padding(&self) -> u64 {
        self.dispatches().iter().map(|d| d.padding).sum()
    }

    /// Bytes of the slots alone.
    pub fn arena_bytes(&self) -> u64 {
        self.slots.iter().sum()
    }
}

/// Drops every dispatch whose results are not read, from the end backwards.
fn prune(recording: &mut Recording) {
    let mut needed: HashSet<u32> = recording.outputs.iter().chain(&recording.handed).filter_map(id).collect();
    let mut kept = Vec::new();
    for dispatch in std::mem::take(&mut recording.dispatches).into_iter().rev() {
        if values(&dispatch.outputs).any(|v| needed.contains(&v)) {
            needed.extend(values(&dispatch.inputs));
            kept.push(dispatch);
        }
    }
    kept.reverse();
    recording.dispatches = kept;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::affine;
    use crate::plan::{Channels, Element, Forms, Limits, Policy, Recorder};
    use crate::shader::Facts;

    fn recorder() -> Recorder {
        Recorder::new(Policy::F32, Forms::first(Facts::LEAST), Limits::TEST)
    }

    /// `n` layers in sequence, from an input.
    fn chain(r: &mut Recorder, n: usize) -> Vec<Tensor> {
        let mut values = vec![r.input("x", 8, 8, Channels::one(4))];
        let scale = r.input_of("scale", 1, 2, Channels::one(4), Element::F32);
        for i in 0..n {
            values.push(affine::record(r, &values[i], None, &scale, false));
        }
        values
    }

    #[test]
    fn what_no_output_needs_is_dropped() {
        let mut r = recorder();
        let values = chain(&mut r, 5);
        r.output(&values[3]);
        let schedule = Schedule::new(r.finish().expect("records"));
        assert_eq!((schedule.dispatches().len(), schedule.pruned), (3, 2));
    }

    #[test]
    fn values_share_slots_only_when_no_dispatch_needs_both() {
        let mut r = recorder();
        let values = chain(&mut r, 9);
        r.output(&values[9]);
        let schedule = Schedule::new(r.finish().expect("records"));
        // Each layer reads one value and writes the next, so two slots serve any length.
        assert_eq!(schedule.slots, [1024, 1024]);
        for dispatch in schedule.dispatches() {
            let slots: Vec<_> = values_of(dispatch)
                .filter_map(|v| schedule.places.get(&v))
                .collect::<HashSet<_>>()
                .into_iter()
                .collect();
            let values: HashSet<_> = values_of(dispatch).filter(|v| schedule.places.contains_key(v)).collect();
            assert_eq!(slots.len(), values.len(), "two live values in one slot");
        }
    }

    #[test]
    fn what_is_handed_on_lies_in_working_memory_for_the_whole_run() {
        let mut r = recorder();
        let values = chain(&mut r, 20);
        r.output(&values[20]);
        r.hand_on(&values[3]);
        let recording = r.finish().expect("records");
        // An extra value beside the two slots of a chain; it fits in neither meanwhile.
        let mut schedule = Schedule::new(recording.clone());
        assert_eq!(schedule.slots, [1024, 1024, 1024]);
        // In existing memory, it lies beside values of other dispatches.
        schedule.settle(&[4096, 2048]);
        assert_eq!(schedule.slots.len(), 2);
        let place = |v: usize| id(&values[v]).and_then(|v| schedule.places.get(&v)).copied().expect("a place");
        assert!((1..20).filter(|&v| v != 3).all(|v| place(v) != place(3)));
        // A dispatch's input and output never lie in one buffer.
        assert!((1..19).all(|v| place(v).slot != place(v + 1).slot));
        // Changed to an output, it has a buffer of its own.
        let mut kept = recording;
        kept.outputs.push(values[3].clone());
        assert_eq!(Schedule::new(kept).slots, [1024, 1024]);
    }

    fn values_of(dispatch: &Dispatch) -> impl Iterator<Item = u32> + '_ {
        super::values(&dispatch.inputs).chain(super::values(&dispatch.outputs))
    }

    #[test]
    fn a_tensor_beyond_the_largest_buffer_is_refused_with_its_numbers() {
        let mut r = recorder();
        r.value("huge", 1 << 15, 1 << 13, Channels::one(4));
        let error = r.finish().err().expect("refused").to_string();
        assert!(error.contains("huge") && error.contains("4294967296") && error.contains("1073741824"), "{error}");
    }
}
