//! The forms of `conv2d`: one row each.
//!
//! All that are here add bias and products one after the other, taps before channels, some with zeros in between: a sum of n terms
//! whatever their order, which the twin's bound holds for. So their error grows by 1.

use super::{Problem, direct};
use crate::plan::{Offer, Packing, Recorder, Tensor, turns};
use crate::shader::{Facts, Form, Needs, Pace};

/// A form, the problems that it fits, and how it is recorded.
pub(super) struct Candidate {
    pub form: &'static Form,
    /// How its weights lie in memory.
    pub packing: Packing,
    pub fits: fn(&Problem) -> bool,
    /// Positions and vec4 columns that a workgroup makes.
    pub block: fn(&Form, &Problem) -> (u32, u32),
    /// Vec4s of input channels that it takes in at once.
    pub step: u32,
    /// Turns of an invocation's loops.
    pub turns: fn(&Form, &Problem, u64) -> u64,
    pub record: fn(&mut Recorder, &Candidate, &Problem, &super::Operands, &Tensor),
}

const fn tiled(name: &'static str, consts: &'static [(&'static str, u32)], gpu: f64) -> Form {
    let source = include_str!("../../../shaders/conv2d/tiled.wgsl");
    Form { name, source, consts, needs: Needs::NOTHING, growth: 1.0, pace: Pace { cpu: 0.1, gpu } }
}

const fn broadcast(name: &'static str, consts: &'static [(&'static str, u32)]) -> Form {
    let source = include_str!("../../../shaders/conv2d/broadcast.wgsl");
    let needs = Needs { lanes: 8, ..Needs::NOTHING };
    Form { name, source, consts, needs, growth: 1.0, pace: Pace { cpu: 1.0, gpu: 0.05 } }
}

const fn rows(name: &'static str, consts: &'static [(&'static str, u32)]) -> Form {
    let source = include_str!("../../../shaders/conv2d/rows.wgsl");
    Form { name, source, consts, needs: Needs::NOTHING, growth: 1.0, pace: Pace { cpu: 0.55, gpu: 0.05 } }
}

/// A name's number is the channels of a block, and of rows-12, -8 and -4 the most channels that they are for. The pace of smaller
/// tiles is that of what they load for each product.
pub(super) static FORMS: &[Form] = &[
    tiled("tiled-64", &[("TX", 16), ("TY", 16), ("TM", 4), ("A_LOADS", 1), ("B_LOADS", 1)], 1.0),
    tiled("tiled-32", &[("TX", 8), ("TY", 16), ("TM", 4), ("A_LOADS", 2), ("B_LOADS", 1)], 0.8),
    tiled("tiled-16", &[("TX", 4), ("TY", 16), ("TM", 4), ("A_LOADS", 4), ("B_LOADS", 1)], 0.5),
    // For 3 channels and the like.
    tiled("tiled-4", &[("TX", 1), ("TY", 64), ("TM", 1), ("A_LOADS", 4), ("B_LOADS", 1)], 0.2),
    // For few positions.
    tiled("small-64", &[("TX", 16), ("TY", 4), ("TM", 4), ("A_LOADS", 1), ("B_LOADS", 4)], 0.5),
    broadcast("broadcast-64", &[("WG", 16)]),
    broadcast("broadcast-32", &[("WG", 8)]),
    rows("rows-64", &[("WG", 16), ("COLS", 16)]),
    rows("rows-32", &[("WG", 8), ("COLS", 8)]),
    // Few columns would leave most lanes idle: they take more rows instead.
    rows("rows-12", &[("WG", 16), ("COLS", 4)]),
    rows("rows-8", &[("WG", 16), ("COLS", 2)]),
    rows("rows-4", &[("WG", 16), ("COLS", 1)]),
];

fn always(_: &Problem) -> bool {
    true
}

const TILED: Candidate = Candidate {
    form: &FORMS[0],
    packing: Packing::Taps,
    fits: always,
    block: |form, _| (form.constant("TY") * form.constant("TM"), form.constant("TX")),
    step: 4,
    turns: |form, problem, steps| 3 * turns(form.constant("TM").into(), 0) + taps(problem, turns(steps, 0)),
    record: direct,
};

const BROADCAST: Candidate = Candidate {
    form: &FORMS[5],
    packing: Packing::Taps,
    fits: always,
    block: |form, problem| (32 / problem.halves(), form.constant("WG")),
    step: 1,
    turns: |_, problem, steps| taps(problem, turns(steps, 0)) + turns(8, 0),
    record: direct,
};

/// Goes through its rows before, for each tap, and at the end.
const ROWS: Candidate = Candidate {
    form: &FORMS[7],
    packing: Packing::Taps,
    fits: always,
    block: |form, problem| {
        let columns = form.constant("COLS");
        (16 / problem.halves() * (form.constant("WG") / columns), columns)
    },
    step: 1,
    turns: |_, problem, steps| {
        let rows = turns(8, 0);
        taps(problem, turns(steps, 0) + 3 * rows) + 3 * rows
    },
    record: direct,
};

/// In the order of [`FORMS`].
pub(super) static CANDIDATES: &[Candidate] = &[
    TILED,
    Candidate { form: &FORMS[1], ..TILED },
    Candidate { form: &FORMS[2], ..TILED },
    Candidate { form: &FORMS[3], fits: |problem| problem.out_n4 == 1, ..TILED },
    Candidate { form: &FORMS[4], ..TILED },
    BROADCAST,
    Candidate { form: &FORMS[6], ..BROADCAST },
    ROWS,
    Candidate { form: &FORMS[8], ..ROWS },
    Candidate { form: &FORMS[9], fits: |problem| problem.out_n4 <= 3, ..ROWS },
    Candidate { form: &FORMS[10], fits: |problem| problem.out_n4 <= 2, ..ROWS },
    Candidate { form: &FORMS[11], fits: |problem| problem.out_n4 == 1, ..ROWS },
];

/// Loops over the window's rows and columns, and `inner` in each.
fn taps(problem: &Problem, inner: u64) -> u64 {
    let kernel = problem.kernel as u64;
    turns(kernel, turns(kernel, inner))
}

impl Candidate {
    pub fn turns_of(&self, problem: &Problem) -> u64 {
        (self.turns)(self.form, problem, problem.in_c4.div_ceil(self.step).into())
    }

    /// What workgroups compute of `positions`: whole blocks, of which much may lie beyond the last position or channel.
    pub fn work(&self, problem: &Problem, positions: u64) -> u64 {
        let (rows, columns) = (self.block)(self.form, problem);
        let filled = |n: u64, block: u32| n.next_multiple_of(block.into());
        problem.flops(
            filled(positions, rows),
            filled(problem.in_c4.into(), self.step),
            filled(problem.out_n4.into(), columns),
        )
    }

    pub fn workgroups(&self, problem: &Problem, positions: u64) -> u64 {
        let (rows, columns) = (self.block)(self.form, problem);
        positions.div_ceil(rows.into()) * problem.out_n4.div_ceil(columns) as u64
    }

    fn offer(&self, problem: &Problem, facts: &Facts) -> Offer {
        let unfit = || (!(self.fits)(problem)).then(|| format!("it is not for {} channels", problem.out_n4 * 4));
        Offer {
            form: self.form,
            refused: self.form.needs.lacks(facts).or_else(unfit),
            work: self.work(problem, problem.positions),
            workgroups: self.workgroups(problem, problem.positions),
        }
    }
}

/// All forms, for `problem`.
pub(super) fn offers(problem: &Problem, facts: &Facts) -> Vec<Offer> {
    CANDIDATES.iter().map(|candidate| candidate.offer(problem, facts)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_the_order_of_the_forms() {
        assert_eq!(FORMS.len(), CANDIDATES.len());
        for (form, candidate) in FORMS.iter().zip(CANDIDATES) {
            assert_eq!(form.name, candidate.form.name);
        }
    }

    #[test]
    fn invocations_of_a_tile_stage_all_of_it() {
        for form in FORMS.iter().filter(|form| form.consts.len() == 5) {
            let [tx, ty, tm, a, b] = ["TX", "TY", "TM", "A_LOADS", "B_LOADS"].map(|name| form.constant(name));
            assert_eq!(tx * ty * a, ty * tm * 4, "{}", form.name);
            assert_eq!(b, (16 / ty).max(1), "{}", form.name);
            assert!(tx * ty >= 64 && tx * ty <= 256 && (tx * ty) % 4 == 0, "{}", form.name);
        }
    }
}
