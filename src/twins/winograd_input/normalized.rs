//! Tiles whose values are normalized while they are read.

use super::ROUNDINGS;
use crate::check::bound::{Approx, Bound, EPS, TINY};
use crate::check::{Case, CaseBuilder, Fill};
use crate::kernels::winograd_input::{Band, Input, KERNEL, record};
use crate::plan::winograd::{BT, both};
use crate::plan::{Channels, Element};
use crate::twins::affine;

/// Height and width, channels of a and b, whether it is upsampled, rows of the output, and padding rows and channels.
type Shape = ((u32, u32), (u32, u32), bool, (u32, u32), (u32, u32));

pub(super) fn cases() -> Vec<Case> {
    let normal = Fill::Normal { mean: 0.0, std: 1.0 };
    let case = |shape: Shape, fill: Fill| {
        let ((h, w), (a, b), upsample, (y0, y1), _) = shape;
        let up = if upsample { " upsampled" } else { "" };
        let name = format!("{h}x{w}x({a}+{b}){up} normalized rows {y0} to {y1}");
        Case::new(&KERNEL, name, move |c| build(c, shape, fill))
    };
    vec![
        case(((64, 64), (320, 0), false, (0, 64), (0, 0)), normal),
        case(((16, 16), (64, 32), false, (0, 16), (0, 0)), normal),
        case(((7, 5), (6, 0), false, (0, 7), (28, 0)), normal),
        case(((5, 9), (5, 13), true, (0, 10), (17, 0)), normal),
        // Bands in the middle and at the end, which have an input row above them.
        case(((37, 19), (12, 8), false, (8, 24), (14, 0)), normal).with_alignment(256),
        case(((9, 11), (16, 16), true, (16, 18), (5, 0)), normal),
        // Matrices as wide as the panels of weights.
        case(((7, 9), (12, 4), false, (4, 7), (3, 48)), normal),
        case(((7, 9), (32, 16), false, (4, 7), (3, 16)), normal),
        case(((41, 67), (6, 0), false, (0, 41), (1, 0)), normal).with_workgroup_limit(19),
        case(((6, 13), (16, 0), false, (0, 6), (0, 0)), Fill::Of(crate::twins::WIDE))
            .called("6x13x16-normalized-of-all-kinds-of-values"),
    ]
}

fn build(b: &mut CaseBuilder, ((h, w), (ca, cb), upsample, (y0, y1), (spare, beside)): Shape, fill: Fill) {
    let shift = u32::from(upsample);
    let x = b.input("a", h, w, Channels::one(ca), b.values(), fill);
    let y = (cb > 0).then(|| b.input("b", h, w, Channels::one(cb), b.values(), fill));
    let inputs = y.as_ref().map_or(x.tensor.channels.clone(), |y| x.tensor.channels.concat(&y.tensor.channels));
    let affine = b.input("affine", 1, 2, inputs.clone(), Element::F32, Fill::Normal { mean: 0.7, std: 1.0 });
    let source = (y0.saturating_sub(1) >> shift, ((y1 >> shift) + 1).min(h));
    let mut band = Band { y0, y1, source, height: h, width: w << shift, upsample, rows: 0 };
    band.rows = band.tiles() + spare;
    let channels = match beside {
        0 => inputs.clone(),
        more => Channels::one(4 * inputs.vec4s() + more),
    };
    let input = Input { a: &x.tensor, b: y.as_ref().map(|y| &y.tensor), scale_shift: Some(&affine.tensor) };
    let out = record(&mut b.recorder, input, band, channels);

    let (rows, first, tiles, tiles_x) =
        (band.rows as usize, y0 as usize / 4, band.tiles() as usize, band.tiles_x() as usize);
    let (height, width) = ((h << shift) as usize, (w << shift) as usize);
    b.expect(&out, move |p, c| {
        let (matrix, tile) = (p / rows, p % rows);
        if tile >= tiles || c >= (ca + cb) as usize {
            return Approx::new(0.0, 0.0);
        }
        let corner = (4 * (first + tile / tiles_x), 4 * (tile % tiles_x));
        // Tiles begin one position above and to the left of their outputs.
        let of = |k: usize, l: usize| {
            let (row, column) = (corner.0 + k, corner.1 + l);
            if !(1..=height).contains(&row) || !(1..=width).contains(&column) {
                return Approx::new(0.0, 0.0);
            }
            let at = ((row - 1) >> shift) * w as usize + ((column - 1) >> shift);
            let v = if c < ca as usize { x.at(at, c) } else { y.as_ref().map_or(0.0, |y| y.at(at, c - ca as usize)) };
            affine::twin(v, affine.at(0, c), affine.at(1, c), true)
        };
        let d: [[Approx; 6]; 6] = std::array::from_fn(|k| std::array::from_fn(|l| of(k, l)));
        let all = |of: fn(&Approx) -> f64| d.each_ref().map(|row| row.each_ref().map(of));
        let sizes = BT.map(|row| row.map(f64::abs));
        let (i, j) = (matrix / 6, matrix % 6);
        let roundings = EPS * (ROUNDINGS[i] + ROUNDINGS[j]);
        // A value is rounded to f32 where it is made. Its error passes through the transform, whose own roundings add to it.
        let bound = |off: [[f64; 6]; 6], roundings: f64| {
            let handed_on = both(&sizes, &off)[i][j];
            let magnitude = both(&sizes, &all(|v| v.value.abs()))[i][j] + handed_on;
            handed_on + roundings * magnitude + if magnitude > 0.0 { TINY } else { 0.0 }
        };
        let wgsl = bound(all(|v| v.bound.wgsl), roundings);
        let strict = bound(all(|v| v.bound.strict), roundings / 2.0);
        Approx::new(both(&BT, &all(|v| v.value))[i][j], Bound { wgsl, strict })
    });
}
