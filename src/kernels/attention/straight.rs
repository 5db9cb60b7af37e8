//! Attention by straight-line shaders: one dispatch per few keys, which continues with the maximum and the sums that the previous one left.

use super::forms::Problem;
use super::{KERNEL, KeyValue, Params, scale};
use crate::plan::{Channels, Dispatch, Element, Limits, Offer, Recorder, Tensor, Window};
use crate::shader::{Form, Ranges};

/// Stages: transpose the queries; for each few keys compute scores and sums (in wide heads one after the other); transpose the sums back.
pub(super) const VARIANTS: &[&[&str]] = &[&["QUERIES"], &[], &["SCORES"], &["WIDE"], &["OUT"]];

/// An upper bound on every index, which the shader passes on to its compiler.
const MOST_ELEMENTS: u64 = 1 << 26;

/// Bytes of the sums of a band of queries. They stay in a CPU's caches from one dispatch to the next. A band holds two such tensors, and
/// its queries take as much again.
const BAND_BYTES: u64 = 2 << 20;

/// Cost of transposing a channel of a query there and back, in multiply-adds: a gather and a scatter each.
const COST: u64 = 200;

pub(super) fn is_of(form: &Form) -> bool {
    form.needs.ranges == Ranges::Unchecked
}

/// Queries per workgroup, keys per dispatch, vec4s per section.
pub(super) fn blocks(form: &Form) -> [u32; 3] {
    let at_once = form.constant("AT_ONCE");
    [form.constant("LANES"), at_once * form.constant("KEY_BLOCKS"), at_once * form.constant("HEAD_BLOCKS") / 4]
}

/// How a form computes a problem.
struct Plan<'a> {
    form: &'static Form,
    problem: &'a Problem,
    lanes: u32,
    keys: u32,
    /// Vec4s per section, sections per head.
    d4: u32,
    sections: u32,
}

impl<'a> Plan<'a> {
    fn new(form: &'static Form, problem: &'a Problem) -> Plan<'a> {
        let [lanes, keys, d4] = blocks(form);
        Plan { form, problem, lanes, keys, d4, sections: problem.d4 / d4 }
    }

    fn blocks(&self) -> u32 {
        self.problem.queries.div_ceil(self.lanes)
    }

    /// Sections of a head whose scores one dispatch adds up, where there are several.
    fn step(&self) -> u32 {
        self.form.constant("STEP")
    }

    /// Elements of the sums of a block of queries, with its maxima and sums of weights.
    fn elements(&self) -> u64 {
        let section = (4 * self.d4 as u64 + 2) * self.lanes as u64;
        self.problem.heads as u64 * self.sections as u64 * section
    }

    /// Multiply-adds of `queries` x `keys` for the scores or the sums alone, over `d4` vec4s per head.
    fn products(&self, queries: u64, keys: u64, d4: u32) -> u64 {
        8 * queries * keys * self.problem.heads as u64 * d4 as u64
    }

    /// Blocks of queries per band; `None` if not even one fits.
    fn band(&self, limits: &Limits) -> Option<u32> {
        let (all, heads, each) = (self.blocks(), self.problem.heads, self.elements());
        let scores = if self.sections > 1 { (heads * self.keys * self.lanes) as u64 } else { 0 };
        let window = self.keys as u64 * heads as u64 * self.problem.d4 as u64 * 4;
        let room = limits.max_binding.saturating_sub(limits.offset_alignment).min(limits.max_buffer) / 4;
        let most = (room.min(MOST_ELEMENTS - 1) / each.max(scores)).min(limits.max_workgroups.into());
        let grid = heads.max(self.sections).max(self.form.constant("KEY_BLOCKS"));
        let fits = most > 0 && grid <= limits.max_workgroups && window <= room.min(MOST_ELEMENTS / 2);
        let queries = all as u64 * self.lanes as u64;
        let work = 2 * self.products(queries, self.keys.into(), self.problem.d4);
        let pieces = limits.pieces(work, all as u64 * heads as u64 * self.sections as u64);
        let cached = (BAND_BYTES / 4 / each).max(1);
        let most = most.min(cached).min((all as u64).div_ceil(pieces));
        fits.then(|| all.div_ceil((all as u64).div_ceil(most) as u32))
    }

    /// Keys that one binding holds, in whole tiles.
    fn keys_of_binding(&self, limits: &Limits) -> u32 {
        let tile = self.keys as u64 * self.problem.heads as u64 * self.problem.d4 as u64 * 16;
        let room = limits.max_binding.saturating_sub(limits.offset_alignment).min(2 * MOST_ELEMENTS);
        let most = (u32::MAX / self.keys) as u64;
        self.keys * (room / tile).clamp(1, most) as u32
    }

    fn refuses(&self, r: &Recorder) -> Option<String> {
        let form = self.form;
        let lacks = form.needs.lacks(&r.forms.facts);
        if lacks.is_some() {
            return lacks;
        }
        if !r.storage.suits(form) {
            return Some("it only takes f32 values".into());
        }
        let sections = self.sections;
        if self.problem.d4 != sections * self.d4 || (sections != 1 && !sections.is_multiple_of(self.step())) {
            let (one, step) = (4 * self.d4, 4 * self.d4 * self.step());
            return Some(format!("it only takes heads of {one} channels or a multiple of {step}"));
        }
        self.band(&r.limits).is_none().then(|| "a row of its sums exceeds a binding or a grid".into())
    }
}

