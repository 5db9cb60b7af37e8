//! Cooperative matrix products: one shader per matrix size that adapters list.

use super::forms::Candidate;
use crate::plan::turns;
use crate::shader::{Form, Needs, Pace, Stored};

/// Products of f16 matrices, which are exact in f32. The bound is twice the twin's, because a matrix unit may add the products of SIDE
/// terms and the partial sum at once, each truncated at a unit of the largest of them. Where the twin has a unit of each partial sum, u sum
/// |S_k|, this form errs by a unit of the largest term as well. Over n terms these are at most n sqrt(SIDE / n) sqrt(sum t^2) by Cauchy's
/// inequality, which is within n (|T| / 2 + sqrt V) from n = SIDE on. With fewer terms each is within their magnitudes M, and n M is the
/// other side of the minimum. Integers stay exact: a unit of less than 2^24 g is at most g.
///
/// Its pace is below every other form's: many adapters list matrices without having units for them, so only a measurement may choose it.
pub(super) const fn coop(
    name: &'static str,
    source: &'static str,
    side: u32,
    consts: &'static [(&'static str, u32)],
) -> Form {
    let needs = Needs {
        lanes: 1,
        most_lanes: consts[0].1 / 4,
        matrices: side,
        workgroup_bytes: BYTES,
        f16: true,
        ..Needs::NOTHING
    };
    let pace = Pace { cpu: 0.01, gpu: 0.95 };
    Form { name, consts, needs, stored: Stored::Halves, growth: 2.0, pace, ..Form::plain(source) }
}

/// Workgroup memory of the larger shader.
const BYTES: u32 = 19 * 1024;
pub(super) const TEXT_16: &str = include_str!("../../../shaders/conv2d/coop16.wgsl");
pub(super) const TEXT_8: &str = include_str!("../../../shaders/conv2d/coop8.wgsl");

/// A block has four times as many rows as a matrix has, and eight times as many columns; a step has twice as many channels.
pub(super) const fn candidate(form: &'static Form, direct: Candidate) -> Candidate {
    Candidate {
        form,
        refuses: |chosen, _, r| (!r.storage.suits(chosen.form)).then(|| "it only takes f16 values and weights".into()),
        block: |form, problem| (4 * form.needs.matrices, 2 * form.needs.matrices / problem.halves()),
        step: form.needs.matrices / 2,
        turns: |_, problem, steps| {
            let kernel = problem.geometry.kernel as u64;
            turns(kernel * kernel * steps, 0)
        },
        ..direct
    }
}
