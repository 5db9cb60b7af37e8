//! Winograd's products by texts without a loop: a dispatch for each step over the channels, which adds to what the one before it has
//! left.

use super::forms::Candidate;
use super::winograd::{self, Products};
use super::{KERNEL, Operands, Params, Problem};
use crate::plan::winograd::MATRICES;
use crate::plan::{Dispatch, Element, Limits, Recorder, Tensor};

/// No index of a tensor is as large: what the shader tells its compiler of them.
const MOST_ELEMENTS: u64 = 1 << 26;

/// Bytes of sums of one dispatch, which the next step comes back to: what stays in the caches of a CPU meanwhile.
const CACHED: u64 = 1 << 20;

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

pub(super) fn record(r: &mut Recorder, chosen: &Candidate, problem: &Problem, operands: &Operands, out: &Tensor) {
    winograd::record_by(multiply, r, chosen, problem, operands, out);
}

fn multiply(r: &mut Recorder, chosen: &Candidate, products: &Products, tiles: &Tensor, weight: &Tensor, sums: &Tensor) {
    let &Products { ref problem, rows, flops, saved } = products;
    let (block_rows, block_columns) = (chosen.block)(chosen.form, problem);
    let (row_blocks, column_blocks) = (rows / block_rows, problem.out_n4 / block_columns);
    let bytes = rows as u64 * problem.out_n4 as u64 * Element::F32.vec4_bytes();
    let together = (CACHED / bytes).clamp(1, MATRICES.into()) as u32;
    let all = chosen.work(problem, problem.positions());
    let mut done = 0;
    for matrix in (0..MATRICES).step_by(together as usize) {
        let matrices = together.min(MATRICES - matrix);
        for first in (0..problem.in_c4).step_by(chosen.step as usize) {
            let params = Params {
                in_h: MATRICES,
                in_w: rows,
                in_c4: problem.in_c4,
                out_rows: matrices,
                out_w: rows,
                out_n4: problem.out_n4,
                kernel: 1,
                stride: 1,
                pad: 0,
                upsample: 0,
                out_y0: matrix,
                in_y0: matrix,
                in_base: 0,
                out_base: 0,
                residual_base: 0,
                row_groups: row_blocks,
                groups: row_blocks * column_blocks * matrices,
                groups_x: row_blocks,
                block_rows: 8,
                first: 4 * first,
            };
            let work = problem.flops(matrices as u64 * rows as u64, chosen.step.into(), problem.out_n4.into());
            // Its share of what is needed and of what is saved, by its share of the work: products of two counts pass 64 bits.
            let part = |of: u64, work: u64| (u128::from(of) * u128::from(work) / u128::from(all)) as u64;
            let share = |of: u64| part(of, done + work) - part(of, done);
            let (inputs, outputs) = (vec![r.whole(tiles), r.whole(weight)], vec![r.whole(sums)]);
            r.push(Dispatch {
                kernel: &KERNEL,
                form: chosen.form,
                defines: vec!["MATRICES"],
                inputs,
                outputs,
                params: bytemuck::bytes_of(&params).to_vec(),
                workgroups: [row_blocks, column_blocks, matrices],
                flops: share(flops),
                padding: work - share(flops),
                saved: share(saved),
                turns: 0,
            });
            done += work;
        }
    }
}
