//! 3 x 3 windows of stride 1 by Winograd's algorithm (see [`crate::plan::winograd`]). Inputs become 36 matrices, which are multiplied with
//! those of the weights; the products become outputs. This goes band by band over the image.

use super::forms::Candidate;
use super::{Epilogue, Geometry, KERNEL, Operands, Params, Problem};
use crate::kernels::winograd_input::{self, Band};
use crate::kernels::winograd_output::{self, Residual};
use crate::plan::winograd::{MATRICES, TILE};
use crate::plan::{Channels, Dispatch, Element, Packing, Read, Recorder, Tensor};
use crate::shader::Device;
use bytemuck::Zeroable;

/// Most bytes of a band's matrices, of inputs and of products each. A CPU's last-level cache holds a few MiB per core: with 128 x 128
/// channels, bands of 8 MiB gave 137 GFLOP/s, and bands of 32 gave 118 (lavapipe 26.2.6).
fn most_bytes(device: Device) -> u64 {
    if device == Device::Cpu { 8 << 20 } else { LARGE }
}

/// From this size on, a tensor is copied band by band, so that the output may take its place.
const LARGE: u64 = 32 << 20;

/// Cost of making and reading an element of these matrices, in multiply-adds of the products by a form of pace 1. On a CPU driver the
/// transforms of 320 channels take a third of the time of such products. No GPU was measured.
const COST: f64 = 110.0;

/// The same where the transforms have straight forms: 0.4 ns, where a form of pace 1 does 50 GFLOP/s.
const STRAIGHT_COST: f64 = 20.0;

/// Multiply-adds that a byte of weights, beyond those of direct sums, must save to be worth its memory. f16 storage is chosen where memory
/// is short, and 8-bit storage where it is shorter still: there only the VAE's large pictures pay.
fn min_saved_per_byte(element: Element) -> u64 {
    match element {
        Element::F32 => 100,
        Element::Packed | Element::F16 => 300,
        Element::Q8 => 10_000,
    }
}

/// An amount that is always worth it.
const ALWAYS_WORTH_BYTES: u64 = 1 << 20;

/// Rows of one matrix for `tile_rows` rows of tiles, in whole blocks.
fn matrix_rows(chosen: &Candidate, problem: &Problem, tile_rows: u32) -> u64 {
    let (block, _) = (chosen.block)(chosen.form, problem);
    (tile_rows as u64 * problem.output.1.div_ceil(TILE) as u64).next_multiple_of(block.into())
}

/// Vec4s of channels of the matrices of inputs and of products. Weights are padded to whole panels, and the matrices with them.
pub(super) fn columns(chosen: &Candidate, problem: &Problem) -> (u32, u32) {
    let (_, block) = (chosen.block)(chosen.form, problem);
    match chosen.packing {
        Packing::Panels { read: Read::Numbers, .. } => {
            (problem.in_c4.next_multiple_of(chosen.step), problem.out_n4.next_multiple_of(block))
        }
        _ => (problem.in_c4, problem.out_n4),
    }
}

/// The products of matrices of `rows` rows, stacked.
fn products(chosen: &Candidate, problem: &Problem, rows: u64) -> Problem {
    let rows = (MATRICES as u64 * rows).min(u32::MAX.into());
    let (in_c4, out_n4) = columns(chosen, problem);
    Problem::linear(rows as u32, in_c4, out_n4)
}

/// The products of all bands, and the cost of their transforms.
pub(super) fn work(chosen: &Candidate, problem: &Problem, r: &Recorder) -> (Problem, u64) {
    let all = problem.output.0.div_ceil(TILE);
    let band = band_rows(chosen, problem, r).map_or(all, |rows| rows / TILE);
    let rows = matrix_rows(chosen, problem, band) * u64::from(all / band) + matrix_rows(chosen, problem, all % band);
    let products = products(chosen, problem, rows);
    let elements = products.positions() * 4 * (products.in_c4 as u64 + products.out_n4 as u64);
    let pace = chosen.form.pace.on(r.forms.facts.device);
    let cost = if chosen.is_straight() { STRAIGHT_COST } else { COST };
    (products, (elements as f64 * cost * pace) as u64)
}

