//! `winograd_output`: turns 36 matrices of products into 4 x 4 output tiles (see [`crate::plan::winograd`]).

use super::straight::{self, Extent};
use super::winograd_input::Band;
use super::{LANES, convert};
use crate::plan::{Dispatch, Element, Recorder, Tensor, winograd};
use crate::shader::{Form, Kernel, params};

pub static KERNEL: Kernel = Kernel {
    name: "winograd_output",
    params: Params::FIELDS,
    variants: &[&[], &["RESIDUAL"]],
    forms: &[
        Form::plain(include_str!("../../shaders/winograd_output/plain.wgsl")),
        straight::form("straight-8", STRAIGHT, &[("LANES", 8)], 8, 2.0),
        straight::form("straight-16", STRAIGHT, &[("LANES", 16)], 16, 4.0),
    ],
};

const STRAIGHT: &str = include_str!("../../shaders/winograd_output/straight.wgsl");

params! {
    out_h: u32,
    out_w: u32,
    out_n4: u32,
    base: u32,
    tiles_x: u32,
    tiles: u32,
    rows: u32,
    columns: u32,
    groups_x: u32,
}

/// Additions and multiplications per channel of a tile: ten transforms of six elements, and the bias.
const FLOPS: u64 = 10 * 16 + 16;

pub fn flops(band: Band, out_n4: u32) -> u64 {
    band.tiles() as u64 * 4 * out_n4 as u64 * FLOPS
}

/// A tensor to add, from one of its rows on.
#[derive(Clone)]
pub struct Residual {
    tensor: Tensor,
    y0: u32,
}

impl Residual {
    /// The rows of `tensor` from `y0` on.
    pub fn of(tensor: &Tensor, y0: u32) -> Residual {
        Residual { tensor: tensor.clone(), y0 }
    }

    /// A copy of the rows from `y0` up to `y1`. No dispatch then reads `tensor` while it writes the output, which may take its place row by
    /// row. Returns the tensor itself for f16, and for rows that do not begin at an aligned address.
    pub fn aside(r: &mut Recorder, tensor: &Tensor, (y0, y1): (u32, u32)) -> Residual {
        let row = tensor.width as u64 * tensor.channels.vec4s() as u64;
        let (_, begins) = r.window(tensor, y0 as u64 * row, y1 as u64 * row);
        let copied = begins == 0 && tensor.element == Element::F32 && r.storage.values == Element::F32;
        if copied {
            Residual { tensor: convert::record_rows(r, tensor, (y0, y1)), y0: 0 }
        } else {
            Residual::of(tensor, y0)
        }
    }
}

/// `products` `[36, rows, N]` or wider in f32, `bias` `[N]` in f32 and `residual`, laid out like `out` -> the rows `band` of `out` `[H, W,
/// N]`.
pub fn record(
    r: &mut Recorder,
    products: &Tensor,
    bias: &Tensor,
    residual: Option<Residual>,
    band: Band,
    out: &Tensor,
) {
    let out_n4 = out.channels.vec4s();
    let row = out.width as u64 * out_n4 as u64;
    let (from, to) = (band.y0 as u64 * row, band.y1 as u64 * row);
    let (window, base) = r.window(out, from, to);
    let mut inputs = vec![r.whole(products), r.whole(bias)];
    if let Some(Residual { tensor: t, y0 }) = &residual {
        let first = *y0 as u64 * row;
        let (window, begins) = r.window(t, first, first + (to - from));
        // The shader uses the same index in both windows.
        let fits = (t.width, &t.channels, t.element, begins) == (out.width, &out.channels, out.element, base);
        r.check(fits, || format!("{} is added to {}, whose layout differs", t.name, out.name));
        inputs.push(window);
    }
    let channels = 4 * out_n4 as u64;
    let most = r.limits.max_workgroups;
    let extent = Extent {
        channels: &[channels],
        elements: &[products.bytes() / 4, window.size / 4],
        workgroups: &[channels, band.tiles().into()],
    };
    let whole = [band.width, band.y1 - band.y0].iter().all(|n| n.is_multiple_of(winograd::TILE));
    let cut = || Some("the image ends inside its last tiles".into());
    let form = r.form(&KERNEL, |form| if whole { extent.refuses(form, most) } else { cut() });
    let workgroups = match straight::lanes(form) {
        Some(lanes) => [channels as u32 / lanes, band.tiles(), 1],
        None => r.fold_workgroups((band.tiles() as u64 * channels / 2).div_ceil(LANES)),
    };
    let params = Params {
        out_h: band.y1 - band.y0,
        out_w: band.width,
        out_n4,
        base,
        tiles_x: band.tiles_x(),
        tiles: band.tiles(),
        rows: band.rows,
        columns: 2 * products.channels.vec4s(),
        groups_x: workgroups[0],
    };
    r.push(Dispatch {
        kernel: &KERNEL,
        form,
        defines: residual.map(|_| "RESIDUAL").into_iter().collect(),
        inputs,
        outputs: vec![window],
        params: bytemuck::bytes_of(&params).to_vec(),
        workgroups,
        flops: flops(band, out_n4),
        padding: 0,
        saved: 0,
        turns: 0,
    });
}
