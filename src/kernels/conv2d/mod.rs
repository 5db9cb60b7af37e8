//! `conv2d`: 2-D convolution as an implicit GEMM, and with kernel size 1 every linear layer (torch.nn.Conv2d, torch.nn.Linear), with fused
//! epilogues.

mod coop;
mod direct;
mod eights;
mod forms;
mod straight;
mod winograd;

use super::{affine, winograd_input};
use crate::plan::{Channels, Param, Recorder, Tensor};
use crate::shader::{Kernel, params};
use forms::{CANDIDATES, Candidate, FORMS, offers};
use std::fmt;

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
    first: u32,
    parts: u32,
    bias_step: u32,
    gate: u32,
    line_blocks: u32,
    line_step: u32,
    row_step: u32,
}

/// The window of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    pub kernel: u32,
    pub stride: u32,
    /// Zero rows and columns above and to the left, and below and to the right.
    pub pad: (u32, u32),
    /// Reads the input as if each position were repeated 2 x 2 (nearest upsampling).
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

/// An operation on a sum before it is stored.
#[derive(Clone, Copy, Debug)]
pub enum Epilogue<'a> {
    None,
    /// Adds a tensor of the output's shape.
    Residual(&'a Tensor),
    /// hidden * gelu(gate); the weights hold both halves side by side.
    Geglu,
    Tanh,
}

/// A layer's constants: `weight` `[Cout, Cin, kernel^2]`, which the chosen form packs, and `bias` `[Cout]` in f32.
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

/// The properties of a problem that affect the speed of forms. A preceding normalization takes the same time in all, so it is not part of
/// them.
#[derive(Clone, Copy, Debug)]
pub struct Layer {
    pub input: (u32, u32),
    /// Vec4s of input and output channels.
    pub in_c4: u32,
    pub out_n4: u32,
    pub geometry: Geometry,
    /// The symbol of the epilogue, if there is one.
    pub epilogue: Option<&'static str>,
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let &Layer {
            input: (height, width), in_c4, out_n4, geometry: Geometry { kernel, stride, pad, upsample }, ..
        } = self;
        write!(f, "{height}x{width}x{} -> {}, {kernel}x{kernel}", 4 * in_c4, 4 * out_n4)?;
        if kernel > 1 {
            write!(f, " stride {stride} pad {},{}", pad.0, pad.1)?;
        }
        f.write_str(if upsample { " upsampled" } else { "" })?;
        self.epilogue.map_or(Ok(()), |epilogue| write!(f, " {}", epilogue.to_lowercase()))
    }
}

/// The shape of the problem.
#[derive(Clone, Copy)]
struct Problem {
    geometry: Geometry,
    /// Rows and columns of the input, and of the output.
    input: (u32, u32),
    output: (u32, u32),
    in_c4: u32,
    out_n4: u32,
    /// The epilogue, without additions.
    geglu: bool,
    tanh: bool,
}

impl Problem {
    /// `[rows, C]` times a matrix.
    fn linear(rows: u32, in_c4: u32, out_n4: u32) -> Problem {
        let (input, output) = ((1, rows), (1, rows));
        Problem { geometry: Geometry::LINEAR, input, output, in_c4, out_n4, geglu: false, tanh: false }
    }

    /// Positions of the output.
    fn positions(&self) -> u64 {
        self.output.0 as u64 * self.output.1 as u64
    }

    /// Columns per output channel: hidden half and gate, or one.
    fn halves(&self) -> u32 {
        if self.geglu { 2 } else { 1 }
    }

    fn flops(&self, positions: u64, in_c4: u64, out_n4: u64) -> u64 {
        let taps = self.geometry.kernel as u64 * self.geometry.kernel as u64;
        2 * positions * taps * (4 * in_c4) * (4 * out_n4) * self.halves() as u64
    }
}

/// For each form: positions and vec4 columns per workgroup, and vec4s of channels per step. Test cases use them to cover every remainder.
/// For forms with a dispatch per step, the most channels of a step are [`longest_step`].
pub(crate) fn blocks() -> impl Iterator<Item = [u32; 3]> {
    let problem = Problem::linear(1, 1, 1);
    let of = move |candidate: &Candidate| ((candidate.block)(candidate.form, &problem), candidate.step);
    CANDIDATES.iter().filter(|c| !c.is_straight()).map(of).map(|((rows, columns), step)| [rows, columns, step])
}

pub(crate) fn longest_step() -> u32 {
    CANDIDATES.iter().filter(|c| c.is_straight()).map(|c| 4 * c.step).max().unwrap_or_default()
}

