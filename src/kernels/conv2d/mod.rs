//! `conv2d`: 2-D convolution as an implicit GEMM, and with kernel size 1 every linear layer
//! (torch.nn.Conv2d, torch.nn.Linear), with the epilogues of the blocks that they end.

mod direct;
mod forms;
mod straight;
mod winograd;

use super::affine;
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

/// A problem, as far as the speed of forms depends on it: what is normalized first takes the same time for all.
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

/// What a form has to compute.
#[derive(Clone, Copy)]
struct Problem {
    geometry: Geometry,
    /// Rows and columns of the input, and of the output.
    input: (u32, u32),
    output: (u32, u32),
    in_c4: u32,
    out_n4: u32,
    /// What is done to the sums, but for what is added.
    geglu: bool,
    tanh: bool,
}

impl Problem {
    /// `[rows, C]` times a matrix.
    fn linear(rows: u32, in_c4: u32, out_n4: u32) -> Problem {
        let (input, output) = ((1, rows), (1, rows));
        Problem { geometry: Geometry::LINEAR, input, output, in_c4, out_n4, geglu: false, tanh: false }
    }

    /// Of the output.
    fn positions(&self) -> u64 {
        self.output.0 as u64 * self.output.1 as u64
    }

    /// Of each output channel: the hidden half and the gate, or one.
    fn halves(&self) -> u32 {
        if self.geglu { 2 } else { 1 }
    }

    fn flops(&self, positions: u64, in_c4: u64, out_n4: u64) -> u64 {
        let taps = self.geometry.kernel as u64 * self.geometry.kernel as u64;
        2 * positions * taps * (4 * in_c4) * (4 * out_n4) * self.halves() as u64
    }
}

/// Of each form: positions and vec4 columns of a workgroup, vec4s of channels that it takes in at once. For cases of every number
/// that may be left over; of those with a dispatch for each step the most channels of one are [`longest_step`].
pub(crate) fn blocks() -> impl Iterator<Item = [u32; 3]> {
    let problem = Problem::linear(1, 1, 1);
    let of = move |candidate: &Candidate| ((candidate.block)(candidate.form, &problem), candidate.step);
    CANDIDATES.iter().filter(|c| !c.is_straight()).map(of).map(|((rows, columns), step)| [rows, columns, step])
}

pub(crate) fn longest_step() -> u32 {
    CANDIDATES.iter().filter(|c| c.is_straight()).map(|c| 4 * c.step).max().unwrap_or_default()
}

