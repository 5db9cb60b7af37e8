//! `conv2d`: 2-D convolution as an implicit GEMM, and with kernel size 1 every linear layer
//! (torch.nn.Conv2d, torch.nn.Linear), with the epilogues of the blocks that they end.

mod forms;

use crate::plan::{Channels, Dispatch, Param, Recorder, Tensor};
use crate::shader::{Kernel, params};
use forms::{CANDIDATES, Candidate, FORMS, offers};

pub static KERNEL: Kernel = Kernel {
    name: "conv2d",
    params: Params::FIELDS,
    variants: &[&[], &["RESIDUAL"], &["GEGLU"], &["TANH"]],
    forms: FORMS,
};

params! {
    in_h: u32,
    in_w: u32,
    in_c4: u32,
    out_rows: u32,
    out_w: u32,
    out_n4: u32,
    kernel: u32,
    stride: u32,
    pad: u32,
    upsample: u32,
    out_y0: u32,
    in_y0: u32,
    in_base: u32,
    out_base: u32,
    residual_base: u32,
    row_groups: u32,
    groups: u32,
    groups_x: u32,
    block_rows: u32,
}

/// Where the window of a convolution lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    pub kernel: u32,
    pub stride: u32,
    /// Zero rows and columns above and to the left, below and to the right.
    pub pad: (u32, u32),
    /// The input is read as if each position were repeated 2 x 2 (nearest upsampling).
    pub upsample: bool,
}

impl Geometry {
    pub const LINEAR: Geometry = Geometry { kernel: 1, stride: 1, pad: (0, 0), upsample: false };
    pub const SAME: Geometry = Geometry { kernel: 3, stride: 1, pad: (1, 1), upsample: false };

    /// Height or width of the output.
    pub fn out(&self, size: u32) -> u32 {
        let size = size * if self.upsample { 2 } else { 1 } + self.pad.0 + self.pad.1;
        (size.max(self.kernel) - self.kernel) / self.stride + 1
    }

    /// Input rows that the output rows `y0..y1` read.
    fn source_rows(&self, y0: u32, y1: u32, height: u32) -> (u32, u32) {
        let shift = u32::from(self.upsample);
        let first = (y0 * self.stride).saturating_sub(self.pad.0) >> shift;
        let last = ((y1 - 1) * self.stride + self.kernel - 1).saturating_sub(self.pad.0) >> shift;
        (first.min(height - 1), (last + 1).min(height))
    }
}

/// What is done to a sum before it is stored.
#[derive(Clone, Copy, Debug)]
pub enum Epilogue<'a> {
    None,
    /// Adds a tensor of the output's shape.
    Residual(&'a Tensor),
    /// hidden * gelu(gate), the weights holding both halves side by side.
    Geglu,
    Tanh,
}

/// A layer's constants: `weight` `[Cout, Cin, kernel^2]`, which the chosen form packs, `bias` `[Cout]` in f32.
#[derive(Clone, Debug)]
pub struct Weights {
    pub weight: Param,
    pub bias: Tensor,
}

impl Epilogue<'_> {
    fn define(&self) -> Option<&'static str> {
        match self {
            Epilogue::None => None,
            Epilogue::Residual(_) => Some("RESIDUAL"),
            Epilogue::Geglu => Some("GEGLU"),
            Epilogue::Tanh => Some("TANH"),
        }
    }
}

/// What a form has to compute.
struct Problem {
    /// Rows and columns of the window.
    kernel: u32,
    /// Of the output.
    positions: u64,
    in_c4: u32,
    out_n4: u32,
    geglu: bool,
}

impl Problem {
    /// Of each output channel: the hidden half and the gate, or one.
    fn halves(&self) -> u32 {
        if self.geglu { 2 } else { 1 }
    }

    fn flops(&self, positions: u64, in_c4: u64, out_n4: u64) -> u64 {
        let taps = self.kernel as u64 * self.kernel as u64;
        2 * positions * taps * (4 * in_c4) * (4 * out_n4) * self.halves() as u64
    }
}