pub(super) fn offer(form: &'static Form, problem: &Problem, r: &Recorder) -> Offer {
    let plan = Plan::new(form, problem);
    let refused = plan.refuses(r);
    if refused.is_some() {
        return Offer { form, refused, dear: false, work: 0, workgroups: 0 };
    }
    let queries = plan.blocks() as u64 * plan.lanes as u64;
    let turned = queries * problem.heads as u64 * problem.d4 as u64 * 4 * COST;
    let work = 2 * plan.products(queries, problem.all_keys(plan.keys), problem.d4) + turned;
    let workgroups = plan.blocks() as u64 * problem.heads as u64 * plan.sections as u64;
    Offer { form, refused, dear: false, work, workgroups }
}

/// The buffers that a dispatch of a band reads and writes.
struct Step<'a> {
    defines: &'static [&'static str],
    inputs: Vec<Window>,
    output: &'a Tensor,
    /// Workgroups along the third axis of the grid.
    groups: u32,
    /// Keys, the first of them, and vec4s per head.
    keys: u32,
    base: u32,
    first: u32,
    d4: u32,
}

/// A range of blocks of queries.
struct Band<'a> {
    plan: &'a Plan<'a>,
    first: u32,
    blocks: u32,
    scale: f32,
}

impl Band<'_> {
    fn push(&self, r: &mut Recorder, step: Step) {
        let Plan { form, problem, lanes, .. } = *self.plan;
        let real = (problem.queries - self.first * lanes).min(self.blocks * lanes);
        let flops = self.plan.products(real.into(), step.keys.into(), step.d4);
        let filled = if step.keys > 0 { self.plan.keys } else { 0 };
        let all = self.plan.products(self.blocks as u64 * lanes as u64, filled.into(), step.d4);
        let params = Params {
            queries: problem.queries,
            own: step.keys,
            bank: 0,
            d4: problem.d4,
            stride: problem.heads * problem.d4,
            query0: self.first * lanes,
            base: step.base,
            last: 0,
            scale: self.scale,
            first: step.first,
            blocks: self.blocks,
        };
        let outputs = vec![r.whole(step.output)];
        r.push(Dispatch {
            kernel: &KERNEL,
            form,
            defines: step.defines.to_vec(),
            inputs: step.inputs,
            outputs,
            params: bytemuck::bytes_of(&params).to_vec(),
            workgroups: [self.blocks, problem.heads, step.groups],
            flops,
            padding: all - flops,
            saved: 0,
            turns: 0,
        });
    }
}

/// Tensors of a band, allocated once and shared, so that all dispatches bind the same buffers.
struct Held {
    queries: Tensor,
    sums: [Tensor; 2],
    /// For heads with several sections.
    scores: Option<[Tensor; 2]>,
}