/// What is convolved.
#[derive(Clone, Copy)]
enum Source<'a> {
    Tensor(&'a Tensor),
    Normalized(Normalized<'a>),
}

/// `[a | b]`, scaled, shifted and put through SiLU: as [`affine`] makes it, but perhaps in parts.
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

/// What it computes it from.
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

/// [`record`] of what is normalized first: where the form goes from band to band, the whole of that is never there.
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
mod tests {
    use super::*;
    use crate::plan::{Dispatch, Forms, Limits, Policy};
    use crate::shader::{Device, Facts};

    /// Multiplications and additions of a layer, what fills up its blocks, and its form: a direct one, as Winograd's have no tanh.
    fn recorded(forms: Forms, (h, w): (u32, u32), cin: u32, cout: u32) -> (u64, u64, &'static str) {
        let mut r = Recorder::new(Policy::F32, forms, Limits::TEST);
        let x = r.input("x", h, w, Channels::one(cin));
        let (inputs, outputs) = (Channels::one(cin), Channels::one(cout));
        let weight = Param { id: 0, name: "weight".into(), taps: 9, inputs, outputs };
        let bias = r.input("bias", 1, 1, Channels::one(cout));
        let out = record(&mut r, "out", &x, &Weights { weight, bias }, Geometry::SAME, Epilogue::Tanh);
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

    /// The form that a 3 x 3 layer has by rule, the share of its products that is executed, and in how many bands.
    fn by_rule(facts: Facts, limits: Limits, side: u32, cin: u32, cout: u32) -> (&'static str, f64, usize) {
        let mut r = Recorder::new(Policy::F32, Forms::by_rule(facts), limits);
        let x = r.input("x", side, side, Channels::one(cin));
        let weight =
            Param { id: 0, name: "weight".into(), taps: 9, inputs: Channels::one(cin), outputs: Channels::one(cout) };
        let bias = r.input("bias", 1, 1, Channels::one(cout));
        let out = record(&mut r, "out", &x, &Weights { weight, bias }, Geometry::SAME, Epilogue::None);
        r.output(&out);
        let dispatches = r.finish().unwrap().dispatches;
        let sum = |of: fn(&Dispatch) -> u64| dispatches.iter().map(of).sum::<u64>() as f64;
        let executed = sum(|d| d.flops + d.padding) / sum(|d| d.flops + d.saved);
        let products: Vec<&Dispatch> = dispatches.iter().filter(|d| d.kernel.name == KERNEL.name).collect();
        (products[0].form.name, executed, products.len())
    }

    #[test]
    fn winograds_algorithm_is_taken_where_it_pays() {
        let cpu = Facts { device: Device::Cpu, cores: 2, least_lanes: 8, ..Facts::LEAST };
        let gpu = Facts { device: Device::Discrete, cores: 64, least_lanes: 32, f16: true, ..Facts::LEAST };
        for (facts, name) in [(cpu, "winograd-broadcast-64"), (gpu, "winograd-tiled-64")] {
            let (form, executed, bands) = by_rule(facts, Limits::TEST, 64, 320, 320);
            assert!(form == name && executed < 0.3 && bands == 1, "{form}: {executed} in {bands} bands");
            // Too few positions for so much more memory; too few channels for the transforms.
            for (side, cin, cout) in [(8, 1280, 1280), (64, 320, 4), (64, 4, 320)] {
                let (form, executed, _) = by_rule(facts, Limits::TEST, side, cin, cout);
                assert!(!form.starts_with("winograd") && executed >= 1.0, "{side}, {cin} -> {cout}: {form}");
            }
        }
    }

    #[test]
    fn straight_texts_are_for_devices_without_range_checks() {
        for (lanes, name) in [(8, "winograd-straight-8-64"), (16, "winograd-straight-16-160")] {
            let facts =
                Facts { device: Device::Cpu, cores: 2, least_lanes: lanes, range_checks: false, ..Facts::LEAST };
            let (form, executed, _) = by_rule(facts, Limits::TEST, 64, 320, 320);
            assert!(form == name && executed < 0.3, "{form}: {executed}");
            let checked = Facts { range_checks: true, ..facts };
            assert_eq!(by_rule(checked, Limits::TEST, 64, 320, 320).0, "winograd-broadcast-64");
            // Larger indices than the text is told of.
            let large = Limits { max_binding: 1 << 31, max_buffer: 1 << 31, ..Limits::TEST };
            assert!(!by_rule(facts, large, 64, 2560, 2560).0.starts_with("winograd-straight"));
        }
    }

    #[test]
    fn straight_texts_add_each_product_once() {
        let facts = Facts { device: Device::Cpu, cores: 2, least_lanes: 8, range_checks: false, ..Facts::LEAST };
        let mut r = Recorder::new(Policy::F32, Forms::by_rule(facts), Limits::TEST);
        let (inputs, outputs) = (Channels::one(150), Channels::one(34));
        let x = r.input("x", 17, 9, inputs.clone());
        let weight = Param { id: 0, name: "weight".into(), taps: 9, inputs, outputs };
        let bias = r.input("bias", 1, 1, Channels::one(34));
        r.forms = r.forms.forcing("conv2d", "winograd-straight-8-64");
        let out = record(&mut r, "out", &x, &Weights { weight, bias }, Geometry::SAME, Epilogue::None);
        r.output(&out);
        let mut steps: Vec<(u32, u32)> = Vec::new();
        let dispatches = r.finish().unwrap().dispatches;
        for d in dispatches.iter().filter(|d| d.kernel.name == KERNEL.name) {
            let param = |name| u32::from_ne_bytes(d.params[KERNEL.param(name).unwrap()].try_into().unwrap());
            // 15 tiles in blocks of 4, 34 columns in panels of 16.
            assert_eq!((d.workgroups[0], d.workgroups[1]), (4, 3));
            assert_eq!((param("in_w"), 4 * param("in_c4"), 4 * param("out_n4")), (16, 192, 48));
            steps.extend((0..d.workgroups[2]).map(|z| (param("out_y0") + z, param("first"))));
        }
        steps.sort();
        let all = (0..36).flat_map(|matrix| [0, 64, 128].map(|first| (matrix, first)));
        assert_eq!(steps, Vec::from_iter(all));
    }

    /// Shares of a wide layer's work passed 64 bits, and a fifth of a network's was not counted.
    #[test]
    fn straight_texts_count_what_direct_sums_have() {
        let facts = Facts { device: Device::Cpu, cores: 2, least_lanes: 8, range_checks: false, ..Facts::LEAST };
        let mut r = Recorder::new(Policy::F32, Forms::by_rule(facts), Limits::TEST);
        let x = r.input("x", 128, 128, Channels::one(512));
        let (inputs, outputs) = (Channels::one(512), Channels::one(512));
        let weight = Param { id: 0, name: "weight".into(), taps: 9, inputs, outputs };
        let bias = r.input("bias", 1, 1, Channels::one(512));
        let out = record(&mut r, "out", &x, &Weights { weight, bias }, Geometry::SAME, Epilogue::None);
        r.output(&out);
        let dispatches = r.finish().unwrap().dispatches;
        assert!(dispatches.iter().any(|d| d.form.name == "winograd-straight-8-64"));
        assert_eq!(dispatches.iter().map(|d| d.flops + d.saved).sum::<u64>(), 2 * 9 * 128 * 128 * 512 * 512);
    }

    /// Bands of 32 tiles, filled up to 64, took twice the work, and none of them was shorter.
    #[test]
    fn short_submissions_do_not_fill_up_bands() {
        let gpu = Facts { device: Device::Integrated, cores: 8, least_lanes: 32, ..Facts::LEAST };
        let limits = Limits { max_work: 1_000_000_000, max_binding: 1 << 28, ..Limits::TEST };
        let (form, executed, bands) = by_rule(gpu, limits, 32, 640, 640);
        assert!(form.starts_with("winograd") && executed < 0.3 && bands == 1, "{form}: {executed} in {bands} bands");
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
