//! Straight-line shaders, without loop or branch, for devices without range checks: what several kernels share.
//!
//! Lanes take neighbouring channels, and a workgroup is one subgroup. The data must fill them, because these shaders have no bounds tests.

use crate::shader::{Form, Needs, Pace, Ranges, Stored};

/// Most elements per binding: these shaders tell their compiler that no index is larger.
pub const MOST_ELEMENTS: u64 = 1 << 26;

/// A row for subgroups of LANES lanes. Each element results from the same operations in the same order as in the plain form, from which the
/// twin's bound is derived. So its error grows by 1.
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

/// The lanes of a straight form, or `None` for another form.
pub fn lanes(form: &Form) -> Option<u32> {
    form.consts.iter().find(|(name, _)| *name == "LANES").map(|c| c.1)
}

/// The extents of a problem that decide whether a straight form fits.
pub struct Extent<'a> {
    /// Channel counts of the tensors that are concatenated.
    pub channels: &'a [u64],
    /// Elements of each binding.
    pub elements: &'a [u64],
    /// Largest workgroup counts, per dimension.
    pub workgroups: &'a [u64],
}

impl Extent<'_> {
    /// The reason why `form` does not fit, if there is one.
    pub fn refuses(&self, form: &Form, most_workgroups: u32) -> Option<String> {
        let lanes = u64::from(form.constant("LANES"));
        if let Some(n) = self.channels.iter().find(|n| !n.is_multiple_of(lanes)) {
            return Some(format!("{n} channels are not a multiple of its {lanes} lanes"));
        }
        if let Some(n) = self.elements.iter().find(|&&n| n > MOST_ELEMENTS) {
            return Some(format!("a binding of {n} elements exceeds its range of indices"));
        }
        let most = self.workgroups.iter().find(|&&n| n > most_workgroups.into());
        most.map(|n| format!("it needs {n} workgroups in one dimension"))
    }
}
