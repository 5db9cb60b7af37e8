//! Products of matrices by texts without a loop: a dispatch for each step over the channels, which adds to what the one before it has
//! left. Winograd's matrices, or those of a linear layer.

use super::forms::Candidate;
use super::winograd::{self, Products};
use super::{Epilogue, Geometry, KERNEL, Operands, Params, Problem};
use crate::plan::winograd::MATRICES;
use crate::plan::{Channels, Dispatch, Element, Limits, Packing, Panels, Recorder, Tensor, Window};
use bytemuck::Zeroable;

/// No index of a binding is as large: what the shader tells its compiler of them.
const MOST_ELEMENTS: u64 = 1 << 26;

/// Bytes of sums that several steps come back to: what stays in the caches of a CPU meanwhile.
const CACHED: u64 = 1 << 20;

/// What there is to add, as the text has it.
const BIAS: u32 = 1;
const BEFORE: u32 = 2;
const RESIDUAL: u32 = 4;

/// Whether tensors and grids of matrices of so many rows can be: it asks for a workgroup for each block, and no other.
pub(super) fn takes(chosen: &Candidate, problem: &Problem, rows: u64, limits: &Limits) -> bool {
    let (in_c4, out_n4) = winograd::columns(chosen, problem);
    let (block_rows, block_columns) = (chosen.block)(chosen.form, problem);
    let most = limits.max_workgroups;
    let elements = [rows * in_c4 as u64, rows * out_n4 as u64, in_c4 as u64 * out_n4 as u64 * 4];
    elements.into_iter().all(|n| 4 * MATRICES as u64 * n < MOST_ELEMENTS)
        && rows / block_rows as u64 <= most.into()
        && out_n4 / block_columns <= most
        && MATRICES <= most
}

/// Why it is not for `problem` as a linear layer, if so: nothing asks whether it is inside.
pub(super) fn refuses(chosen: &Candidate, problem: &Problem, r: &Recorder) -> Option<String> {
    let (rows, columns) = (chosen.block)(chosen.form, problem);
    let whole = problem.positions().is_multiple_of(rows.into())
        && problem.in_c4.is_multiple_of(chosen.step)
        && problem.out_n4.is_multiple_of(columns);
    let weights = 64 * problem.in_c4 as u64 * problem.out_n4 as u64 * problem.halves() as u64;
    let room = r.limits.max_binding.min(r.limits.max_buffer).min(4 * MOST_ELEMENTS);
    if r.storage.values.is_half() {
        Some("it takes values in f32 alone".into())
    } else if problem.geometry != Geometry::LINEAR || problem.tanh {
        Some("it is for linear layers without tanh".into())
    } else if !whole {
        let (step, columns) = (4 * chosen.step, 4 * columns);
        Some(format!("it is for multiples of {rows} positions, {step} input and {columns} output channels"))
    } else if weights >= room || problem.out_n4 / columns > r.limits.max_workgroups {
        Some("its weights take more than a binding or a grid of workgroups holds".into())
    } else {
        None
    }
}

/// Weights in f32 take twice the memory of halves.
pub(super) fn is_dear(_: &Candidate, _: &Problem, r: &Recorder) -> bool {
    r.storage.weights.is_half()
}

/// A linear layer.
pub(super) fn record(r: &mut Recorder, chosen: &Candidate, problem: &Problem, operands: &Operands, out: &Tensor) {
    let &Operands { source, weights: w, epilogue, .. } = operands;
    let (x, _) = source.rows(r, (0, problem.input.0));
    let Packing::Panels { columns, step, .. } = chosen.packing else { return };
    let of = if problem.geglu { Panels::Gated } else { Panels::Taps };
    let weight = Packing::Panels { of, columns, step }.tensor(&w.weight, r.storage.weights);
    let residual = match epilogue {
        Epilogue::Residual(t) => Some(t),
        _ => None,
    };
    let job = Job {
        input: &x,
        weight: &weight,
        bias: Some(&w.bias),
        residual,
        out,
        matrices: 1,
        rows: out.positions(),
        in_c4: problem.in_c4,
        out_n4: problem.out_n4 * problem.halves(),
        geglu: problem.geglu,
        flops: problem.flops(problem.positions(), problem.in_c4.into(), problem.out_n4.into()),
        saved: 0,
    };
    job.record(r, chosen);
}

