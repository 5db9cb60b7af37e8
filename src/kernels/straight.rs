//! Texts without loop or branch, for devices without range checks: what those of several kernels have in common.
//!
//! Lanes have neighbouring channels, and a workgroup is one subgroup. What there is must fill them: nothing asks whether it is inside.

use crate::shader::{Form, Needs, Pace, Ranges, Stored};

/// Elements of what one binding holds at most: these texts tell their compiler that no index is larger.
pub const MOST_ELEMENTS: u64 = 1 << 26;

/// A row for subgroups of LANES lanes. Each element comes of the same operations, in the same order, as the plain text's: what the twin's
/// bound is derived from, so that it grows by 1.
pub const fn form(
    name: &'static str,
    source: &'static str,
    consts: &'static [(&'static str, u32)],
    lanes: u32,
    cpu: f64,
) -> Form {
    let needs = Needs { lanes, ranges: Ranges::Unchecked, ..Needs::NOTHING };
    Form { name, consts, needs, stored: Stored::F32Values, pace: Pace { cpu, gpu: 0.05 }, ..Form::plain(source) }
}

/// The lanes of a form, if it is one of these.
pub fn lanes(form: &Form) -> Option<u32> {
    form.consts.iter().find(|(name, _)| *name == "LANES").map(|c| c.1)
}

/// What a form of these computes, as far as it may not be for it.
pub struct Extent<'a> {
    /// Numbers of channels that lie beside each other.
    pub channels: &'a [u64],
    /// Elements of each binding.
    pub elements: &'a [u64],
    /// Workgroups in each dimension, at most.
    pub workgroups: &'a [u64],
}

impl Extent<'_> {
    /// Why `form` is not for it, if so.
    pub fn refuses(&self, form: &Form, most_workgroups: u32) -> Option<String> {
        let lanes = u64::from(form.constant("LANES"));
        if let Some(n) = self.channels.iter().find(|n| !n.is_multiple_of(lanes)) {
            return Some(format!("{n} channels do not fill its {lanes} lanes"));
        }
        if let Some(n) = self.elements.iter().find(|&&n| n > MOST_ELEMENTS) {
            return Some(format!("a binding of {n} elements is more than its indices count"));
        }
        let most = self.workgroups.iter().find(|&&n| n > most_workgroups.into());
        most.map(|n| format!("it takes {n} workgroups in one dimension"))
    }
}
