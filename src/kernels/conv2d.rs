//! `conv2d`: 2-D convolution as an implicit GEMM, and with kernel size 1 every linear layer
//! (torch.nn.Conv2d, torch.nn.Linear), with the epilogues of the blocks that they end.

use crate::plan::{Channels, Dispatch, Recorder, Tensor, turns};
use crate::shader::{Kernel, Tuning, params};

pub static KERNEL: Kernel = Kernel {
    name: "conv2d",
    source: include_str!("../../shaders/conv2d.wgsl"),
    params: Params::FIELDS,
    variants: &[
        &["ROWS"],
        &["ROWS", "RESIDUAL"],
        &["ROWS", "GEGLU"],
        &["ROWS", "TANH"],
        &["ROWS", "NARROW"],
        &["ROWS", "NARROW", "RESIDUAL"],
        &["ROWS", "NARROW", "GEGLU"],
        &["ROWS", "NARROW", "TANH"],
        &["BROADCAST"],
        &["BROADCAST", "RESIDUAL"],
        &["BROADCAST", "GEGLU"],
        &["BROADCAST", "TANH"],
        &[],
        &["RESIDUAL"],
        &["GEGLU"],
        &["TANH"],
    ],
    tunings: &[Tuning::Broadcast, Tuning::Rows, Tuning::Tiled],
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
    lanes_n: u32,
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

/// A layer's constants: `weight` `[kernel^2, Cin, Cout]` as repacked at load, `bias` `[Cout]` in f32.
#[derive(Clone, Debug)]
pub struct Weights {
    pub weight: Tensor,
    pub bias: Tensor,
}

/// The form of the shader for an adapter and a number of vec4 columns.
struct Form {
    defines: &'static [&'static str],
    /// Positions and vec4 columns that one workgroup makes.
    block: (u32, u32),
    /// Vec4s of input channels that it takes in at once.
    block_c: u32,
    /// Invocations of a workgroup; 0 where the shader fixes them.
    lanes: u32,
    /// NARROW: lanes along the columns.
    lanes_n: u32,
}

impl Form {
    /// Turns of an invocation's loops: over the window's rows and columns, and for each over the input's channels. The forms
    /// for CPUs go through their rows before, for each tap and at the end.
    fn turns(&self, kernel: u32, in_c4: u32) -> u64 {
        let (kernel, steps) = (kernel as u64, in_c4.div_ceil(self.block_c) as u64);
        let rows = turns(8, 0);
        match self.defines.first() {
            None => 3 * turns(4, 0) + turns(kernel, turns(kernel, turns(steps, 0))),
            Some(&"BROADCAST") => turns(kernel, turns(kernel, turns(steps, 0))) + rows,
            Some(_) => turns(kernel, turns(kernel, turns(steps, 0) + 3 * rows)) + 3 * rows,
        }
    }
}

fn form(tuning: Tuning, geglu: bool, n4: u32) -> Form {
    let half = if geglu { 2 } else { 1 };
    let wide = if n4 <= 8 { 8 } else { 16 };
    let narrow = n4.next_power_of_two();
    match tuning {
        Tuning::Tiled => Form { defines: &[], block: (64, 16), block_c: 4, lanes: 0, lanes_n: 0 },
        // Few columns would leave most lanes idle: they take more rows instead.
        _ if n4 <= 3 => Form {
            defines: &["ROWS", "NARROW"],
            block: (16 / half * (16 / narrow), narrow),
            block_c: 1,
            lanes: 16,
            lanes_n: narrow,
        },
        Tuning::Broadcast => {
            Form { defines: &["BROADCAST"], block: (32 / half, wide), block_c: 1, lanes: wide, lanes_n: 0 }
        }
        Tuning::Rows => Form { defines: &["ROWS"], block: (16 / half, wide), block_c: 1, lanes: wide, lanes_n: 0 },
    }
}

