//! Matrix products by straight-line shaders: one dispatch per step over the channels, which adds to the result of the previous one. The
//! matrices are those of Winograd's algorithm, of a linear layer, or of each tap of a convolution's windows.

use super::forms::Candidate;
use super::winograd::{self, Products};
use super::{Epilogue, Geometry, KERNEL, Operands, Params, Problem};
use crate::kernels::pad::{self, Frame};
use crate::plan::winograd::MATRICES;
use crate::plan::{Channels, Dispatch, Element, Limits, Recorder, Tensor, Window};
use bytemuck::Zeroable;

/// An upper bound on every index of a binding, which the shader passes on to its compiler.
const MOST_ELEMENTS: u64 = 1 << 26;

/// Bytes of sums that several steps revisit: they stay in a CPU's caches meanwhile.
const CACHED: u64 = 1 << 20;

/// The shader's flags for what to add.
const BIAS: u32 = 1;
const BEFORE: u32 = 2;
const RESIDUAL: u32 = 4;

/// Whether tensors and grids of matrices with that many rows fit the limits. The grid has exactly one workgroup per block.
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

/// The reason why direct sums do not fit `problem`, if there is one: the shader has no bounds tests.
pub(super) fn refuses(chosen: &Candidate, problem: &Problem, r: &Recorder) -> Option<String> {
    let (rows, columns) = (chosen.block)(chosen.form, problem);
    let line = if problem.geometry == Geometry::LINEAR { problem.positions() } else { problem.output.1.into() };
    let whole = line.is_multiple_of(rows.into())
        && problem.in_c4.is_multiple_of(chosen.step)
        && problem.out_n4.is_multiple_of(columns);
    let taps = problem.geometry.kernel as u64 * problem.geometry.kernel as u64;
    let vec4s = 4 * taps * problem.in_c4 as u64 * problem.out_n4 as u64 * problem.halves() as u64;
    let weights = vec4s * chosen.packing.element(r.storage.weights).vec4_bytes();
    let room = r.limits.max_binding.min(r.limits.max_buffer).min(4 * MOST_ELEMENTS);
    if !r.storage.suits(chosen.form) {
        Some("it only takes f32 values".into())
    } else if problem.tanh {
        Some("it does not take layers with tanh".into())
    } else if !whole {
        let (step, columns) = (4 * chosen.step, 4 * columns);
        Some(format!("it takes rows, input and output channels in multiples of {rows}, {step} and {columns} only"))
    } else if weights >= room || problem.out_n4 / columns > r.limits.max_workgroups {
        Some("its weights exceed a binding or a grid of workgroups".into())
    } else {
        band_rows(problem, r).is_none().then(|| "a row of its input exceeds a binding".into())
    }
}

/// Weights stored in f32 instead take twice the memory.
pub(super) fn is_dear(chosen: &Candidate, _: &Problem, r: &Recorder) -> bool {
    chosen.packing.element(r.storage.weights) != r.storage.weights
}

/// Cost of copying a value into a padded tensor, in multiply-adds of a form of pace 1: 5 GB/s against 50 GFLOP/s.
const COPY: f64 = 40.0;

/// The products, and the cost of copies.
pub(super) fn work(chosen: &Candidate, problem: &Problem, r: &Recorder) -> (Problem, u64) {
    if problem.geometry == Geometry::LINEAR {
        return (*problem, 0);
    }
    let (height, width) = padded(problem, problem.output.0);
    let values = height as u64 * width as u64 * 4 * problem.in_c4 as u64;
    (*problem, (values as f64 * COPY * chosen.form.pace.on(r.forms.facts.device)) as u64)
}

/// Rows and columns of the padded input that `rows` rows of the output need.
fn padded(problem: &Problem, rows: u32) -> (u32, u32) {
    let Geometry { kernel, stride, .. } = problem.geometry;
    ((rows - 1) * stride + kernel, (problem.output.1 - 1) * stride + kernel)
}

/// Most bytes of such an input.
const MOST_BYTES: u64 = 32 << 20;

/// Output rows per band. There are as few bands as bindings and memory allow.
fn band_rows(problem: &Problem, r: &Recorder) -> Option<u32> {
    if problem.geometry == Geometry::LINEAR {
        return Some(problem.output.0);
    }
    let room = r.limits.max_binding.min(r.limits.max_buffer).saturating_sub(r.limits.offset_alignment);
    let fits = |rows: u32| {
        let (height, width) = padded(problem, rows);
        let bytes = height as u64 * width as u64 * problem.in_c4 as u64 * Element::F32.vec4_bytes();
        bytes <= room && bytes < 4 * MOST_ELEMENTS && (rows == 1 || bytes <= MOST_BYTES)
    };
    let height = problem.output.0;
    (1..=height).map(|bands| height.div_ceil(bands)).find(|&rows| fits(rows))
}

