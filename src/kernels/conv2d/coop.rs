//! Products of cooperative matrices: a text for each shape that adapters list.

use super::forms::Candidate;
use crate::plan::turns;
use crate::shader::{Form, Needs, Pace, Stored};

/// Products of matrices of halves, which are exact in f32. Twice the bound, since a matrix unit may add the products of SIDE terms and the
/// sum so far at once, each cut at a unit of the largest of them: where the twin has a unit of each partial sum, u sum |S_k|, it errs by one
/// of the largest term as well. Over n terms these are n sqrt(SIDE / n) sqrt(sum t^2) at most, by Cauchy's inequality, which is within
/// n (|T| / 2 + sqrt V) from n = SIDE on; of fewer terms each is within their magnitudes M, and n M is the other side of the minimum. Whole
/// numbers stay exact: a unit of less than 2^24 g is g at most.
///
/// Its pace is less than that of any form that adapters are known to be fast with: many list matrices that they have no units for, so it
/// is taken where it was measured alone.
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

/// What the larger of the texts takes.
const BYTES: u32 = 19 * 1024;
pub(super) const TEXT_16: &str = include_str!("../../../shaders/conv2d/coop16.wgsl");
pub(super) const TEXT_8: &str = include_str!("../../../shaders/conv2d/coop8.wgsl");

/// A block has four times as many rows as a matrix has sides, and eight times as many columns; a step twice as many channels.
pub(super) const fn candidate(form: &'static Form, direct: Candidate) -> Candidate {
    Candidate {
        form,
        refuses: |chosen, _, r| {
            (!r.storage.suits(chosen.form)).then(|| "it takes values and weights in halves alone".into())
        },
        block: |form, problem| (4 * form.needs.matrices, 2 * form.needs.matrices / problem.halves()),
        step: form.needs.matrices / 2,
        turns: |_, problem, steps| {
            let kernel = problem.geometry.kernel as u64;
            turns(kernel * kernel * steps, 0)
        },
        ..direct
    }
}
