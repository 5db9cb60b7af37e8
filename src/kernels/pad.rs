//! `pad`: a band of a picture, with zero padding for a convolution's windows.

use super::LANES;
use super::straight::{self, Extent};
use crate::plan::{Dispatch, Element, Recorder, Tensor};
use crate::shader::{Form, Kernel, params};

pub static KERNEL: Kernel = Kernel {
    name: "pad",
    params: Params::FIELDS,
    variants: &[&[]],
    forms: &[
        Form::plain(include_str!("../../shaders/pad/plain.wgsl")),
        straight::form("straight-8", STRAIGHT, &[("LANES", 8), ("BLOCKS", 4)], 8, 2.0),
        straight::form("straight-16", STRAIGHT, &[("LANES", 16), ("BLOCKS", 4)], 16, 2.5),
    ],
};

const STRAIGHT: &str = include_str!("../../shaders/pad/straight.wgsl");

params! {
    in_h: u32,
    in_w: u32,
    in_c4: u32,
    upsample: u32,
    y0: u32,
    pad: u32,
    in_y0: u32,
    base: u32,
    width: u32,
    n: u32,
    groups_x: u32,
}

/// The padded part of a picture.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// Rows with their padding, as a convolution counts them, from the first up to the last.
    pub rows: (u32, u32),
    /// Columns with their padding.
    pub width: u32,
    /// Zero rows and columns above and to the left. Everything beyond the other edges is zero, too.
    pub pad: u32,
    /// Rows of the whole input that they cover, its height, and the first row that is stored.
    pub source: (u32, u32),
    pub height: u32,
    pub stored: u32,
    pub upsample: bool,
}

/// `x` `[H, W, C]`, or its stored rows -> `[rows, width, C]` in f32.
pub fn record(r: &mut Recorder, x: &Tensor, frame: Frame) -> Tensor {
    let (first, end) = frame.rows;
    let name = format!("{}.padded", x.name);
    let out = r.value_of(&name, end - first, frame.width, x.channels.clone(), Element::F32);
    let in_c4 = x.channels.vec4s();
    let row = x.width as u64 * in_c4 as u64;
    let (from, to) = (frame.source.0 - frame.stored, frame.source.1 - frame.stored);
    let (window, base) = r.window(x, from as u64 * row, to as u64 * row);
    let n = out.len_vec4();
    let rows = end - first;
    let (elements, most) = ([window.size / 4, out.bytes() / 4], r.limits.max_workgroups);
    let form = r.form(&KERNEL, |form| {
        let block = form.constant("BLOCKS") as u64;
        let channels = 4 * in_c4 as u64;
        let extent =
            Extent { channels: &[channels], elements: &elements, workgroups: &[frame.width.into(), rows.into()] };
        let left = || format!("{channels} channels are not a multiple of {block} times its lanes");
        let whole = channels.is_multiple_of(block * form.constant("LANES") as u64);
        extent.refuses(form, most).or_else(|| (!whole).then(left))
    });
    let workgroups = match straight::lanes(form) {
        Some(lanes) => [4 * in_c4 / (lanes * form.constant("BLOCKS")), frame.width, rows],
        None => r.fold_workgroups(n.div_ceil(LANES)),
    };
    let params = Params {
        in_h: frame.height,
        in_w: x.width,
        in_c4,
        upsample: u32::from(frame.upsample),
        y0: first,
        pad: frame.pad,
        in_y0: frame.source.0,
        base,
        width: frame.width,
        n: n as u32,
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
        flops: 0,
        padding: 0,
        saved: 0,
        turns: 0,
    });
    out
}