/// `x` `[H, W, Cin]` -> `[H', W', Cout]`.
pub fn record(r: &mut Recorder, name: &str, x: &Tensor, w: &Weights, geometry: Geometry, epilogue: Epilogue) -> Tensor {
    let geglu = matches!(epilogue, Epilogue::Geglu);
    let both = &w.weight.channels;
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
    let fits = w.weight.height == k
        && w.weight.width == x.channels.vec4s() * 4
        && w.bias.channels == *both
        && geglu == (out.channels != *both)
        && residual.is_none_or(|t| t.channels == out.channels && t.positions() == out.positions());
    if !r.check(fits, || format!("{name}: input {}, weight {} do not fit", x.shape_string(), w.weight.shape_string())) {
        return out;
    }
    let (in_c4, out_n4) = (x.channels.vec4s(), out.channels.vec4s());
    let form = form(r.tuning, geglu, out_n4);
    let mut defines = form.defines.to_vec();
    defines.extend(match epilogue {
        Epilogue::None => None,
        Epilogue::Residual(_) => Some("RESIDUAL"),
        Epilogue::Geglu => Some("GEGLU"),
        Epilogue::Tanh => Some("TANH"),
    });
    let overrides = if form.lanes > 0 { vec![("WG", form.lanes as f64)] } else { vec![] };
    let row_flops = width as u64 * both.vec4s() as u64 * 4 * (k * in_c4 * 4) as u64 * 2;
    // Workgroups compute whole blocks, of which much may lie beyond the last channel: that is what takes time.
    let computed = |n: u32, block: u32| n.next_multiple_of(block) as u64;
    let row_work = row_flops / (out_n4 as u64 * in_c4 as u64).max(1)
        * computed(out_n4, form.block.1)
        * computed(in_c4, form.block_c);
    let rows = band_rows(r, x, &out, geometry, row_work);
    for y0 in (0..height).step_by(rows as usize) {
        let y1 = (y0 + rows).min(height);
        let (sy0, sy1) = geometry.source_rows(y0, y1, x.height);
        let span = |t: &Tensor, a: u32, b: u32| {
            let row = t.width as u64 * t.channels.vec4s() as u64;
            (a as u64 * row, b as u64 * row)
        };
        let (from, to) = span(x, sy0, sy1);
        let (window, in_base) = r.window(x, from, to);
        let (from, to) = span(&out, y0, y1);
        let (window_out, out_base) = r.window(&out, from, to);
        let mut inputs = vec![window, r.whole(&w.weight), r.whole(&w.bias)];
        let mut residual_base = 0;
        if let Some(t) = residual {
            let (window, base) = r.window(t, from, to);
            inputs.push(window);
            residual_base = base;
        }
        let row_groups = ((y1 - y0) * width).div_ceil(form.block.0);
        let groups = row_groups as u64 * out_n4.div_ceil(form.block.1) as u64;
        let workgroups = r.fold_workgroups(groups);
        let params = Params {
            in_h: x.height,
            in_w: x.width,
            in_c4,
            out_rows: y1 - y0,
            out_w: width,
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
            lanes_n: form.lanes_n,
            block_rows: 8,
        };
        r.push(Dispatch {
            kernel: &KERNEL,
            defines: defines.clone(),
            overrides: overrides.clone(),
            inputs,
            outputs: vec![window_out],
            params: bytemuck::bytes_of(&params).to_vec(),
            workgroups,
            flops: row_flops * (y1 - y0) as u64,
            padding: (row_work - row_flops) * (y1 - y0) as u64,
            turns: form.turns(geometry.kernel, in_c4),
        });
    }
    out
}

/// Output rows of a dispatch: as many as the adapter's bindings hold and a short submission allows.
fn band_rows(r: &Recorder, x: &Tensor, out: &Tensor, geometry: Geometry, row_work: u64) -> u32 {
    let room = r.limits.max_binding.saturating_sub(r.limits.offset_alignment);
    let row_bytes = |t: &Tensor| t.width as u64 * t.channels.vec4s() as u64 * t.vec4_bytes(r.storage);
    let fits = |rows: u32| {
        rows as u64 * row_bytes(out) <= room
            && (0..out.height).step_by(rows as usize).all(|y0| {
                let (first, end) = geometry.source_rows(y0, (y0 + rows).min(out.height), x.height);
                (end - first) as u64 * row_bytes(x) <= room
            })
    };
    let most = (r.limits.max_flops / row_work.max(1)).clamp(1, out.height as u64) as u32;
    let mut count = out.height.div_ceil(most);
    // Bands of equal height, as few as fit.
    while count < out.height && !fits(out.height.div_ceil(count)) {
        count += 1;
    }
    out.height.div_ceil(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Limits, Storage};

    #[test]
    fn what_fills_up_blocks_counts() {
        // Blocks are 64 channels wide.
        for (channels, times) in [(3, 15), (16, 3), (64, 0), (128, 0)] {
            let mut r = Recorder::new(Storage::F32, Tuning::Tiled, Limits::TEST);
            let x = r.input("x", 32, 24, Channels::one(64));
            let weight = r.input("weight", 9, 64, Channels::one(channels));
            let bias = r.input("bias", 1, 1, Channels::one(channels));
            let out = record(&mut r, "out", &x, &Weights { weight, bias }, Geometry::SAME, Epilogue::None);
            r.output(&out);
            let dispatches = r.finish().unwrap().dispatches;
            let sum = |of: fn(&Dispatch) -> u64| dispatches.iter().map(of).sum::<u64>();
            let padded = u64::from(channels).next_multiple_of(4);
            assert_eq!(sum(|d| d.flops), 2 * 32 * 24 * 9 * 64 * padded);
            assert_eq!(sum(|d| d.padding), times * sum(|d| d.flops), "{channels}");
        }
    }
}
