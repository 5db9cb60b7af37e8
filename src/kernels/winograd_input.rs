//! `winograd_input`: turns 6 x 6 input tiles of a 3 x 3 convolution into 36 matrices (see [`crate::plan::winograd`]).

use super::LANES;
use super::straight::{self, Extent};
use crate::plan::{Channels, Dispatch, Element, Recorder, Tensor, winograd};
use crate::shader::{Form, Kernel, Pace, params};

pub static KERNEL: Kernel = Kernel {
    name: "winograd_input",
    params: Params::FIELDS,
    variants: &[&[], &["SILU"]],
    forms: &[
        Form::plain(include_str!("../../shaders/winograd_input/plain.wgsl")),
        Form {
            name: PAIRS,
            consts: &[("CHANNELS", 2)],
            pace: Pace { cpu: 1.7, gpu: 0.5 },
            ..Form::plain(include_str!("../../shaders/winograd_input/pairs.wgsl"))
        },
        straight::form("straight-8", STRAIGHT, &[("LANES", 8)], 8, 2.0),
        straight::form("straight-16", STRAIGHT, &[("LANES", 16)], 16, 3.0),
    ],
};

/// Takes two channels per invocation.
const PAIRS: &str = "pairs";

const STRAIGHT: &str = include_str!("../../shaders/winograd_input/straight.wgsl");

params! {
    in_h: u32,
    in_w: u32,
    in_c4: u32,
    before: u32,
    all_c4: u32,
    upsample: u32,
    y0: u32,
    in_y0: u32,
    base: u32,
    tiles_x: u32,
    tiles: u32,
    rows: u32,
    columns: u32,
    span: u32,
    groups_x: u32,
}

/// Output rows that are computed together, and the input rows that they need.
#[derive(Clone, Copy, Debug)]
pub struct Band {
    pub y0: u32,
    pub y1: u32,
    pub source: (u32, u32),
    /// Rows of the whole input.
    pub height: u32,
    /// Columns of the output.
    pub width: u32,
    pub upsample: bool,
    /// Rows per matrix, at least the number of tiles.
    pub rows: u32,
}

impl Band {
    pub fn tiles_x(&self) -> u32 {
        self.width.div_ceil(winograd::TILE)
    }

    pub fn tiles(&self) -> u32 {
        (self.y1 - self.y0).div_ceil(winograd::TILE) * self.tiles_x()
    }
}

/// Additions and multiplications per channel of a tile: twelve transforms of six elements.
const FLOPS: u64 = 12 * 20;

/// Scale, shift and SiLU of a value.
const SILU_FLOPS: u64 = 15;

pub fn flops(band: Band, in_c4: u32) -> u64 {
    band.tiles() as u64 * 4 * in_c4 as u64 * FLOPS
}

/// The input: a tensor, or one or two tensors to normalize first.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// `[H, W, Ca]`
    pub a: &'a Tensor,
    /// `[H, W, Cb]`
    pub b: Option<&'a Tensor>,
    /// `[2, Ca + Cb]`: scale and shift per channel, before SiLU.
    pub scale_shift: Option<&'a Tensor>,
}

impl<'a> From<&'a Tensor> for Input<'a> {
    fn from(a: &'a Tensor) -> Self {
        Input { a, b: None, scale_shift: None }
    }
}

/// `[H, W, Ca + Cb]` -> `[36, rows, channels]` in f32, zero beyond the tiles and beyond Ca + Cb. Normalized values are never stored: each
/// is computed for every tile that contains it, 9/4 on average.
pub fn record(r: &mut Recorder, input: Input, band: Band, channels: Channels) -> Tensor {
    let name = format!("{}.tiles", input.a.name);
    let out = r.value_of(&name, winograd::MATRICES, band.rows, channels, Element::F32);
    let first = input.a.channels.vec4s();
    let all_c4 = first + input.b.map_or(0, |b| b.channels.vec4s());
    record_part(r, input, (input.a, 0, all_c4), band, &out);
    if let Some(b) = input.b {
        record_part(r, input, (b, first, all_c4), band, &out);
    }
    out
}

/// One of the tensors, the vec4s that precede it, and the vec4s of both.
fn record_part(r: &mut Recorder, input: Input, (x, before, all_c4): (&Tensor, u32, u32), band: Band, out: &Tensor) {
    let in_c4 = x.channels.vec4s();
    let row = x.width as u64 * in_c4 as u64;
    let (window, base) = r.window(x, band.source.0 as u64 * row, band.source.1 as u64 * row);
    let columns = 4 * out.channels.vec4s();
    // The last tensor also covers the padding of the panels.
    let span = if before + in_c4 == all_c4 { columns - 4 * before } else { 4 * in_c4 };
    let elements = band.rows as u64 * span as u64;
    let most = r.limits.max_workgroups;
    let extent = Extent {
        channels: &[4 * in_c4 as u64, 4 * before as u64, columns.into()],
        elements: &[window.size / 4, out.bytes() / 4],
        workgroups: &[columns.into(), band.rows.into()],
    };
    let form = r.form(&KERNEL, |form| if form.name == PAIRS { None } else { extent.refuses(form, most) });
    let workgroups = match straight::lanes(form) {
        Some(lanes) => [span / lanes, band.rows, 1],
        None if form.name == PAIRS => r.fold_workgroups((elements / 2).div_ceil(LANES)),
        None => r.fold_workgroups(elements.div_ceil(LANES)),
    };
    let params = Params {
        in_h: band.height,
        in_w: x.width,
        in_c4,
        before,
        all_c4,
        upsample: u32::from(band.upsample),
        y0: band.y0,
        in_y0: band.source.0,
        base,
        tiles_x: band.tiles_x(),
        tiles: band.tiles(),
        rows: band.rows,
        columns,
        span,
        groups_x: workgroups[0],
    };
    let outputs = vec![r.whole(out)];
    let scale_shift = input.scale_shift.map(|t| r.whole(t));
    // Each value is normalized once per tile that contains it.
    let silu = if scale_shift.is_some() { SILU_FLOPS } else { 0 };
    let values = ((band.y1 - band.y0) as u64 * band.width as u64) >> (2 * u32::from(band.upsample));
    let needed = flops(band, in_c4) + values * 4 * in_c4 as u64 * silu;
    r.push(Dispatch {
        kernel: &KERNEL,
        form,
        defines: if scale_shift.is_some() { vec!["SILU"] } else { vec![] },
        inputs: std::iter::once(window).chain(scale_shift).collect(),
        outputs,
        params: bytemuck::bytes_of(&params).to_vec(),
        workgroups,
        flops: needed,
        padding: elements * (FLOPS + 36 * silu) - needed,
        saved: 0,
        turns: 0,
    });
}
