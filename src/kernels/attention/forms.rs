//! The forms of `attention`, one row each. All have the same bound: each score is a sum over a head's channels, and each output a sum over
//! keys, rescaled once per tile of 16 keys or more, in any order. So their error grows by 1.

use super::straight;
use crate::plan::{Offer, Recorder, turns};
use crate::shader::{Facts, Form, Maker, Needs, Pace, Ranges, Stored};

const fn tiled(name: &'static str, consts: &'static [(&'static str, u32)]) -> Form {
    let source = include_str!("../../../shaders/attention/tiled.wgsl");
    Form { name, consts, pace: Pace { cpu: 0.1, gpu: 1.0 }, ..Form::plain(source) }
}

const fn broadcast(name: &'static str, consts: &'static [(&'static str, u32)]) -> Form {
    let source = include_str!("../../../shaders/attention/broadcast.wgsl");
    let needs = Needs { lanes: 8, unfit: UNROLLED, ..Needs::NOTHING };
    Form { name, consts, needs, pace: Pace { cpu: 1.0, gpu: 0.05 }, ..Form::plain(source) }
}

/// A straight-line form of `lanes` lanes. One dispatch handles one tile of 32 keys, with the same online softmax. Maximum and sums pass
/// between two dispatches in f32, as they do within one; padding keys have zero weight; and a score adds up its channels one after the
/// other. So its error grows by 1, too.
const fn straight(name: &'static str, consts: &'static [(&'static str, u32)], lanes: u32, cpu: f64) -> Form {
    let source = include_str!("../../../shaders/attention/straight.wgsl");
    let needs = Needs { lanes, ranges: Ranges::Unchecked, ..Needs::NOTHING };
    let variants: Option<&[&[&str]]> = Some(straight::VARIANTS);
    Form {
        name,
        consts,
        needs,
        variants,
        stored: Stored::F32Values,
        pace: Pace { cpu, gpu: 0.05 },
        ..Form::plain(source)
    }
}

/// These shaders are long, and made for CPUs. Measured by `make vendors`, with Mesa 26.2.6.
const UNROLLED: &[(Maker, &str)] =
    &[(Maker::Nvidia, "its compiler takes 1 to 7 s for one of them and spills up to 760 registers")];

/// The number in a name is the channels of a head whose output a workgroup makes at once. Wider heads are made in slices, and the scores
/// are computed again for each. In straight forms it is the lanes.
pub(super) static FORMS: &[Form] = &[
    tiled("tiled-64", &[("CHUNKS", 4)]),
    tiled("tiled-32", &[("CHUNKS", 2)]),
    tiled("tiled-160", &[("CHUNKS", 10)]),
    tiled("tiled-256", &[("CHUNKS", 16)]),
    broadcast("broadcast-64", &[("CHUNKS", 2), ("ROWS", 32), ("HALVES", 4)]),
    broadcast("broadcast-32", &[("CHUNKS", 1), ("ROWS", 32), ("HALVES", 4)]),
    broadcast("broadcast-160", &[("CHUNKS", 5), ("ROWS", 16), ("HALVES", 2)]),
    broadcast("broadcast-256", &[("CHUNKS", 8), ("ROWS", 16), ("HALVES", 2)]),
    straight("straight-8", &[("LANES", 8), ("AT_ONCE", 8), ("KEY_BLOCKS", 4), ("HEAD_BLOCKS", 8), ("STEP", 2)], 8, 4.0),
    straight(
        "straight-16",
        &[("LANES", 16), ("AT_ONCE", 16), ("KEY_BLOCKS", 4), ("HEAD_BLOCKS", 4), ("STEP", 2)],
        16,
        5.0,
    ),
];

/// The shape of the problem.
pub(super) struct Problem {
    pub queries: u32,
    /// Keys of each source.
    pub keys: [u32; 2],
    pub heads: u32,
    /// Vec4s per head.
    pub d4: u32,
}

impl Problem {
    /// Keys of both sources, each rounded up to whole tiles of `tile`.
    pub fn all_keys(&self, tile: u32) -> u64 {
        self.keys.iter().map(|&keys| u64::from(keys).next_multiple_of(tile.into())).sum()
    }
}

/// A form with loops, and the block of its workgroups.
pub(super) struct Candidate {
    pub form: &'static Form,
    /// Queries per workgroup, keys per tile.
    pub rows: u32,
    pub keys: u32,
    /// Vec4s of the output that a workgroup makes per query.
    pub slice: u32,
    /// Loop iterations of an invocation: per tile of keys, and before and after all tiles.
    turns_tile: u64,
    turns_ends: u64,
}

impl Candidate {
    pub fn new(form: &'static Form, d4: u32) -> Candidate {
        let (d4, chunks) = (d4 as u64, form.constant("CHUNKS"));
        if form.needs.lanes > 0 {
            let rows = form.constant("ROWS");
            let turns_ends = 2 * turns(rows.into(), turns(chunks.into(), 0));
            let turns_tile = turns(d4, 0) + turns(4, turns(8, 0));
            return Candidate { form, rows, keys: 32, slice: 8 * chunks, turns_tile, turns_ends };
        }
        let turns_tile = turns(d4.div_ceil(4), 0) + turns(16, 0);
        let turns_ends = 2 * turns(chunks.into(), 0);
        Candidate { form, rows: 16, keys: 16, slice: 4 * chunks, turns_tile, turns_ends }
    }

    pub fn slices(&self, problem: &Problem) -> u32 {
        problem.d4.div_ceil(self.slice)
    }

    /// Workgroups per head and slice.
    pub fn tiles(&self, problem: &Problem) -> u32 {
        problem.queries.div_ceil(self.rows)
    }

    /// Multiply-adds of all queries, heads and slices. Each slice of the output's channels computes the scores again.
    pub fn flops(&self, problem: &Problem) -> u64 {
        let channels = problem.d4 as u64 * (self.slices(problem) as u64 + 1);
        self.rows as u64 * problem.all_keys(1) * 8 * problem.heads as u64 * channels
    }

    /// Multiply-adds of lanes beyond the last channel, not included above.
    pub fn padding(&self, problem: &Problem) -> u64 {
        let idle = (self.slices(problem) * self.slice - problem.d4) as u64;
        self.rows as u64 * problem.all_keys(1) * 8 * problem.heads as u64 * idle
    }

    pub fn turns(&self, tiles: u64) -> u64 {
        self.turns_ends + turns(tiles, self.turns_tile)
    }

    /// The most tiles of keys that one dispatch can process.
    pub fn most_tiles(&self, max_turns: u64) -> u64 {
        max_turns.saturating_sub(self.turns_ends + 1) / (self.turns_tile + 1)
    }

    fn offer(&self, problem: &Problem, facts: &Facts) -> Offer {
        let tiles = self.tiles(problem) as u64;
        Offer {
            form: self.form,
            refused: self.form.needs.lacks(facts),
            dear: false,
            work: tiles * (self.flops(problem) + self.padding(problem)),
            workgroups: tiles * problem.heads as u64 * self.slices(problem) as u64,
        }
    }
}

/// Offers of all forms for `problem`.
pub(super) fn offers(problem: &Problem, r: &Recorder) -> Vec<Offer> {
    let offer = |form| match straight::is_of(form) {
        true => straight::offer(form, problem, r),
        false => Candidate::new(form, problem.d4).offer(problem, &r.forms.facts),
    };
    FORMS.iter().map(offer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{ByRule, Choose, Forms, Key, Limits, Policy};
    use crate::shader::Device;

    #[test]
    fn each_head_size_has_a_form_of_its_own() {
        let cpu = Facts { device: Device::Cpu, cores: 2, least_lanes: 8, ..Facts::LEAST };
        let no_lanes = Facts { least_lanes: 4, ..cpu };
        let gpu = Facts { device: Device::Discrete, cores: 64, least_lanes: 32, f16: true, ..Facts::LEAST };
        for (d, wide) in [(10, 32), (32, 32), (33, 64), (64, 64), (80, 160), (160, 160), (512, 256)] {
            let problem = Problem { queries: 4096, keys: [4096; 2], heads: 1, d4: u32::div_ceil(d, 4) };
            let key = Key { storage: Policy::F32, text: String::new(), layer: std::sync::Arc::new(()) };
            for (facts, family) in [(cpu, "broadcast"), (no_lanes, "tiled"), (gpu, "tiled")] {
                let r = Recorder::new(Policy::F32, Forms::first(facts), Limits::TEST);
                let chosen = ByRule.choose(&super::super::KERNEL, &key, &offers(&problem, &r), &facts).unwrap();
                assert_eq!(FORMS[chosen].name, format!("{family}-{wide}"), "{d} channels");
            }
        }
    }
}