/// Bytes of the weights by direct sums, and by this form.
fn weight_bytes(chosen: &Candidate, problem: &Problem, element: Element) -> [u64; 2] {
    let each = |of: Element, (in_c4, out_n4): (u32, u32)| 4 * in_c4 as u64 * out_n4 as u64 * of.vec4_bytes();
    let (in_c4, out_n4) = columns(chosen, problem);
    let packing = chosen.packed(problem, element);
    let filled = match packing {
        Packing::Panels { columns, .. } => out_n4.next_multiple_of(columns / 4),
        _ => out_n4,
    };
    let own = each(packing.element(element), (in_c4, filled));
    [9 * each(element, (problem.in_c4, problem.out_n4)), MATRICES as u64 * own]
}

/// The reason why it does not fit `problem`, if there is one.
pub(super) fn refuses(chosen: &Candidate, problem: &Problem, r: &Recorder) -> Option<String> {
    let window = Geometry { upsample: false, ..problem.geometry };
    if window != Geometry::SAME || problem.geglu || problem.tanh {
        return Some("it only takes 3 x 3 windows of stride 1, without GEGLU or tanh".into());
    }
    let [_, weights] = weight_bytes(chosen, problem, r.storage.weights);
    if weights > r.limits.max_binding.min(r.limits.max_buffer) {
        return Some(format!("its weights take {weights} bytes, which exceeds a binding or a buffer"));
    }
    band_rows(chosen, problem, r)
        .is_none()
        .then(|| "a row of its tiles exceeds a binding or a grid of workgroups".into())
}

/// Whether it saves too little for the memory of its weights.
pub(super) fn is_dear(chosen: &Candidate, problem: &Problem, r: &Recorder) -> bool {
    let weights = r.storage.weights;
    let [direct, own] = weight_bytes(chosen, problem, weights);
    let sums = problem.flops(problem.positions(), problem.in_c4.into(), problem.out_n4.into());
    let (products, _) = work(chosen, problem, r);
    let saved = sums.saturating_sub(chosen.work(&products, products.positions()));
    // f16 can stand in for 8 bits.
    let large = weights == Element::Q8 && chosen.packing.element(weights) == Element::F32;
    large || own - direct > ALWAYS_WORTH_BYTES && saved < min_saved_per_byte(weights) * (own - direct)
}

/// Output rows per band. There are as few bands as bindings, memory and short submissions allow; but short submissions alone never make a
/// band smaller than a block.
fn band_rows(chosen: &Candidate, problem: &Problem, r: &Recorder) -> Option<u32> {
    let room = r.limits.max_binding.saturating_sub(r.limits.offset_alignment);
    let (height, value) = (problem.output.0, r.storage.values.vec4_bytes());
    let tile_rows = height.div_ceil(TILE);
    let fits = |rows: u32| {
        let each = matrix_rows(chosen, problem, rows);
        let elements = MATRICES as u64 * each;
        let (in_c4, out_n4) = columns(chosen, problem);
        let wider = in_c4.max(out_n4) as u64;
        let matrix = elements * wider * Element::F32.vec4_bytes();
        let source = (rows * TILE + 2).min(problem.input.0) as u64 * problem.input.1 as u64 * problem.in_c4 as u64;
        let target = (rows * TILE).min(height) as u64 * problem.output.1 as u64 * problem.out_n4 as u64;
        let groups = chosen.workgroups(problem, elements);
        let whole = matrix.max(source * value).max(target * value) <= room && elements <= u32::MAX.into();
        // The transforms have a workgroup per 64 elements or pairs of one matrix.
        let groups = groups.max(each * wider.div_ceil(16));
        whole
            && matrix <= r.limits.max_buffer
            && groups <= (r.limits.max_workgroups as u64).pow(2)
            && (chosen.takes)(chosen, problem, each, &r.limits)
            && (rows == 1 || matrix <= most_bytes(r.forms.facts.device))
    };
    let all = products(chosen, problem, matrix_rows(chosen, problem, tile_rows));
    let pieces = r.limits.pieces(chosen.work(&all, all.positions()), chosen.workgroups(&all, all.positions()));
    // A smaller band is padded to a block, and takes no less time.
    let (block, _) = (chosen.block)(chosen.form, problem);
    let least = block.div_ceil(problem.output.1.div_ceil(TILE)).min(tile_rows);
    let mut count = pieces.clamp(1, (tile_rows / least).into()) as u32;
    while count < tile_rows && !fits(tile_rows.div_ceil(count)) {
        count += 1;
    }
    let rows = tile_rows.div_ceil(count);
    fits(rows).then_some(rows * TILE)
}

/// Products of the matrices of a band.
pub(super) struct Products {
    /// Of all matrices, stacked.
    pub problem: Problem,
    /// Rows of one matrix.
    pub rows: u32,
    /// Multiply-adds that the product needs, and those that direct sums would need beyond them.
    pub flops: u64,
    pub saved: u64,
}