pub(super) fn record_winograd(
    r: &mut Recorder,
    chosen: &Candidate,
    problem: &Problem,
    operands: &Operands,
    out: &Tensor,
) {
    winograd::record_by(multiply, r, chosen, problem, operands, out);
}

fn multiply(r: &mut Recorder, chosen: &Candidate, products: &Products, tiles: &Tensor, weight: &Tensor, sums: &Tensor) {
    let &Products { ref problem, rows, flops, saved } = products;
    let job = Job {
        input: tiles,
        weight,
        bias: None,
        residual: None,
        out: sums,
        matrices: MATRICES,
        rows,
        in_c4: problem.in_c4,
        out_n4: problem.out_n4,
        geglu: false,
        flops,
        saved,
    };
    job.record(r, chosen);
}

/// `input` `[matrices, rows, in_c4]` times `weight` `[matrices, panels, in_c4, columns of a panel]` -> `out` `[matrices, rows, out_n4]`.
struct Job<'a> {
    input: &'a Tensor,
    weight: &'a Tensor,
    bias: Option<&'a Tensor>,
    residual: Option<&'a Tensor>,
    out: &'a Tensor,
    matrices: u32,
    /// Of each matrix: whole blocks.
    rows: u32,
    in_c4: u32,
    /// Of the sums: with gates.
    out_n4: u32,
    geglu: bool,
    /// Multiplications and additions that are needed, and those that direct sums had more.
    flops: u64,
    saved: u64,
}

/// Rows of a matrix, and of so many behind it.
#[derive(Clone, Copy)]
struct Part {
    matrix: u32,
    matrices: u32,
    row: u32,
    rows: u32,
}

impl Part {
    /// Vec4s from its first row to its last, of rows of so many.
    fn span(self, all: u32, width: u32) -> (u64, u64) {
        let first = self.matrix as u64 * all as u64 + self.row as u64;
        let rows = (self.matrices as u64 - 1) * all as u64 + self.rows as u64;
        (first * width as u64, (first + rows) * width as u64)
    }
}