/// The input of the convolution.
#[derive(Clone, Copy)]
enum Source<'a> {
    Tensor(&'a Tensor),
    Normalized(Normalized<'a>),
}

/// `[a | b]`, scaled, shifted and put through SiLU. Same values as [`affine`], but possibly computed in parts.
#[derive(Clone, Copy)]
pub struct Normalized<'a> {
    pub a: &'a Tensor,
    pub b: Option<&'a Tensor>,
    /// `[2, Ca + Cb]`
    pub scale_shift: &'a Tensor,
}

impl Source<'_> {
    fn size(&self) -> (u32, u32) {
        let (Source::Tensor(x) | Source::Normalized(Normalized { a: x, .. })) = self;
        (x.height, x.width)
    }

    fn channels(&self) -> Channels {
        match self {
            Source::Tensor(x) => x.channels.clone(),
            Source::Normalized(Normalized { a, b: None, .. }) => a.channels.clone(),
            Source::Normalized(Normalized { a, b: Some(b), .. }) => a.channels.concat(&b.channels),
        }
    }

    /// As an input for tiles, which are normalized while they are read.
    fn tiled(&self) -> winograd_input::Input<'_> {
        match *self {
            Source::Tensor(x) => x.into(),
            Source::Normalized(Normalized { a, b, scale_shift }) => {
                winograd_input::Input { a, b, scale_shift: Some(scale_shift) }
            }
        }
    }

    /// A tensor that holds the rows from `y0` up to `y1`, and its first row.
    fn rows(&self, r: &mut Recorder, (y0, y1): (u32, u32)) -> (Tensor, u32) {
        match *self {
            Source::Tensor(x) => (x.clone(), 0),
            Source::Normalized(Normalized { a, b, scale_shift }) => {
                (affine::record_rows(r, a, b, scale_shift, true, (y0, y1)), y0)
            }
        }
    }
}

/// The operands of the sums.
struct Operands<'a> {
    source: Source<'a>,
    weights: &'a Weights,
    geometry: Geometry,
    epilogue: Epilogue<'a>,
}

/// `x` `[H, W, Cin]` -> `[H', W', Cout]`.
pub fn record(r: &mut Recorder, name: &str, x: &Tensor, w: &Weights, geometry: Geometry, epilogue: Epilogue) -> Tensor {
    record_source(r, name, Source::Tensor(x), w, geometry, epilogue)
}

/// Like [`record`], with a normalization first. A form that works in bands never stores the whole normalized tensor.
pub fn record_normalized(
    r: &mut Recorder,
    name: &str,
    x: Normalized,
    w: &Weights,
    geometry: Geometry,
    epilogue: Epilogue,
) -> Tensor {
    record_source(r, name, Source::Normalized(x), w, geometry, epilogue)
}

fn record_source(
    r: &mut Recorder,
    name: &str,
    source: Source,
    w: &Weights,
    geometry: Geometry,
    epilogue: Epilogue,
) -> Tensor {
    let (input, inputs) = (source.size(), source.channels());
    let geglu = matches!(epilogue, Epilogue::Geglu);
    let both = &w.weight.outputs;
    let channels = match both.segments() {
        &[hidden, gate] if geglu && hidden == gate => Channels::one(hidden),
        _ => both.clone(),
    };
    let (height, width) = (geometry.out(input.0), geometry.out(input.1));
    let out = r.value(name, height, width, channels);
    let residual = match epilogue {
        Epilogue::Residual(t) => Some(t),
        _ => None,
    };
    let k = geometry.kernel * geometry.kernel;
    let fits = w.weight.taps == k
        && w.weight.inputs == inputs
        && w.bias.channels == *both
        && geglu == (out.channels != *both)
        && residual.is_none_or(|t| t.channels == out.channels && t.positions() == out.positions());
    if !r.check(fits, || {
        let weight = [both.logical(), w.weight.inputs.logical(), w.weight.taps];
        format!("{name}: input {:?}, weight {weight:?} do not fit", [input.0, input.1, inputs.logical()])
    }) {
        return out;
    }
    let problem = Problem {
        geometry,
        input,
        output: (height, width),
        in_c4: inputs.vec4s(),
        out_n4: out.channels.vec4s(),
        geglu,
        tanh: matches!(epilogue, Epilogue::Tanh),
    };
    let Problem { in_c4, out_n4, .. } = problem;
    let layer = Layer { input, in_c4, out_n4, geometry, epilogue: epilogue.define() };
    let chosen = &CANDIDATES[r.choose(&KERNEL, layer, &offers(&problem, r))];
    (chosen.record)(r, chosen, &problem, &Operands { source, weights: w, geometry, epilogue }, &out);
    out
}

#[cfg(test)]
mod tests;