/// A convolution by direct sums, or a linear layer.
pub(super) fn record(r: &mut Recorder, chosen: &Candidate, problem: &Problem, operands: &Operands, out: &Tensor) {
    let &Operands { weights: w, epilogue, geometry, .. } = operands;
    let weight = &chosen.packed(problem, r.storage.weights).tensor(&w.weight, r.storage.weights);
    let residual = match epilogue {
        Epilogue::Residual(t) => Some(t),
        _ => None,
    };
    let height = problem.input.0;
    // `refuses` has excluded the case of no band.
    let rows = band_rows(problem, r).unwrap_or(1);
    for y0 in (0..out.height).step_by(rows as usize) {
        let y1 = (y0 + rows).min(out.height);
        let (lines, source) = (geometry != Geometry::LINEAR, geometry.source_rows(y0, y1, height));
        let (mut x, stored) = operands.source.rows(r, source);
        if lines {
            let (tall, width) = padded(problem, y1 - y0);
            let first = y0 * geometry.stride;
            let Geometry { pad: (pad, _), upsample, .. } = geometry;
            x = pad::record(r, &x, Frame { rows: (first, first + tall), width, pad, source, height, stored, upsample });
        }
        let positions = (y1 - y0) * out.width;
        let job = Job {
            input: &x,
            weight,
            bias: Some(&w.bias),
            residual,
            out,
            out_row: y0 * out.width,
            matrices: 1,
            rows: positions,
            in_c4: problem.in_c4,
            out_n4: problem.out_n4 * problem.halves(),
            geglu: problem.geglu,
            lines: lines.then_some(Lines { geometry, width: out.width }),
            flops: problem.flops(positions.into(), problem.in_c4.into(), problem.out_n4.into()),
            saved: 0,
        };
        job.record(r, chosen);
    }
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
        out_row: 0,
        matrices: MATRICES,
        rows,
        in_c4: problem.in_c4,
        out_n4: problem.out_n4,
        geglu: false,
        lines: None,
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
    /// Row of `out` where the first matrix begins.
    out_row: u32,
    matrices: u32,
    /// Rows per matrix, in whole blocks.
    rows: u32,
    in_c4: u32,
    /// Vec4s of the sums, including gates.
    out_n4: u32,
    geglu: bool,
    /// For a padded picture.
    lines: Option<Lines>,
    /// Multiply-adds that the product needs, and those that direct sums would need beyond them.
    flops: u64,
    saved: u64,
}

/// Lines of output from left to right; each element is the sum of a window's taps.
#[derive(Clone, Copy)]
struct Lines {
    geometry: Geometry,
    /// Columns of the output.
    width: u32,
}

impl Lines {
    /// Columns of the input.
    fn columns(self) -> u32 {
        (self.width - 1) * self.geometry.stride + self.geometry.kernel
    }
}

/// Rows of a matrix, and of a number of matrices after it.
#[derive(Clone, Copy)]
struct RowRange {
    matrix: u32,
    matrices: u32,
    row: u32,
    rows: u32,
}

impl RowRange {
    /// First and last vec4 that the part covers, where rows have `width` vec4s, a matrix has `all` rows, and the first one begins at row
    /// `from`.
    fn span(self, from: u32, all: u32, width: u32) -> (u64, u64) {
        let first = from as u64 + self.matrix as u64 * all as u64 + self.row as u64;
        let rows = (self.matrices as u64 - 1) * all as u64 + self.rows as u64;
        (first * width as u64, (first + rows) * width as u64)
    }
}

/// A window of whole blocks, which must begin at an aligned address.
fn aligned(r: &mut Recorder, tensor: &Tensor, (from, to): (u64, u64)) -> Window {
    let (window, base) = r.window(tensor, from, to);
    r.check(base == 0, || format!("{}: a block of it does not begin at an aligned address", tensor.name));
    window
}

