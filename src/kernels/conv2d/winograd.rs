//! Windows of 3 x 3, one apart, by Winograd's algorithm (see [`crate::plan::winograd`]): inputs become 36 matrices, which are
//! multiplied with those of the weights, and the products become outputs, band by band of the image.

use super::forms::Candidate;
use super::{Epilogue, Geometry, KERNEL, Operands, Params, Problem};
use crate::kernels::winograd_input::{self, Band};
use crate::kernels::winograd_output::{self, Residual};
use crate::plan::winograd::{MATRICES, TILE};
use crate::plan::{Dispatch, Element, Packing, Recorder, Tensor};

/// Most bytes of a band's matrices, of inputs and of products each.
const MOST_BYTES: u64 = 32 << 20;

/// What making and reading an element of these matrices costs, in multiplications and additions of the products: on a CPU driver the
/// transforms of 320 channels take a third of the products' time. No GPU was measured.
const COST: u64 = 110;

/// Multiplications and additions that a byte of weights must save, beyond those that direct sums have, to be worth its memory:
/// who stores halves has little of it.
fn least_saved(element: Element) -> u64 {
    if element.is_half() { 300 } else { 100 }
}

/// Bytes that are worth it in any case.
const LITTLE: u64 = 1 << 20;

/// Rows of one matrix for so many rows of tiles: whole blocks.
fn matrix_rows(chosen: &Candidate, problem: &Problem, tile_rows: u32) -> u64 {
    let (block, _) = (chosen.block)(chosen.form, problem);
    (tile_rows as u64 * problem.output.1.div_ceil(TILE) as u64).next_multiple_of(block.into())
}

/// The products of matrices of so many rows, below each other.
fn products(problem: &Problem, rows: u64) -> Problem {
    let rows = (MATRICES as u64 * rows).min(u32::MAX.into());
    Problem::linear(rows as u32, problem.in_c4, problem.out_n4)
}

/// The products of all bands, and what their transforms cost beside them.
pub(super) fn work(chosen: &Candidate, problem: &Problem, r: &Recorder) -> (Problem, u64) {
    let all = problem.output.0.div_ceil(TILE);
    let band = band_rows(chosen, problem, r).map_or(all, |rows| rows / TILE);
    let rows = matrix_rows(chosen, problem, band) * u64::from(all / band) + matrix_rows(chosen, problem, all % band);
    let products = products(problem, rows);
    let beside = products.positions() * 4 * (problem.in_c4 as u64 + problem.out_n4 as u64) * COST;
    (products, beside)
}

/// Bytes of the weights, as direct sums and as this has them.
fn weight_bytes(problem: &Problem, element: Element) -> [u64; 2] {
    let each = 4 * problem.in_c4 as u64 * problem.out_n4 as u64 * element.vec4_bytes();
    [9, u64::from(MATRICES)].map(|matrices| matrices * each)
}

/// Why it is not for `problem`, if so.
pub(super) fn refuses(chosen: &Candidate, problem: &Problem, r: &Recorder) -> Option<String> {
    let window = Geometry { upsample: false, ..problem.geometry };
    if window != Geometry::SAME || problem.geglu || problem.tanh {
        return Some("it is for windows of 3 x 3, one apart, without GEGLU or tanh".into());
    }
    let [_, weights] = weight_bytes(problem, r.storage.weights);
    if weights > r.limits.max_binding.min(r.limits.max_buffer) {
        return Some(format!("its weights take {weights} bytes, more than a binding or a buffer holds here"));
    }
    band_rows(chosen, problem, r).is_none().then(|| "a row of its tiles takes more than a binding holds".into())
}

/// Whether what it saves is not worth the memory of its weights.
pub(super) fn is_dear(chosen: &Candidate, problem: &Problem, r: &Recorder) -> bool {
    let [direct, own] = weight_bytes(problem, r.storage.weights);
    let sums = problem.flops(problem.positions(), problem.in_c4.into(), problem.out_n4.into());
    let (products, _) = work(chosen, problem, r);
    let saved = sums.saturating_sub(chosen.work(&products, products.positions()));
    own - direct > LITTLE && saved < least_saved(r.storage.weights) * (own - direct)
}

