//! Direct sums, by one dispatch or several.

use super::forms::Candidate;
use super::{Epilogue, KERNEL, Operands, Params, Problem};
use crate::plan::{Dispatch, Recorder, Tensor};
use bytemuck::Zeroable;

/// Sums in the twin's order, in as many dispatches as the adapter's limits require.
pub(super) fn record(r: &mut Recorder, chosen: &Candidate, problem: &Problem, operands: &Operands, out: &Tensor) {
    let &Operands { source, weights: w, geometry, epilogue } = operands;
    let (x, _) = &source.rows(r, (0, problem.input.0));
    let &Problem { in_c4, out_n4, .. } = problem;
    let (block_rows, block_columns) = (chosen.block)(chosen.form, problem);
    let rows = band_rows(r, chosen, problem, x, out);
    for y0 in (0..out.height).step_by(rows as usize) {
        let y1 = (y0 + rows).min(out.height);
        let (sy0, sy1) = geometry.source_rows(y0, y1, x.height);
        let span = |t: &Tensor, a: u32, b: u32| {
            let row = t.width as u64 * t.channels.vec4s() as u64;
            (a as u64 * row, b as u64 * row)
        };
        let (from, to) = span(x, sy0, sy1);
        let (window, in_base) = r.window(x, from, to);
        let (from, to) = span(out, y0, y1);
        let (window_out, out_base) = r.window(out, from, to);
        let mut inputs = vec![
            window,
            r.whole(&chosen.packed(problem, r.storage.weights).tensor(&w.weight, r.storage.weights)),
            r.whole(&w.bias),
        ];
        let mut residual_base = 0;
        if let Epilogue::Residual(t) = epilogue {
            let (window, base) = r.window(t, from, to);
            inputs.push(window);
            residual_base = base;
        }
        let positions = (y1 - y0) as u64 * out.width as u64;
        let row_groups = positions.div_ceil(block_rows.into()) as u32;
        let groups = row_groups as u64 * out_n4.div_ceil(block_columns) as u64;
        let workgroups = r.fold_workgroups(groups);
        let params = Params {
            in_h: x.height,
            in_w: x.width,
            in_c4,
            out_rows: y1 - y0,
            out_w: out.width,
            out_n4,
            kernel: geometry.kernel,
            stride: geometry.stride,
            pad: geometry.pad.0,
            upsample: u32::from(geometry.upsample),
            out_y0: y0,
            in_y0: sy0,
            in_base,
            out_base,
            residual_base,
            row_groups,
            groups: groups as u32,
            groups_x: workgroups[0],
            block_rows: 8,
            ..Params::zeroed()
        };
        let flops = problem.flops(positions, in_c4.into(), out_n4.into());
        r.push(Dispatch {
            kernel: &KERNEL,
            form: chosen.form,
            defines: epilogue.define().into_iter().collect(),
            inputs,
            outputs: vec![window_out],
            params: bytemuck::bytes_of(&params).to_vec(),
            workgroups,
            flops,
            padding: chosen.work(problem, positions) - flops,
            saved: 0,
            turns: chosen.turns_of(problem),
        });
    }
}

/// Output rows per dispatch: at most what the adapter's bindings hold and a short submission allows, but enough to keep the device busy.
fn band_rows(r: &Recorder, chosen: &Candidate, problem: &Problem, x: &Tensor, out: &Tensor) -> u32 {
    let geometry = problem.geometry;
    let room = r.limits.max_binding.saturating_sub(r.limits.offset_alignment);
    let row_bytes = |t: &Tensor| t.width as u64 * t.channels.vec4s() as u64 * t.vec4_bytes();
    let fits = |rows: u32| {
        rows as u64 * row_bytes(out) <= room
            && (0..out.height).step_by(rows as usize).all(|y0| {
                let (first, end) = geometry.source_rows(y0, (y0 + rows).min(out.height), x.height);
                (end - first) as u64 * row_bytes(x) <= room
            })
    };
    let all = problem.positions();
    let pieces = r.limits.pieces(chosen.work(problem, all), chosen.workgroups(problem, all));
    let mut count = pieces.clamp(1, out.height.into()) as u32;
    // Bands of equal height, as few as fit.
    while count < out.height && !fits(out.height.div_ceil(count)) {
        count += 1;
    }
    out.height.div_ceil(count)
}