/// Of each form: positions and vec4 columns of a workgroup, vec4s of channels that it takes in at once. For cases of every number
/// that may be left over.
pub(crate) fn blocks() -> impl Iterator<Item = [u32; 3]> {
    let problem = Problem { kernel: 1, positions: 1, in_c4: 1, out_n4: 1, geglu: false };
    let of = move |candidate: &Candidate| ((candidate.block)(candidate.form, &problem), candidate.step);
    CANDIDATES.iter().map(of).map(|((rows, columns), step)| [rows, columns, step])
}

/// What it computes it from.
struct Operands<'a> {
    x: &'a Tensor,
    weights: &'a Weights,
    geometry: Geometry,
    epilogue: Epilogue<'a>,
}

/// `x` `[H, W, Cin]` -> `[H', W', Cout]`.
pub fn record(r: &mut Recorder, name: &str, x: &Tensor, w: &Weights, geometry: Geometry, epilogue: Epilogue) -> Tensor {
    let geglu = matches!(epilogue, Epilogue::Geglu);
    let both = &w.weight.outputs;
    let channels = match both.segments() {
        &[hidden, gate] if geglu && hidden == gate => Channels::one(hidden),
        _ => both.clone(),
    };
    let (height, width) = (geometry.out(x.height), geometry.out(x.width));
    let out = r.value(name, height, width, channels);
    let residual = match epilogue {
        Epilogue::Residual(t) => Some(t),
        _ => None,
    };
    let k = geometry.kernel * geometry.kernel;
    let fits = w.weight.taps == k
        && w.weight.inputs == x.channels
        && w.bias.channels == *both
        && geglu == (out.channels != *both)
        && residual.is_none_or(|t| t.channels == out.channels && t.positions() == out.positions());
    if !r.check(fits, || {
        let weight = [both.logical(), w.weight.inputs.logical(), w.weight.taps];
        format!("{name}: input {}, weight {weight:?} do not fit", x.shape_string())
    }) {
        return out;
    }
    let problem = Problem {
        kernel: geometry.kernel,
        positions: out.positions().into(),
        in_c4: x.channels.vec4s(),
        out_n4: out.channels.vec4s(),
        geglu,
    };
    let chosen = &CANDIDATES[r.choose(&KERNEL, &offers(&problem, &r.forms.facts))];
    (chosen.record)(r, chosen, &problem, &Operands { x, weights: w, geometry, epilogue }, &out);
    out
}

/// Sums as they are written in the twin, in as many dispatches as the adapter's limits ask for.
fn direct(r: &mut Recorder, chosen: &Candidate, problem: &Problem, operands: &Operands, out: &Tensor) {
    let &Operands { x, weights: w, geometry, epilogue } = operands;
    let &Problem { in_c4, out_n4, .. } = problem;
    let (block_rows, block_columns) = (chosen.block)(chosen.form, problem);
    let rows = band_rows(r, chosen, problem, operands, out);
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
        let mut inputs = vec![window, r.whole(&chosen.packing.tensor(&w.weight, r.storage.weights)), r.whole(&w.bias)];
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
            turns: chosen.turns_of(problem),
        });
    }
}