impl Job<'_> {
    fn work(&self, rows: u64, channels: u64) -> u64 {
        2 * rows * 4 * channels * 4 * self.out_n4 as u64
    }

    fn steps(&self, chosen: &Candidate) -> u32 {
        self.in_c4.div_ceil(chosen.step)
    }

    /// Rows of a matrix, and matrices, that go through all steps before others do.
    fn together(&self, r: &Recorder, chosen: &Candidate, block_rows: u32) -> (u32, u32) {
        let bytes = self.out_n4 as u64 * Element::F32.vec4_bytes();
        let cached = if self.steps(chosen) > 1 { CACHED / bytes } else { u64::MAX };
        let indexed = (MOST_ELEMENTS - 1) / (4 * self.in_c4.max(self.out_n4) as u64) - 1;
        let bound = r.limits.max_binding.saturating_sub(r.limits.offset_alignment)
            / (self.in_c4.max(self.out_n4) as u64 * Element::F32.vec4_bytes());
        let short = r.limits.max_work / self.work(1, chosen.step.min(self.in_c4).into());
        let most = cached.min(short).min(indexed).min(bound).max(block_rows.into());
        if most >= self.rows.into() {
            let matrices = (most / self.rows as u64).clamp(1, self.matrices.into()) as u32;
            return (self.rows, matrices);
        }
        let grid = r.limits.max_workgroups as u64 * block_rows as u64;
        ((most.min(grid) / block_rows as u64) as u32 * block_rows, 1)
    }

    fn record(&self, r: &mut Recorder, chosen: &Candidate) {
        // Of all columns of the sums: a panel's.
        let columns = chosen.form.constant("LANES") / 2;
        let block_rows = chosen.form.constant("ROWS");
        let (rows, matrices) = self.together(r, chosen, block_rows);
        // The last step writes to `out`, the one before it to the last buffer here.
        let count = (self.steps(chosen) - 1).min(if self.geglu { 2 } else { 1 });
        let scratch: Vec<Tensor> = (0..count)
            .map(|i| {
                let (name, width) = (format!("{}.sums.{i}", self.out.name), Channels::one(4 * self.out_n4));
                r.value_of(&name, matrices, rows, width, Element::F32)
            })
            .collect();
        let mut done = 0;
        for matrix in (0..self.matrices).step_by(matrices as usize) {
            for row in (0..self.rows).step_by(rows as usize) {
                let rows = rows.min(self.rows - row);
                let part = Part { matrix, matrices: matrices.min(self.matrices - matrix), row, rows };
                let grid = [rows / block_rows, self.out_n4 / columns, part.matrices];
                self.record_part(r, chosen, part, &scratch, grid, &mut done);
                if r.has_failed() {
                    return;
                }
            }
        }
    }

    /// All steps of a part.
    fn record_part(
        &self,
        r: &mut Recorder,
        chosen: &Candidate,
        part: Part,
        scratch: &[Tensor],
        grid: [u32; 3],
        done: &mut u64,
    ) {
        let steps = self.steps(chosen);
        let all = self.work(self.matrices as u64 * self.rows as u64, steps as u64 * chosen.step as u64);
        let (from, to) = part.span(self.rows, self.in_c4);
        let (input, in_base) = r.window(self.input, from, to);
        let own = self.out_n4 / if self.geglu { 2 } else { 1 };
        let (from, to) = part.span(self.rows, own);
        let (out, out_base) = r.window(self.out, from, to);
        // In the place of what is not there: enough for one load.
        let (nothing, _) = r.window(self.weight, 0, chosen.form.constant("LANES") as u64 / 2);
        let (residual, residual_base) = match self.residual {
            Some(residual) => r.window(residual, from, to),
            None => (nothing.clone(), 0),
        };
        let bias = self.bias.map_or(nothing.clone(), |bias| r.whole(bias));
        let mut before: Option<(Window, u32)> = None;
        for step in 0..steps {
            let (first, left) = (step == 0, steps - 1 - step);
            // Every other step writes to `out`, where that has all columns.
            let (target, base) = match left {
                0 => (out.clone(), out_base),
                _ if !self.geglu && left % 2 == 0 => (out.clone(), out_base),
                _ => (r.whole(&scratch[(left as usize - 1) % scratch.len()]), 0),
            };
            let bit = |has: bool, bit: u32| if has { bit } else { 0 };
            let added = left == 0 && self.residual.is_some();
            let params = Params {
                in_w: self.rows,
                in_c4: self.in_c4,
                out_n4: self.out_n4,
                out_y0: part.matrix,
                in_base,
                out_base: base,
                residual_base,
                first: 4 * step * chosen.step,
                parts: bit(first && self.bias.is_some(), BIAS) | bit(!first, BEFORE) | bit(added, RESIDUAL),
                bias_step: chosen.form.constant("LANES") * if self.geglu { 1 } else { 2 },
                gate: if self.geglu { 2 * self.out_n4 } else { chosen.form.constant("LANES") },
                before_base: before.as_ref().map_or(0, |before| before.1),
                ..Params::zeroed()
            };
            let work = self.work(part.matrices as u64 * part.rows as u64, chosen.step.into());
            // Its share of what is needed and of what is saved, by its share of the work: products of two counts pass 64 bits.
            let part_of = |of: u64, work: u64| (u128::from(of) * u128::from(work) / u128::from(all)) as u64;
            let share = |of: u64| part_of(of, *done + work) - part_of(of, *done);
            let window = |has: bool, window: &Window| if has { window.clone() } else { nothing.clone() };
            let last = before.as_ref().map_or(nothing.clone(), |before| before.0.clone());
            let (bias, residual) = (window(first, &bias), window(added, &residual));
            r.push(Dispatch {
                kernel: &KERNEL,
                form: chosen.form,
                defines: if left == 0 && self.geglu { vec!["GEGLU"] } else { vec![] },
                inputs: vec![input.clone(), r.whole(self.weight), bias, last, residual],
                outputs: vec![target.clone()],
                params: bytemuck::bytes_of(&params).to_vec(),
                workgroups: grid,
                flops: share(self.flops),
                padding: work - share(self.flops),
                saved: share(self.saved),
                turns: 0,
            });
            *done += work;
            before = Some((target, base));
        }
    }
}
