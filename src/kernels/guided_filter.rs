//! `guided_filter`: the outlines of the decoder's map taken from the query's colours (He, Sun and Tang, "Guided Image
//! Filtering", IEEE TPAMI 35, 2013, section 3.4). Not part of DiffewS; a model asks for it in its `diffews.json`.

use super::{LANES, bands};
use crate::plan::{Channels, Dispatch, Element, Recorder, Tensor, turns};
use crate::settings::GuidedFilter;
use crate::shader::{Form, Kernel, params};

pub static KERNEL: Kernel = Kernel {
    name: "guided_filter",
    params: Params::FIELDS,
    variants: &[&["ROWS", "MOMENTS"], &["FIT"], &["ROWS", "SPREAD"], &["APPLY"]],
    forms: &[Form::plain(include_str!("../../shaders/guided_filter.wgsl"))],
};

params! {
    height: u32,
    width: u32,
    y0: u32,
    rows: u32,
    first: u32,
    radius: u32,
    epsilon: f32,
    base_in: u32,
    base_guide: u32,
    base_out: u32,
    groups_x: u32,
}

/// Filters the decoder's map `drawn`, `[H, W, 3]` in about -1 to 1, by `guide`, `[H, W, 3]` in -1 to 1 and f32. The result is the mean of
/// its clipped channels, three times.
pub fn record(r: &mut Recorder, drawn: &Tensor, guide: &Tensor, filter: GuidedFilter) -> Tensor {
    // Colours in -1 to 1 have four times the variance of those in 0 to 1.
    let fitted = fit(r, drawn, guide, filter.radius, 4.0 * filter.epsilon as f32);
    apply(r, &fitted, guide, filter.radius)
}

/// Slopes and offset for each pixel's window, `[H, W, 4]`.
pub(crate) fn fit(r: &mut Recorder, drawn: &Tensor, guide: &Tensor, radius: u32, epsilon: f32) -> Tensor {
    let mut value = |what: &str, channels: u32| {
        let name = format!("{}.{what}", drawn.name);
        r.value_of(&name, drawn.height, drawn.width, Channels::one(channels), Element::F32)
    };
    let (moments, fitted) = (value("moments", 16), value("fitted", 4));
    pass(r, "MOMENTS", drawn, Some(guide), &moments, (radius, 0.0));
    pass(r, "FIT", &moments, None, &fitted, (radius, epsilon));
    fitted
}

/// At each pixel, the mean of its windows' linear functions at its colour, `[H, W, 3]`.
pub(crate) fn apply(r: &mut Recorder, fitted: &Tensor, guide: &Tensor, radius: u32) -> Tensor {
    let (height, width) = (fitted.height, fitted.width);
    let spread = r.value_of(&format!("{}.spread", fitted.name), height, width, Channels::one(4), Element::F32);
    let out = r.value(&format!("{}.applied", fitted.name), height, width, Channels::one(3));
    pass(r, "SPREAD", fitted, None, &spread, (radius, 0.0));
    pass(r, "APPLY", &spread, Some(guide), &out, (radius, 0.0));
    out
}

fn pass(
    r: &mut Recorder,
    define: &'static str,
    input: &Tensor,
    guide: Option<&Tensor>,
    out: &Tensor,
    (radius, epsilon): (u32, f32),
) {
    let (height, width) = (out.height, out.width);
    let all = [Some(input), guide, Some(out)];
    let alike = all.iter().flatten().all(|t| (t.height, t.width) == (height, width));
    r.check(alike && guide.is_none_or(|g| g.element == Element::F32), || {
        format!("guided_filter of {}: shapes do not fit", input.name)
    });
    // Passes over columns read as many rows more, above and below.
    let along_rows = ["MOMENTS", "SPREAD"].contains(&define);
    let halo = if along_rows { 0 } else { radius };
    let row = |t: &Tensor| width as u64 * t.channels.vec4s() as u64;
    let bytes = all.iter().flatten().map(|t| row(t) * t.vec4_bytes()).max().unwrap_or(0);
    // Multiply-adds per pixel and per element of a window's row or column.
    let (of_each, loops) = match define {
        "MOMENTS" => (38, 2),
        "FIT" => (35, 2),
        _ => (4, 1),
    };
    let work = (2 * radius as u64 + 1) * of_each;
    let longest = (2 * radius as u64 + 1).min(if along_rows { width } else { height } as u64);
    let pixels = height as u64 * width as u64;
    let most = (height as u64).div_ceil(r.limits.pieces(pixels * work, pixels.div_ceil(LANES)));
    let room = r.limits.max_binding.saturating_sub(2 * halo as u64 * bytes);
    // `bands` leaves room for an aligned start.
    let room = room.min(most * bytes + r.limits.offset_alignment);
    for (y0, y1) in bands(height, bytes, room, r.limits.offset_alignment) {
        let (first, last) = (y0.saturating_sub(halo), (y1 + halo).min(height));
        let rows = |t: &Tensor, from: u32, to: u32| r.window(t, from as u64 * row(t), to as u64 * row(t));
        let (window_in, base_in) = rows(input, first, last);
        let (window_guide, base_guide) = guide.map(|g| rows(g, y0, y1)).unzip();
        let (window_out, base_out) = rows(out, y0, y1);
        let pixels = (y1 - y0) as u64 * width as u64;
        let workgroups = r.fold_workgroups(pixels.div_ceil(LANES));
        let params = Params {
            height,
            width,
            y0,
            rows: y1 - y0,
            first,
            radius,
            epsilon,
            base_in,
            base_guide: base_guide.unwrap_or(0),
            base_out,
            groups_x: workgroups[0],
        };
        r.push(Dispatch {
            kernel: &KERNEL,
            form: &KERNEL.forms[0],
            defines: if along_rows { vec!["ROWS", define] } else { vec![define] },
            inputs: std::iter::once(window_in).chain(window_guide).collect(),
            outputs: vec![window_out],
            params: bytemuck::bytes_of(&params).to_vec(),
            workgroups,
            flops: pixels * work,
            padding: 0,
            saved: 0,
            turns: loops * turns(longest, 0),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Forms, Limits, Policy};
    use crate::shader::Facts;

    #[test]
    fn no_dispatch_is_beyond_the_budget() {
        let limits = Limits { max_work: 10_000_000, ..Limits::TEST };
        let mut r = Recorder::new(Policy::F32, Forms::first(Facts::LEAST), limits);
        let drawn = r.input("drawn", 200, 100, Channels::one(3));
        let guide = r.input_of("guide", 200, 100, Channels::one(3), Element::F32);
        record(&mut r, &drawn, &guide, GuidedFilter { radius: 64, epsilon: 1e-5 });
        let flops: Vec<u64> = r.finish().unwrap().dispatches.iter().map(|d| d.flops).collect();
        assert!(flops.len() > 20 && flops.iter().all(|&f| f <= 10_000_000), "{flops:?}");
        assert_eq!(flops.iter().sum::<u64>(), 200 * 100 * 129 * (38 + 35 + 4 + 4));
    }
}