/// `tiles` `[36, rows, Cin]` times `weight` -> `[36, rows, Cout]`.
pub(super) type Multiply = fn(&mut Recorder, &Candidate, &Products, &Tensor, &Tensor, &Tensor);

pub(super) fn record(r: &mut Recorder, chosen: &Candidate, problem: &Problem, operands: &Operands, out: &Tensor) {
    record_by(multiply, r, chosen, problem, operands, out);
}

pub(super) fn record_by(
    multiply: Multiply,
    r: &mut Recorder,
    chosen: &Candidate,
    problem: &Problem,
    operands: &Operands,
    out: &Tensor,
) {
    let &Operands { source: input, weights: w, geometry, epilogue } = operands;
    let height = problem.input.0;
    let residual = match epilogue {
        Epilogue::Residual(t) => Some(t),
        _ => None,
    };
    let weight = chosen.packed(problem, r.storage.weights).tensor(&w.weight, r.storage.weights);
    // Channels keep the layer's order, unless there is padding.
    let filled = |channels: &Channels, vec4s: u32| match channels.vec4s() == vec4s {
        true => channels.clone(),
        false => Channels::one(4 * vec4s),
    };
    // `refuses` has excluded the case of no band.
    let rows = band_rows(chosen, problem, r).unwrap_or(TILE);
    for y0 in (0..out.height).step_by(rows as usize) {
        let y1 = (y0 + rows).min(out.height);
        let matrix = matrix_rows(chosen, problem, (y1 - y0).div_ceil(TILE));
        let source = geometry.source_rows(y0, y1, height);
        let (width, upsample) = (out.width, geometry.upsample);
        let band = Band { y0, y1, source, height, width, upsample, rows: matrix as u32 };
        let products = of_band(band, chosen, problem);
        let channels = filled(&input.channels(), products.problem.in_c4);
        let tiles = winograd_input::record(r, input.tiled(), band, channels);
        let channels = filled(&out.channels, products.problem.out_n4);
        let sums = r.value_of(&format!("{}.products", out.name), MATRICES, band.rows, channels, Element::F32);
        multiply(r, chosen, &products, &tiles, &weight, &sums);
        // Copying bands saves the memory of a large tensor.
        let residual = residual.map(|t| match t.bytes() > LARGE {
            true => Residual::aside(r, t, (y0, y1)),
            false => Residual::of(t, y0),
        });
        winograd_output::record(r, &sums, &w.bias, residual, band, out);
    }
}

fn of_band(band: Band, chosen: &Candidate, problem: &Problem) -> Products {
    let &Problem { in_c4, out_n4, .. } = problem;
    let all = products(chosen, problem, band.rows.into());
    let flops = all.flops(MATRICES as u64 * band.tiles() as u64, in_c4.into(), out_n4.into());
    let direct = problem.flops((band.y1 - band.y0) as u64 * band.width as u64, in_c4.into(), out_n4.into());
    let transforms = winograd_input::flops(band, in_c4) + winograd_output::flops(band, out_n4);
    Products { problem: all, rows: band.rows, flops, saved: direct.saturating_sub(flops + transforms) }
}

/// By a shader that computes direct sums, too.
fn multiply(r: &mut Recorder, chosen: &Candidate, products: &Products, tiles: &Tensor, weight: &Tensor, sums: &Tensor) {
    let &Products { problem: ref all, rows, flops, saved } = products;
    let (block_rows, block_columns) = (chosen.block)(chosen.form, all);
    let row_groups = all.output.1 / block_rows;
    let groups = row_groups as u64 * all.out_n4.div_ceil(block_columns) as u64;
    let workgroups = r.fold_workgroups(groups);
    let params = Params {
        in_h: MATRICES,
        in_w: rows,
        in_c4: all.in_c4,
        out_rows: MATRICES,
        out_w: rows,
        out_n4: all.out_n4,
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
        ..Params::zeroed()
    };
    let (inputs, outputs) = (vec![r.whole(tiles), r.whole(weight)], vec![r.whole(sums)]);
    r.push(Dispatch {
        kernel: &KERNEL,
        form: chosen.form,
        defines: vec!["MATRICES"],
        inputs,
        outputs,
        params: bytemuck::bytes_of(&params).to_vec(),
        workgroups,
        flops,
        padding: chosen.work(all, all.positions()) - flops,
        saved,
        turns: chosen.turns_of(all),
    });
}