/// Output rows of a dispatch: as many as the adapter's bindings hold and a short submission allows, but no fewer than keep the
/// device busy.
fn band_rows(r: &Recorder, chosen: &Candidate, problem: &Problem, operands: &Operands, out: &Tensor) -> u32 {
    let &Operands { x, geometry, .. } = operands;
    let room = r.limits.max_binding.saturating_sub(r.limits.offset_alignment);
    let row_bytes = |t: &Tensor| t.width as u64 * t.channels.vec4s() as u64 * t.vec4_bytes();
    let fits = |rows: u32| {
        rows as u64 * row_bytes(out) <= room
            && (0..out.height).step_by(rows as usize).all(|y0| {
                let (first, end) = geometry.source_rows(y0, (y0 + rows).min(out.height), x.height);
                (end - first) as u64 * row_bytes(x) <= room
            })
    };
    let all = problem.positions;
    let pieces = r.limits.pieces(chosen.work(problem, all), chosen.workgroups(problem, all));
    let mut count = pieces.clamp(1, out.height.into()) as u32;
    // Bands of equal height, as few as fit.
    while count < out.height && !fits(out.height.div_ceil(count)) {
        count += 1;
    }
    out.height.div_ceil(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Forms, Limits, Policy};
    use crate::shader::{Device, Facts};

    /// Multiplications and additions of a layer, what fills up its blocks, and its form.
    fn recorded(forms: Forms, (h, w): (u32, u32), cin: u32, cout: u32) -> (u64, u64, &'static str) {
        let mut r = Recorder::new(Policy::F32, forms, Limits::TEST);
        let x = r.input("x", h, w, Channels::one(cin));
        let (inputs, outputs) = (Channels::one(cin), Channels::one(cout));
        let weight = Param { id: 0, name: "weight".into(), taps: 9, inputs, outputs };
        let bias = r.input("bias", 1, 1, Channels::one(cout));
        let out = record(&mut r, "out", &x, &Weights { weight, bias }, Geometry::SAME, Epilogue::None);
        r.output(&out);
        let dispatches = r.finish().unwrap().dispatches;
        let sum = |of: fn(&Dispatch) -> u64| dispatches.iter().map(of).sum::<u64>();
        (sum(|d| d.flops), sum(|d| d.padding), dispatches[0].form.name)
    }

    #[test]
    fn what_fills_up_blocks_counts() {
        // Blocks of the first form are 64 positions of 64 channels, from 16 at a time.
        for (size, cin, channels, times) in [
            ((32, 24), 64, 3, 16),
            ((32, 24), 64, 16, 4),
            ((32, 24), 64, 64, 1),
            ((32, 24), 64, 128, 1),
            ((4, 4), 64, 64, 4),
            ((32, 24), 8, 64, 2),
        ] {
            let (flops, padding, form) = recorded(Forms::first(Facts::LEAST), size, cin, channels);
            let (positions, padded) = (u64::from(size.0 * size.1), u64::from(channels).next_multiple_of(4));
            assert_eq!((flops, form), (2 * positions * 9 * u64::from(cin) * padded, "tiled-64"));
            assert_eq!(flops + padding, times * flops, "{size:?}, {cin} -> {channels}");
        }
    }

    /// 3 channels took 16 times their work on a GPU, where one tile was for all shapes.
    #[test]
    fn narrow_and_small_layers_have_forms_of_their_own_on_gpus() {
        let gpu = Facts { device: Device::Discrete, cores: 64, least_lanes: 32, f16: true, ..Facts::LEAST };
        for (size, channels, form) in [
            ((256, 256), 3, "tiled-4"),
            ((128, 128), 16, "tiled-16"),
            ((128, 128), 32, "tiled-32"),
            ((64, 64), 320, "tiled-64"),
            ((4, 4), 1280, "small-64"),
        ] {
            let (flops, padding, name) = recorded(Forms::by_rule(gpu), size, 64, channels);
            assert_eq!((name, padding), (form, 0), "{size:?} x {channels}: {flops}");
        }
        // Few positions alone are no reason on one core.
        let cpu = Facts { device: Device::Cpu, cores: 1, least_lanes: 8, ..Facts::LEAST };
        let name = |channels| recorded(Forms::by_rule(cpu), (16, 16), 64, channels).2;
        assert_eq!([64, 32, 12, 8, 3].map(name), ["broadcast-64", "broadcast-32", "rows-12", "rows-8", "rows-4"]);
        let name = |channels| recorded(Forms::by_rule(Facts { least_lanes: 4, ..cpu }), (16, 16), 64, channels).2;
        assert_eq!([64, 32, 12, 8, 3].map(name), ["rows-64", "rows-32", "rows-12", "rows-8", "rows-4"]);
    }
}