impl Job<'_> {
    /// Multiply-adds of a step over `channels` vec4s of channels.
    fn work(&self, rows: u64, channels: u32) -> u64 {
        2 * rows * 4 * channels as u64 * 4 * self.out_n4 as u64
    }

    /// Steps over the channels of a tap.
    fn channel_steps(&self, chosen: &Candidate) -> u32 {
        self.in_c4.div_ceil(chosen.step)
    }

    fn steps(&self, chosen: &Candidate) -> u32 {
        self.channel_steps(chosen) * self.lines.map_or(1, |lines| lines.geometry.kernel * lines.geometry.kernel)
    }

    /// Rows of a matrix, and matrices, that go through all steps before the next ones start.
    fn together(&self, r: &Recorder, chosen: &Candidate) -> (u32, u32) {
        let wider = self.in_c4.max(self.out_n4) as u64;
        let cached = if self.steps(chosen) > 1 { CACHED / (16 * self.out_n4 as u64) } else { u64::MAX };
        let indexed = (MOST_ELEMENTS - 1) / (4 * wider) - 1;
        let bound = r.limits.max_binding.saturating_sub(r.limits.offset_alignment) / (16 * wider);
        let short = r.limits.max_work / self.work(1, chosen.step);
        // Whole lines, or enough blocks for a multiple of 256 bytes whatever the columns.
        let unit = self.lines.map_or(4 * chosen.form.constant("ROWS"), |lines| lines.width) as u64;
        let grid = r.limits.max_workgroups as u64 * chosen.form.constant("ROWS") as u64;
        let most = cached.min(short).min(indexed).min(bound).min(grid).max(unit);
        match most / self.rows as u64 {
            0 => ((most / unit * unit) as u32, 1),
            matrices => (self.rows, matrices.min(self.matrices.into()) as u32),
        }
    }

    fn record(&self, r: &mut Recorder, chosen: &Candidate) {
        let (rows, matrices) = self.together(r, chosen);
        // The last step writes to `out`, the one before it to the first of these.
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
                let matrices = matrices.min(self.matrices - matrix);
                let part = RowRange { matrix, matrices, row, rows: rows.min(self.rows - row) };
                self.record_range(r, chosen, part, &scratch, &mut done);
                if r.has_failed() {
                    return;
                }
            }
        }
    }

    /// Records all steps of a part. `done`: multiply-adds of the previous parts.
    fn record_range(&self, r: &mut Recorder, chosen: &Candidate, part: RowRange, scratch: &[Tensor], done: &mut u64) {
        let [lanes, rows] = ["LANES", "ROWS"].map(|name| chosen.form.constant(name));
        let (steps, channel_steps) = (self.steps(chosen), self.channel_steps(chosen));
        let all = self.work(self.matrices as u64 * self.rows as u64, steps * chosen.step);
        let grid = [part.rows / rows, 2 * self.out_n4 / lanes, part.matrices];
        let input = match self.lines {
            Some(_) => r.whole(self.input),
            None => aligned(r, self.input, part.span(0, self.rows, self.in_c4)),
        };
        let own = self.out_n4 / if self.geglu { 2 } else { 1 };
        let span = part.span(self.out_row, self.rows, own);
        let out = aligned(r, self.out, span);
        // Bound where an operand is missing: large enough for two loads.
        let (nothing, _) = r.window(self.weight, 0, 8 * lanes as u64 / self.weight.vec4_bytes());
        let residual = self.residual.map_or(nothing.clone(), |residual| aligned(r, residual, span));
        let bias = self.bias.map_or(nothing.clone(), |bias| r.whole(bias));
        let mut before: Option<Window> = None;
        for step in 0..steps {
            let (first, left) = (step == 0, steps - 1 - step);
            let tap = step / channel_steps;
            // Every other step writes to `out`, if that has all columns.
            let target = match left {
                0 => out.clone(),
                _ if !self.geglu && left % 2 == 0 => out.clone(),
                _ => r.whole(&scratch[(left as usize - 1) % scratch.len()]),
            };
            let bit = |has: bool, bit: u32| if has { bit } else { 0 };
            let added = left == 0 && self.residual.is_some();
            let mut params = Params {
                in_w: self.rows,
                in_c4: self.in_c4,
                out_n4: self.out_n4,
                out_y0: part.matrix + tap,
                first: (step % channel_steps) * chosen.step,
                parts: bit(first && self.bias.is_some(), BIAS) | bit(!first, BEFORE) | bit(added, RESIDUAL),
                bias_step: if self.geglu { lanes / 4 } else { lanes / 2 },
                gate: if self.geglu { self.out_n4 / 2 } else { lanes / 4 },
                line_blocks: grid[0],
                row_step: self.in_c4,
                ..Params::zeroed()
            };
            if let Some(lines) = self.lines {
                let Geometry { kernel, stride, .. } = lines.geometry;
                let columns = lines.columns();
                let corner = (part.row / lines.width * stride + tap / kernel) * columns + tap % kernel;
                params.in_base = corner * self.in_c4;
                params.line_blocks = lines.width / rows;
                params.line_step = stride * columns * self.in_c4;
                params.row_step = stride * self.in_c4;
            }
            let work = self.work(part.matrices as u64 * part.rows as u64, chosen.step);
            // Splits the needed and the saved operations by the share of the work. Products of two counts exceed 64 bits.
            let part_of = |of: u64, work: u64| (u128::from(of) * u128::from(work) / u128::from(all)) as u64;
            let share = |of: u64| part_of(of, *done + work) - part_of(of, *done);
            let window = |has: bool, window: &Window| if has { window.clone() } else { nothing.clone() };
            let last = before.unwrap_or(nothing.clone());
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
            before = Some(target);
        }
    }
}
