//! `winograd_input`: tiles of 6 x 6 inputs of a 3 x 3 convolution, turned into 36 matrices (see [`crate::plan::winograd`]).

use super::LANES;
use super::straight::{self, Extent};
use crate::plan::{Channels, Dispatch, Element, Recorder, Tensor, winograd};
use crate::shader::{Form, Kernel, params};

pub static KERNEL: Kernel = Kernel {
    name: "winograd_input",
    params: Params::FIELDS,
    variants: &[&[]],
    forms: &[
        Form::plain(include_str!("../../shaders/winograd_input/plain.wgsl")),
        straight::form("straight-8", STRAIGHT, &[("LANES", 8)], 8, 2.0),
        straight::form("straight-16", STRAIGHT, &[("LANES", 16)], 16, 3.0),
    ],
};

const STRAIGHT: &str = include_str!("../../shaders/winograd_input/straight.wgsl");

params! {
    in_h: u32,
    in_w: u32,
    in_c4: u32,
    upsample: u32,
    y0: u32,
    in_y0: u32,
    base: u32,
    tiles_x: u32,
    tiles: u32,
    rows: u32,
    columns: u32,
    groups_x: u32,
}

/// Rows of the output that are computed together, and the rows of the input that they are made of.
#[derive(Clone, Copy, Debug)]
pub struct Band {
    pub y0: u32,
    pub y1: u32,
    pub source: (u32, u32),
    /// Rows of the whole input, and the first of them that is stored.
    pub height: u32,
    pub stored: u32,
    /// Columns of the output.
    pub width: u32,
    pub upsample: bool,
    /// Rows of each matrix: as many as there are tiles, or more.
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

/// Additions and multiplications for a channel of a tile: twelve times a transform of six.
const FLOPS: u64 = 12 * 20;

pub fn flops(band: Band, in_c4: u32) -> u64 {
    band.tiles() as u64 * 4 * in_c4 as u64 * FLOPS
}

/// `x` `[H, W, C]`, or those of its rows that the band reads, -> `[36, rows, channels]` in f32, of which what is beyond the tiles and
/// beyond C is zero.
pub fn record(r: &mut Recorder, x: &Tensor, band: Band, channels: Channels) -> Tensor {
    let name = format!("{}.tiles", x.name);
    let out = r.value_of(&name, winograd::MATRICES, band.rows, channels, Element::F32);
    let in_c4 = x.channels.vec4s();
    let row = x.width as u64 * in_c4 as u64;
    let (from, to) = (band.source.0 - band.stored, band.source.1 - band.stored);
    let (window, base) = r.window(x, from as u64 * row, to as u64 * row);
    let columns = 4 * out.channels.vec4s();
    let elements = band.rows as u64 * columns as u64;
    let most = r.limits.max_workgroups;
    let extent = Extent {
        channels: &[4 * in_c4 as u64, columns.into()],
        elements: &[window.size / 4, out.bytes() / 4],
        workgroups: &[columns.into(), band.rows.into()],
    };
    let form = r.form(&KERNEL, |form| extent.refuses(form, most));
    let workgroups = match straight::lanes(form) {
        Some(lanes) => [columns / lanes, band.rows, 1],
        None => r.fold_workgroups(elements.div_ceil(LANES)),
    };
    let params = Params {
        in_h: band.height,
        in_w: x.width,
        in_c4,
        upsample: u32::from(band.upsample),
        y0: band.y0,
        in_y0: band.source.0,
        base,
        tiles_x: band.tiles_x(),
        tiles: band.tiles(),
        rows: band.rows,
        columns,
        groups_x: workgroups[0],
    };
    let outputs = vec![r.whole(&out)];
    r.push(Dispatch {
        kernel: &KERNEL,
        form,
        defines: vec![],
        inputs: vec![window],
        outputs,
        params: bytemuck::bytes_of(&params).to_vec(),
        workgroups,
        flops: flops(band, in_c4),
        padding: elements * FLOPS - flops(band, in_c4),
        saved: 0,
        turns: 0,
    });
    out
}