impl Held {
    fn new(r: &mut Recorder, plan: &Plan, blocks: u32, name: &str) -> Held {
        let mut value = |what: &str, rows: u32| {
            let (height, channels) = (blocks * plan.problem.heads, Channels::one(plan.lanes));
            r.value_of(&format!("{name}.{what}"), height, rows, channels, Element::F32)
        };
        let rows = plan.sections * (4 * plan.d4 + 2);
        Held {
            queries: value("queries", rows),
            sums: [0, 1].map(|_| value("sums", rows)),
            scores: (plan.sections > 1).then(|| [0, 1].map(|_| value("scores", plan.keys))),
        }
    }
}

pub(super) fn record(
    r: &mut Recorder,
    form: &'static Form,
    problem: &Problem,
    q: &Tensor,
    sources: &[&KeyValue],
    out: &Tensor,
) {
    let plan = Plan::new(form, problem);
    // `refuses` has excluded the case of no band.
    let blocks = plan.band(&r.limits).unwrap_or(1);
    let mut held = Held::new(r, &plan, blocks, &out.name);
    for first in (0..plan.blocks()).step_by(blocks as usize) {
        if r.has_failed() {
            return;
        }
        let blocks = blocks.min(plan.blocks() - first);
        let band = Band { plan: &plan, first, blocks, scale: scale(q.channels.segments()[0]) };
        record_band(r, &band, &mut held, q, sources, out);
    }
}

fn record_band(r: &mut Recorder, band: &Band, held: &mut Held, q: &Tensor, sources: &[&KeyValue], out: &Tensor) {
    let &Plan { problem, keys, sections, .. } = band.plan;
    let Held { queries, sums, scores } = held;
    let ends = |defines, input, output| {
        let inputs = vec![input];
        Step { defines, inputs, output, groups: sections, keys: 0, base: 0, first: 0, d4: 0 }
    };
    let whole = r.whole(q);
    band.push(r, ends(&["QUERIES"], whole, queries));
    // The first dispatch gets queries in place of sums, and ignores them.
    let mut before = &*queries;
    let row = problem.heads as u64 * problem.d4 as u64;
    let most = band.plan.keys_of_binding(&r.limits);
    let parts = sources.iter().flat_map(|s| (0..s.keys()).step_by(most as usize).map(move |from| (s, from)));
    for (source, start) in parts {
        let end = start.saturating_add(most).min(source.keys());
        let window = |t: &Tensor| r.window(t, start as u64 * row, end as u64 * row);
        let ((k, base), (v, _)) = (window(&source.k), window(&source.v));
        for from in (start..end).step_by(keys as usize) {
            let base = base + (from - start) * row as u32;
            let after = if before.id == sums[0].id { &sums[1] } else { &sums[0] };
            let first = u32::from(before.id == queries.id);
            let (keys, d4) = (keys.min(end - from), problem.d4);
            let (defines, inputs, d4): (&[&str], _, _) = match scores {
                None => (&[], vec![r.whole(queries), k.clone(), v.clone(), r.whole(before)], 2 * d4),
                Some(scores) => {
                    record_scores(r, band, queries, (&k, base, keys), scores);
                    (&["WIDE"], vec![r.whole(&scores[0]), v.clone(), r.whole(before)], d4)
                }
            };
            band.push(r, Step { defines, inputs, output: after, groups: sections, keys, base, first, d4 });
            before = after;
        }
    }
    let whole = r.whole(before);
    band.push(r, ends(&["OUT"], whole, out));
}

/// Scores over all sections, a few sections at a time: each dispatch adds to those of the previous one. The result is in the first of
/// `scores`.
fn record_scores(
    r: &mut Recorder,
    band: &Band,
    queries: &Tensor,
    (k, base, keys): (&Window, u32, u32),
    scores: &mut [Tensor; 2],
) {
    let plan = band.plan;
    for first in (0..plan.sections).step_by(plan.step() as usize) {
        scores.reverse();
        let [output, before] = &*scores;
        // Where there are no scores yet, bind the queries instead.
        let before = if first == 0 { queries } else { before };
        let inputs = vec![r.whole(queries), k.clone(), r.whole(before)];
        let (groups, d4) = (plan.form.constant("KEY_BLOCKS"), plan.d4 * plan.step());
        band.push(r, Step { defines: &["SCORES"], inputs, output, groups, keys, base, first, d4 });
    }
}

