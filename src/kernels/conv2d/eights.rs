//! Forms of the broadcast shader that load 64-bit numbers: eight channels, and two rows of four columns of weights, at once. They add up the
//! same products in the same order, so their error grows by 1.

use super::forms::Candidate;
use super::{Problem, winograd};
use crate::plan::{Packing, Read, Recorder};
use crate::shader::{Form, Needs, Pace, Stored};

/// At most 8 lanes: with 16, Mesa 22.3.6 takes ten times as long.
pub(super) const fn form(name: &'static str, of: Form, stored: Stored) -> Form {
    let needs = Needs { most_lanes: 8, int64: true, ..of.needs };
    Form { name, needs, stored, pace: Pace { cpu: 1.3, gpu: 0.05 }, ..of }
}

pub(super) const fn candidate(form: &'static Form, of: Candidate) -> Candidate {
    let packing = match of.packing {
        Packing::Panels { of, columns, .. } => Packing::Panels { of, columns, step: 8, read: Read::Eights },
        _ => panic!("the broadcast shader reads panels"),
    };
    let refuses: fn(&Candidate, &Problem, &Recorder) -> Option<String> = |chosen, problem, r| {
        (!r.storage.suits(chosen.form)).then(|| "it does not read 8-bit weights".into()).or_else(|| odd(problem))
    };
    Candidate { form, packing, refuses, step: 2, ..of }
}

/// The same for the products of Winograd's algorithm.
pub(super) const fn matrices(of: Candidate) -> Candidate {
    let refuses: fn(&Candidate, &Problem, &Recorder) -> Option<String> =
        |chosen, problem, r| winograd::refuses(chosen, problem, r).or_else(|| odd(problem));
    Candidate { refuses, ..of }
}

/// The reason why they do not take a problem, if there is one.
fn odd(problem: &Problem) -> Option<String> {
    let filled = 4 * problem.in_c4;
    (!problem.in_c4.is_multiple_of(2)).then(|| format!("it reads 8 channels at once, of which {filled} is no multiple"))
}