/// Output rows of a band. There are as few bands as bindings, memory and short submissions allow. Short submissions alone make none
/// that is smaller than a block.
fn band_rows(chosen: &Candidate, problem: &Problem, r: &Recorder) -> Option<u32> {
    let room = r.limits.max_binding.saturating_sub(r.limits.offset_alignment);
    let (height, value) = (problem.output.0, r.storage.values.vec4_bytes());
    let tile_rows = height.div_ceil(TILE);
    let fits = |rows: u32| {
        let each = matrix_rows(chosen, problem, rows);
        let elements = MATRICES as u64 * each;
        let wider = problem.in_c4.max(problem.out_n4) as u64;
        let matrix = elements * wider * Element::F32.vec4_bytes();
        let source = (rows * TILE + 2).min(problem.input.0) as u64 * problem.input.1 as u64 * problem.in_c4 as u64;
        let target = (rows * TILE).min(height) as u64 * problem.output.1 as u64 * problem.out_n4 as u64;
        let groups = chosen.workgroups(problem, elements);
        let whole = matrix.max(source * value).max(target * value) <= room && elements <= u32::MAX.into();
        // The transforms have a workgroup for 64 elements or pairs of one matrix.
        let groups = groups.max(each * wider.div_ceil(16));
        whole
            && matrix <= r.limits.max_buffer
            && groups <= (r.limits.max_workgroups as u64).pow(2)
            && (rows == 1 || matrix <= MOST_BYTES)
    };
    let all = products(problem, matrix_rows(chosen, problem, tile_rows));
    let pieces = r.limits.pieces(chosen.work(&all, all.positions()), chosen.workgroups(&all, all.positions()));
    // A smaller band is filled up to a block, and takes no less time.
    let (block, _) = (chosen.block)(chosen.form, problem);
    let least = block.div_ceil(problem.output.1.div_ceil(TILE)).min(tile_rows);
    let mut count = pieces.clamp(1, (tile_rows / least).into()) as u32;
    while count < tile_rows && !fits(tile_rows.div_ceil(count)) {
        count += 1;
    }
    let rows = tile_rows.div_ceil(count);
    fits(rows).then_some(rows * TILE)
}

pub(super) fn record(r: &mut Recorder, chosen: &Candidate, problem: &Problem, operands: &Operands, out: &Tensor) {
    let &Operands { source: input, weights: w, geometry, epilogue } = operands;
    let height = problem.input.0;
    let residual = match epilogue {
        Epilogue::Residual(t) => Some(t),
        _ => None,
    };
    let weight = Packing::Winograd.tensor(&w.weight, r.storage.weights);
    // Refused before where there is none.
    let rows = band_rows(chosen, problem, r).unwrap_or(TILE);
    for y0 in (0..out.height).step_by(rows as usize) {
        let y1 = (y0 + rows).min(out.height);
        let matrix = matrix_rows(chosen, problem, (y1 - y0).div_ceil(TILE)) as u32;
        let source = geometry.source_rows(y0, y1, height);
        let (x, stored) = input.rows(r, source);
        let (width, upsample) = (out.width, geometry.upsample);
        let band = Band { y0, y1, source, height, stored, width, upsample, rows: matrix };
        let tiles = winograd_input::record(r, &x, band);
        let sums = multiply(r, chosen, problem, &tiles, &weight, band, out);
        // A copy is worth the memory of a large tensor.
        let residual = residual.map(|t| match t.bytes() > MOST_BYTES {
            true => Residual::aside(r, t, (y0, y1)),
            false => Residual::of(t, y0),
        });
        winograd_output::record(r, &sums, &w.bias, residual, band, out);
    }
}

/// `tiles` `[36, rows, Cin]` times `weight` `[36, Cin, Cout]` -> `[36, rows, Cout]`.
fn multiply(
    r: &mut Recorder,
    chosen: &Candidate,
    problem: &Problem,
    tiles: &Tensor,
    weight: &Tensor,
    band: Band,
    out: &Tensor,
) -> Tensor {
    let &Problem { in_c4, out_n4, .. } = problem;
    let name = format!("{}.products", out.name);
    let sums = r.value_of(&name, MATRICES, band.rows, out.channels.clone(), Element::F32);
    let all = Problem::linear(MATRICES * band.rows, in_c4, out_n4);
    let (block_rows, block_columns) = (chosen.block)(chosen.form, &all);
    let row_groups = all.output.1 / block_rows;
    let groups = row_groups as u64 * out_n4.div_ceil(block_columns) as u64;
    let workgroups = r.fold_workgroups(groups);
    let params = Params {
        in_h: MATRICES,
        in_w: band.rows,
        in_c4,
        out_rows: MATRICES,
        out_w: band.rows,
        out_n4,
        kernel: 1,
        stride: 1,
        pad: 0,
        upsample: 0,
        out_y0: 0,
        in_y0: 0,
        in_base: 0,
        out_base: 0,
        residual_base: 0,
        row_groups,
        groups: groups as u32,
        groups_x: workgroups[0],
        block_rows: 8,
    };
    let needed = |of: &Problem, positions: u64| of.flops(positions, in_c4.into(), out_n4.into());
    let flops = needed(&all, MATRICES as u64 * band.tiles() as u64);
    let direct = needed(problem, (band.y1 - band.y0) as u64 * band.width as u64);
    let transforms = winograd_input::flops(band, in_c4) + winograd_output::flops(band, out_n4);
    let (inputs, outputs) = (vec![r.whole(tiles), r.whole(weight)], vec![r.whole(&sums)]);
    r.push(Dispatch {
        kernel: &KERNEL,
        form: chosen.form,
        defines: vec!["MATRICES"],
        inputs,
        outputs,
        params: bytemuck::bytes_of(&params).to_vec(),
        workgroups,
        flops,
        padding: chosen.work(&all, all.positions()) - flops,
        saved: direct.saturating_sub(flops + transforms),
        turns: chosen.turns_of(&all),
    });
    sums
}
