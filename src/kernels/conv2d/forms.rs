//! The forms of `conv2d`: one row each.
//!
//! Direct forms add the bias and the products one after the other, taps before channels, some with zeros in between. That is a sum of n
//! terms in some order, and the twin's bound holds for any order, so their error grows by 1. Winograd's forms multiply its matrices with
//! the same shaders, in sums of as many terms as there are channels; the twin has a bound of its own for the result.

use super::coop::{self, coop};
use super::{Problem, direct, eights, straight, winograd};
use crate::plan::{Element, Limits, Offer, Packing, Panels, Read, Recorder, Tensor, turns};
use crate::shader::{Form, Maker, Needs, Pace, Ranges, Stored, Sums};

/// A form, the problems that it fits, and how to record it.
pub(super) struct Candidate {
    pub form: &'static Form,
    /// Memory layout of its weights, but see [`Candidate::packed`].
    pub packing: Packing,
    /// The reason why it does not fit a problem, if there is one.
    pub refuses: fn(&Candidate, &Problem, &Recorder) -> Option<String>,
    /// For Winograd's forms: whether matrices of that many rows fit the limits.
    pub takes: fn(&Candidate, &Problem, u64, &Limits) -> bool,
    /// Whether it takes more memory than its savings justify.
    pub is_dear: fn(&Candidate, &Problem, &Recorder) -> bool,
    /// The products that it computes for a problem, and its other costs in multiply-adds.
    pub computes: fn(&Candidate, &Problem, &Recorder) -> (Problem, u64),
    /// Positions and vec4 columns per workgroup.
    pub block: fn(&Form, &Problem) -> (u32, u32),
    /// Vec4s of input channels per step.
    pub step: u32,
    /// Workgroups that keep a core of a GPU busy.
    pub fill: u64,
    /// Loop iterations of an invocation.
    pub turns: fn(&Form, &Problem, u64) -> u64,
    pub record: fn(&mut Recorder, &Candidate, &Problem, &super::Operands, &Tensor),
}