#[cfg(test)]
mod tests {
    use super::super::{forms::offers, record as record_any};
    use super::*;
    use crate::plan::{ByRule, Choose, Forms, Key, Policy, Recording};
    use crate::shader::{Device, Facts};

    const FACTS: Facts = Facts { device: Device::Cpu, cores: 2, least_lanes: 16, range_checks: false, ..Facts::LEAST };

    fn chosen(storage: Policy, queries: u32, keys: [u32; 2], heads: u32, d: u32, facts: Facts) -> &'static str {
        let r = Recorder::new(storage, Forms::first(facts), Limits::WEBGPU);
        let offers = offers(&Problem { queries, keys, heads, d4: d / 4 }, &r);
        let key = Key { storage, text: String::new(), layer: std::sync::Arc::new(()) };
        offers[ByRule.choose(&KERNEL, &key, &offers, &facts).expect("one fits")].form.name
    }

    #[test]
    fn the_rule_takes_it_where_it_pays() {
        for (queries, keys, heads, d) in [
            (4096, [4096, 0], 5, 64),
            (4096, [4096, 4096], 5, 64),
            (1024, [1024, 48 * 1024], 10, 64),
            (256, [256, 256], 20, 64),
            (64, [64, 64], 20, 64),
            (4096, [77, 0], 5, 64),
            (4096, [4096, 0], 1, 512),
        ] {
            assert_eq!(chosen(Policy::F32, queries, keys, heads, d, FACTS), "straight-16", "{queries} x {keys:?}");
            let narrow = Facts { least_lanes: 8, ..FACTS };
            assert_eq!(chosen(Policy::F32, queries, keys, heads, d, narrow), "straight-8", "{queries} x {keys:?}");
            let checked = Facts { range_checks: true, ..FACTS };
            assert!(!chosen(Policy::F32, queries, keys, heads, d, checked).starts_with("straight"));
            assert!(!chosen(Policy::PACKED, queries, keys, heads, d, FACTS).starts_with("straight"));
        }
        // Most of its keys would be padding of a tile; heads that have no sections of 64 channels.
        assert_eq!(chosen(Policy::F32, 4096, [2, 0], 5, 64, FACTS), "broadcast-64");
        assert_eq!(chosen(Policy::F32, 4096, [4096, 0], 8, 80, FACTS), "broadcast-160");
        assert_eq!(chosen(Policy::F32, 4096, [4096, 0], 8, 192, FACTS), "broadcast-256");
    }

    fn recording(limits: Limits, queries: u32, d: u32) -> Recording {
        let mut r = Recorder::new(Policy::F32, Forms::by_rule(FACTS), limits);
        let mut input = |name: &str, rows: u32| r.input(name, 1, rows, Channels::heads(5, d));
        let (q, k, v) = (input("q", queries), input("k", 100), input("v", 100));
        record_any(&mut r, "out", &q, &KeyValue { k, v }, &[]);
        r.finish().expect("it records")
    }

    /// The parts add up to the same work, in whole blocks.
    #[test]
    fn bands_are_small_and_hold_all_queries() {
        for d in [64, 256] {
            let whole = recording(Limits { max_work: u64::MAX, ..Limits::WEBGPU }, 4001, d);
            let slow = recording(Limits { max_work: 1_000_000, ..Limits::WEBGPU }, 4001, d);
            assert!(slow.dispatches.len() > 5 * whole.dispatches.len());
            for Recording { dispatches, values, .. } in [whole, slow] {
                assert!(values.iter().filter(|v| &*v.name == "out.sums").all(|v| v.bytes() <= BAND_BYTES));
                assert_eq!(dispatches.iter().map(|d| d.flops).sum::<u64>(), 4 * 4001 * 100 * 5 * d as u64);
                let all = dispatches.iter().map(|d| d.flops + d.padding).sum::<u64>();
                assert_eq!(all, 4 * 4016 * 128 * 5 * d as u64);
            }
        }
    }
}