const fn tiled(name: &'static str, consts: &'static [(&'static str, u32)], gpu: f64) -> Form {
    let source = include_str!("../../../shaders/conv2d/tiled.wgsl");
    Form { name, consts, pace: Pace { cpu: 0.1, gpu }, ..Form::plain(source) }
}

/// SIDE x SIDE invocations. Its pace is the gain that others report for 8 x 8 sums over 4 x 4 (1.5 to 2 times), not measured here. A CPU
/// driver cannot keep 64 sums per lane in registers.
const fn reg(name: &'static str, consts: &'static [(&'static str, u32)], gpu: f64) -> Form {
    let source = include_str!("../../../shaders/conv2d/reg.wgsl");
    let needs = Needs { unfit: SUMS_64, ..Needs::NOTHING };
    Form { name, consts, needs, pace: Pace { cpu: 0.05, gpu }, ..Form::plain(source) }
}

const fn broadcast(name: &'static str, consts: &'static [(&'static str, u32)]) -> Form {
    let source = include_str!("../../../shaders/conv2d/broadcast.wgsl");
    let needs = Needs { lanes: 8, ..Needs::NOTHING };
    Form { name, consts, needs, pace: Pace { cpu: 1.0, gpu: 0.05 }, ..Form::plain(source) }
}

const fn rows(name: &'static str, consts: &'static [(&'static str, u32)]) -> Form {
    let source = include_str!("../../../shaders/conv2d/rows.wgsl");
    Form { name, consts, pace: Pace { cpu: 0.55, gpu: 0.05 }, ..Form::plain(source) }
}

/// LANES lanes, ROWS rows and STEP channels, by direct sums. Sums pass between two dispatches in f32, as they do within one, so its error
/// is that of a direct form.
const fn straight(name: &'static str, consts: &'static [(&'static str, u32)], cpu: f64) -> Form {
    let source = include_str!("../../../shaders/conv2d/straight.wgsl");
    let needs = Needs { lanes: consts[0].1, ranges: Ranges::Unchecked, ..Needs::NOTHING };
    let variants: Option<&[&[&str]]> = Some(&[&[], &["GEGLU"]]);
    let pace = Pace { cpu, gpu: 0.05 };
    Form { name, consts, needs, variants, stored: Stored::F32Values, pace, ..Form::plain(source) }
}

/// The same shader for Winograd's products. Channels of padding add zeros, so Winograd's bound holds unchanged. It multiplies in f32
/// whatever the storage is.
const fn straight_winograd(name: &'static str, form: Form) -> Form {
    Form { name, variants: Some(&[&[]]), stored: Stored::Any, sums: Sums::Winograd, ..form }
}

/// The shader of a direct form, applied to the products of Winograd's algorithm.
const fn of_winograd(name: &'static str, form: Form) -> Form {
    Form { name, variants: Some(&[&["MATRICES"]]), sums: Sums::Winograd, ..form }
}

const TILED_64: &[(&str, u32)] = &[("TX", 16), ("TY", 16), ("TM", 4), ("A_LOADS", 1), ("B_LOADS", 1)];
const TILED_32: &[(&str, u32)] = &[("TX", 8), ("TY", 16), ("TM", 4), ("A_LOADS", 2), ("B_LOADS", 1)];
const TILED_16: &[(&str, u32)] = &[("TX", 4), ("TY", 16), ("TM", 4), ("A_LOADS", 4), ("B_LOADS", 1)];

const EIGHTS_64: &[(&str, u32)] = &[("WG", 16), ("PANEL", 8), ("EIGHTS", 1)];

const REG_128: &[(&str, u32)] = &[("SIDE", 16), ("STEP", 8), ("LOADS", 1)];
const REG_64: &[(&str, u32)] = &[("SIDE", 8), ("STEP", 8), ("LOADS", 2)];

/// Found by `make vendors`, with Mesa 26.2.6.
const STAGES_FOUR: &[(Maker, &str)] =
    &[(Maker::Intel, "it stages four vec4s of input, and with gates it spills 12 registers on an Arc A770")];

const SUMS_64: &[(Maker, &str)] = &[
    (Maker::Intel, "sums take 64 of 128 registers, and it spills 113 to 152"),
    (Maker::Apple, "it takes 1.57 instructions per multiplication (tiled-64 takes 1.46), and half as many threads fit"),
];

/// The number in a name is the channels of a block; in rows-12, -8 and -4 it is the most channels that they take. The pace of smaller tiles
/// follows from the loads per product.
pub(super) static FORMS: &[Form] = &[
    tiled("tiled-64", TILED_64, 1.0),
    tiled("tiled-32", TILED_32, 0.8),
    Form { needs: Needs { unfit: STAGES_FOUR, ..Needs::NOTHING }, ..tiled("tiled-16", TILED_16, 0.5) },
    // For inputs of few channels, such as 3.
    tiled("tiled-4", &[("TX", 1), ("TY", 64), ("TM", 1), ("A_LOADS", 4), ("B_LOADS", 1)], 0.2),
    // For few positions.
    tiled("small-64", &[("TX", 16), ("TY", 4), ("TM", 4), ("A_LOADS", 1), ("B_LOADS", 4)], 0.5),
    broadcast("broadcast-64", &[("WG", 16), ("PANEL", 8)]),
    broadcast("broadcast-32", &[("WG", 8), ("PANEL", 8)]),
    rows("rows-64", &[("WG", 16), ("COLS", 16)]),
    rows("rows-32", &[("WG", 8), ("COLS", 8)]),
    // Few columns would leave most lanes idle, so these take more rows instead.
    rows("rows-12", &[("WG", 16), ("COLS", 4)]),
    rows("rows-8", &[("WG", 16), ("COLS", 2)]),
    rows("rows-4", &[("WG", 16), ("COLS", 1)]),
    of_winograd("winograd-tiled-64", tiled("", TILED_64, 1.0)),
    of_winograd("winograd-tiled-32", tiled("", TILED_32, 0.8)),
    of_winograd("winograd-broadcast-64", broadcast("", &[("WG", 16), ("PANEL", 8)])),
    of_winograd("winograd-broadcast-32", broadcast("", &[("WG", 8), ("PANEL", 8)])),
    of_winograd("winograd-rows-64", rows("", &[("WG", 16), ("COLS", 16)])),
    straight("straight-8-32", EIGHT_32, 1.2),
    straight("straight-8-64", EIGHT_64, 1.5),
    straight("straight-8-128", EIGHT_128, 2.0),
    straight("straight-8-160", EIGHT_160, 2.1),
    straight("straight-16-32", SIXTEEN_32, 4.0),
    straight("straight-16-128", SIXTEEN_128, 8.0),
    straight("straight-16-160", SIXTEEN_160, 8.5),
    straight("straight-16-256", SIXTEEN_256, 9.5),
    straight("straight-16-320", SIXTEEN_320, 10.0),
    straight_winograd("winograd-straight-8-32", straight("", EIGHT_32, 1.2)),
    straight_winograd("winograd-straight-8-64", straight("", EIGHT_64, 1.5)),
    straight_winograd("winograd-straight-8-128", straight("", EIGHT_128, 2.0)),
    straight_winograd("winograd-straight-8-160", straight("", EIGHT_160, 2.1)),
    straight_winograd("winograd-straight-16-32", straight("", SIXTEEN_32, 4.0)),
    straight_winograd("winograd-straight-16-128", straight("", SIXTEEN_128, 8.0)),
    straight_winograd("winograd-straight-16-160", straight("", SIXTEEN_160, 8.5)),
    straight_winograd("winograd-straight-16-256", straight("", SIXTEEN_256, 9.5)),
    straight_winograd("winograd-straight-16-320", straight("", SIXTEEN_320, 10.0)),
    reg("reg-128", REG_128, 1.7),
    reg("reg-64", REG_64, 1.5),
    of_winograd("winograd-reg-128", reg("", REG_128, 1.7)),
    of_winograd("winograd-reg-64", reg("", REG_64, 1.5)),
    // Four subgroups of 32 lanes, and of 64.
    coop("coop16", coop::TEXT_16, 16, &[("LANES", 128), ("LOADS", 4), ("SHARE", 2)]),
    coop("coop16-wide", coop::TEXT_16, 16, &[("LANES", 256), ("LOADS", 2), ("SHARE", 1)]),
    coop("coop8", coop::TEXT_8, 8, &[("LANES", 128), ("LOADS", 1), ("SHARE", 1)]),
    eights::form("broadcast-64-u64", broadcast("", EIGHTS_64), Stored::Floats),
    eights::form("winograd-broadcast-64-u64", of_winograd("", broadcast("", EIGHTS_64)), Stored::Any),
];

// The numbers of straight forms are lanes and channels per step. Long steps are faster, but take longer to compile, in proportion as long
// as no segment is long. ROWS divides the positions of common image sizes; rows of any width then take a multiple of 256 bytes, at which
// bindings may begin.
const EIGHT_32: &[(&str, u32)] = &[("LANES", 8), ("ROWS", 4), ("STEP", 32), ("SEGMENT", 32)];
const EIGHT_64: &[(&str, u32)] = &[("LANES", 8), ("ROWS", 4), ("STEP", 64), ("SEGMENT", 32)];
const EIGHT_128: &[(&str, u32)] = &[("LANES", 8), ("ROWS", 4), ("STEP", 128), ("SEGMENT", 32)];
const EIGHT_160: &[(&str, u32)] = &[("LANES", 8), ("ROWS", 4), ("STEP", 160), ("SEGMENT", 32)];
const SIXTEEN_32: &[(&str, u32)] = &[("LANES", 16), ("ROWS", 8), ("STEP", 32), ("SEGMENT", 32)];
const SIXTEEN_128: &[(&str, u32)] = &[("LANES", 16), ("ROWS", 8), ("STEP", 128), ("SEGMENT", 64)];
const SIXTEEN_160: &[(&str, u32)] = &[("LANES", 16), ("ROWS", 8), ("STEP", 160), ("SEGMENT", 80)];
const SIXTEEN_256: &[(&str, u32)] = &[("LANES", 16), ("ROWS", 8), ("STEP", 256), ("SEGMENT", 64)];
const SIXTEEN_320: &[(&str, u32)] = &[("LANES", 16), ("ROWS", 8), ("STEP", 320), ("SEGMENT", 80)];

/// The most vec4s of output channels that it takes.
fn columns<const MOST: u32>(_: &Candidate, problem: &Problem, _: &Recorder) -> Option<String> {
    (problem.out_n4 > MOST).then(|| format!("it does not take {} channels", problem.out_n4 * 4))
}

const TILED: Candidate = Candidate {
    form: &FORMS[0],
    packing: Packing::Taps,
    refuses: |_, _, _| None,
    takes: |_, _, _, _| true,
    is_dear: |_, _, _| false,
    computes: |_, problem, _| (*problem, 0),
    block: |form, _| (form.constant("TY") * form.constant("TM"), form.constant("TX")),
    step: 4,
    fill: 1,
    turns: |form, problem, steps| 3 * turns(form.constant("TM").into(), 0) + taps(problem, turns(steps, 0)),
    record: direct::record,
};

/// A subgroup reads a panel from beginning to end.
const BROADCAST: Candidate = Candidate {
    form: &FORMS[5],
    packing: Packing::Panels { of: Panels::Taps, columns: 4 * FORMS[5].consts[1].1, step: 4, read: Read::Vec4s },
    refuses: |_, _, _| None,
    takes: |_, _, _, _| true,
    is_dear: |_, _, _| false,
    computes: |_, problem, _| (*problem, 0),
    block: |form, problem| (32 / problem.halves(), form.constant("WG")),
    step: 1,
    fill: 1,
    turns: |_, problem, steps| taps(problem, turns(steps, 0)) + turns(8, 0),
    record: direct::record,
};

/// Loops over its rows before the taps, in each tap, and at the end.
const ROWS: Candidate = Candidate {
    form: &FORMS[7],
    packing: Packing::Taps,
    refuses: |_, _, _| None,
    takes: |_, _, _, _| true,
    is_dear: |_, _, _| false,
    computes: |_, problem, _| (*problem, 0),
    block: |form, problem| {
        let columns = form.constant("COLS");
        (16 / problem.halves() * (form.constant("WG") / columns), columns)
    },
    step: 1,
    fill: 1,
    turns: |_, problem, steps| {
        let rows = turns(8, 0);
        taps(problem, turns(steps, 0) + 3 * rows) + 3 * rows
    },
    record: direct::record,
};

const REG: Candidate = Candidate {
    form: &FORMS[35],
    block: |form, problem| (8 * form.constant("SIDE"), 2 * form.constant("SIDE") / problem.halves()),
    step: 2,
    turns: |_, problem, steps| {
        let kernel = problem.geometry.kernel as u64;
        turns(kernel * kernel * steps, 0) + turns(8, 0)
    },
    ..TILED
};

/// 64 invocations.
const REG_SMALL: Candidate = Candidate { form: &FORMS[36], fill: 4, ..REG };

/// In the order of [`FORMS`].
pub(super) static CANDIDATES: &[Candidate] = &[
    TILED,
    Candidate { form: &FORMS[1], ..TILED },
    Candidate { form: &FORMS[2], ..TILED },
    Candidate { form: &FORMS[3], refuses: columns::<1>, ..TILED },
    Candidate { form: &FORMS[4], ..TILED },
    BROADCAST,
    Candidate { form: &FORMS[6], ..BROADCAST },
    ROWS,
    Candidate { form: &FORMS[8], ..ROWS },
    Candidate { form: &FORMS[9], refuses: columns::<3>, ..ROWS },
    Candidate { form: &FORMS[10], refuses: columns::<2>, ..ROWS },
    Candidate { form: &FORMS[11], refuses: columns::<1>, ..ROWS },
    of_matrices(&FORMS[12], TILED),
    of_matrices(&FORMS[13], TILED),
    of_matrices(&FORMS[14], BROADCAST),
    of_matrices(&FORMS[15], BROADCAST),
    of_matrices(&FORMS[16], ROWS),
    straight_linear(&FORMS[17]),
    straight_linear(&FORMS[18]),
    straight_linear(&FORMS[19]),
    straight_linear(&FORMS[20]),
    straight_linear(&FORMS[21]),
    straight_linear(&FORMS[22]),
    straight_linear(&FORMS[23]),
    straight_linear(&FORMS[24]),
    straight_linear(&FORMS[25]),
    straight_matrices(&FORMS[26]),
    straight_matrices(&FORMS[27]),
    straight_matrices(&FORMS[28]),
    straight_matrices(&FORMS[29]),
    straight_matrices(&FORMS[30]),
    straight_matrices(&FORMS[31]),
    straight_matrices(&FORMS[32]),
    straight_matrices(&FORMS[33]),
    straight_matrices(&FORMS[34]),
    REG,
    REG_SMALL,
    of_matrices(&FORMS[37], REG),
    of_matrices(&FORMS[38], REG_SMALL),
    coop::candidate(&FORMS[39], TILED),
    coop::candidate(&FORMS[40], TILED),
    coop::candidate(&FORMS[41], TILED),
    eights::candidate(&FORMS[42], BROADCAST),
    eights::matrices(of_matrices(&FORMS[43], eights::candidate(&FORMS[43], BROADCAST))),
];

const fn of_matrices(form: &'static Form, direct: Candidate) -> Candidate {
    let (refuses, is_dear, computes) = (winograd::refuses, winograd::is_dear, winograd::work);
    let packing = match direct.packing {
        Packing::Panels { columns, step, read, .. } => Packing::Panels { of: Panels::Winograd, columns, step, read },
        _ => Packing::Winograd,
    };
    Candidate { form, packing, refuses, is_dear, computes, record: winograd::record, ..direct }
}

/// Takes whole blocks only, because it has no bounds tests.
const fn straight_linear(form: &'static Form) -> Candidate {
    let step = form.consts[2].1;
    Candidate {
        form,
        packing: Packing::Panels { of: Panels::Taps, columns: 2 * form.consts[0].1, step, read: Read::Numbers },
        refuses: straight::refuses,
        is_dear: straight::is_dear,
        computes: straight::work,
        block: |form, problem| (form.constant("ROWS"), form.constant("LANES") / 2 / problem.halves()),
        step: step / 4,
        turns: |_, _, _| 0,
        record: straight::record,
        ..TILED
    }
}

const fn straight_matrices(form: &'static Form) -> Candidate {
    let (takes, record) = (straight::takes, straight::record_winograd);
    Candidate { takes, record, ..of_matrices(form, straight_linear(form)) }
}

/// Iterations of loops over the window's rows and columns, with `inner` in each.
fn taps(problem: &Problem, inner: u64) -> u64 {
    let kernel = problem.geometry.kernel as u64;
    turns(kernel, turns(kernel, inner))
}

impl Candidate {
    /// Whether it takes a dispatch for each step over the channels.
    pub fn is_straight(&self) -> bool {
        matches!(self.packing, Packing::Panels { read: Read::Numbers, .. })
    }

    /// The layout of its weights for a problem: 8-bit weights keep rows, which have the scales; gates lie beside their hidden columns; and
    /// a panel is no wider than the few columns of a narrow layer.
    pub fn packed(&self, problem: &Problem, weights: Element) -> Packing {
        match self.packing {
            Packing::Panels { of: Panels::Taps, read: Read::Vec4s, .. } if weights == Element::Q8 => Packing::Taps,
            Packing::Panels { of, columns, step, read } => {
                // Straight forms take whole blocks of as many columns, with gates or without.
                let columns = match read {
                    Read::Vec4s | Read::Eights => columns.min(4 * problem.out_n4) * problem.halves(),
                    Read::Numbers | Read::Pairs => columns,
                };
                Packing::Panels { of: if problem.geglu { Panels::Gated } else { of }, columns, step, read }
            }
            packing => packing,
        }
    }

    pub fn turns_of(&self, problem: &Problem) -> u64 {
        (self.turns)(self.form, problem, problem.in_c4.div_ceil(self.step).into())
    }

    /// Multiply-adds that workgroups compute for `positions`, in whole blocks: much may lie beyond the last position or channel.
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

    fn offer(&self, problem: &Problem, r: &Recorder) -> Offer {
        let form = self.form;
        let refused = form.needs.lacks(&r.forms.facts).or_else(|| (self.refuses)(self, problem, r));
        if refused.is_some() {
            return Offer { form, refused, dear: false, work: 0, workgroups: 0 };
        }
        let (products, beside) = (self.computes)(self, problem, r);
        Offer {
            form,
            refused,
            dear: (self.is_dear)(self, problem, r),
            work: self.work(&products, products.positions()) + beside,
            workgroups: self
                .effective_workgroups(self.workgroups(&products, products.positions()), r.forms.facts.cores.into()),
        }
    }

    /// The workgroups that the rule counts, which assumes that each keeps a core busy. If they are too few to fill the device, `fill` of
    /// them count as one.
    fn effective_workgroups(&self, workgroups: u64, cores: u64) -> u64 {
        if workgroups < self.fill * cores { workgroups.div_ceil(self.fill) } else { workgroups }
    }
}

/// Offers of all forms for `problem`.
pub(super) fn offers(problem: &Problem, r: &Recorder) -> Vec<Offer> {
    CANDIDATES.iter().map(|candidate| candidate.offer(problem, r)).collect()
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
        for candidate in CANDIDATES.iter().filter(|c| c.form.source == REG.form.source) {
            let [side, step, loads] = ["SIDE", "STEP", "LOADS"].map(|name| candidate.form.constant(name));
            assert_eq!((loads * side, 4 * candidate.step), (2 * step, step), "{}", candidate.form.name);
        }
        for candidate in CANDIDATES.iter().filter(|c| c.form.needs.matrices > 0) {
            let [lanes, loads, share] = ["LANES", "LOADS", "SHARE"].map(|name| candidate.form.constant(name));
            let side = candidate.form.needs.matrices;
            let found = (lanes * loads, share, 2 * candidate.step);
            assert_eq!(found, (2 * side * side, (side * side).div_ceil(lanes), side), "{}", candidate.form.name);
        }
        for form in FORMS.iter().filter(|form| form.consts.len() == 5) {
            let [tx, ty, tm, a, b] = ["TX", "TY", "TM", "A_LOADS", "B_LOADS"].map(|name| form.constant(name));
            assert_eq!(tx * ty * a, ty * tm * 4, "{}", form.name);
            assert_eq!(b, (16 / ty).max(1), "{}", form.name);
            assert!(tx * ty >= 64 && tx * ty <= 256 && (tx * ty) % 4 == 0, "{}", form.name);
        }
    }
}
