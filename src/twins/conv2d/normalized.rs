//! Convolutions with a normalization first, which some forms apply band by band.

use super::{Act, Geometry, KERNEL, Shape, Winograd, of_winograd, stored, sum};
use crate::check::bound::{Approx, Bound, EPS};
use crate::check::{Case, CaseBuilder, Fill, HostTensor};
use crate::kernels::conv2d::{Epilogue, Normalized, Weights, record_normalized};
use crate::plan::{Channels, Element};
use crate::twins::affine;

/// Height and width, channels of a and b, outputs, and whether to add a residual.
type Size = ((u32, u32), u32, u32, u32, bool);

pub(super) fn cases() -> Vec<Case> {
    let case = |size: Size| {
        let ((h, w), a, b, cout, residual) = size;
        let residual = if residual { " + residual" } else { "" };
        Case::new(&KERNEL, format!("{h}x{w}x({a}+{b})->{cout} normalized first{residual}"), move |c| build(c, size))
    };
    vec![
        // Several bands of tiles.
        case(((61, 19), 12, 0, 8, true)).with_binding_limit(120 * 1024).with_alignment(256),
        case(((100, 9), 5, 6, 33, false)).with_binding_limit(340 * 1024).with_alignment(256),
        case(((5, 3), 6, 0, 3, true)),
    ]
}

fn build(b: &mut CaseBuilder, ((h, w), ca, cb, cout, residual): Size) {
    let normal = |std| Fill::Normal { mean: 0.0, std };
    let x = b.input("a", h, w, Channels::one(ca), b.values(), normal(1.0));
    let y = (cb > 0).then(|| b.input("b", h, w, Channels::one(cb), b.values(), normal(1.0)));
    let inputs = y.as_ref().map_or(x.tensor.channels.clone(), |y| x.tensor.channels.concat(&y.tensor.channels));
    let scale_shift = b.input("affine", 1, 2, inputs.clone(), Element::F32, Fill::Normal { mean: 0.7, std: 1.0 });
    let shape =
        Shape { size: (h, w), cin: inputs.clone(), cout, geometry: Geometry::SAME, act: Act::None, whole: false };
    let fills = shape.fills();
    let weight = b.weight("weight", 9, &inputs, &Channels::one(cout), fills.weight);
    let bias = b.input("bias", 1, 1, Channels::one(cout), Element::F32, fills.bias);
    let weights = Weights { weight: weight.param.clone(), bias: bias.tensor.clone() };
    let source = Normalized { a: &x.tensor, b: y.as_ref().map(|y| &y.tensor), scale_shift: &scale_shift.tensor };
    let residual = residual.then(|| b.input("residual", h, w, Channels::one(cout), b.values(), fills.residual));
    let epilogue = residual.as_ref().map_or(Epilogue::None, |t| Epilogue::Residual(&t.tensor));
    let out = record_normalized(&mut b.recorder, "out", source, &weights, Geometry::SAME, epilogue);

    // The normalized input, rounded to f32, and its bound.
    let (n, half) = ((ca + cb) as usize, b.values().is_half());
    let of = |p: usize, c: usize| {
        let v = if c < ca as usize { x.at(p, c) } else { y.as_ref().map_or(0.0, |y| y.at(p, c - ca as usize)) };
        affine::twin(v, scale_shift.at(0, c), scale_shift.at(1, c), true)
    };
    let drawn = !x.values.is_empty();
    let all: Vec<Approx> = (0..if drawn { x.rows() * n } else { 0 }).map(|i| of(i / n, i % n)).collect();
    let rounded = |v: &Approx| {
        let of_half = 2f64.powi(-10) * v.value.abs() + 2f64.powi(-24);
        let flushed = if v.value.abs() < 6.2e-5 { v.value.abs() } else { 0.0 };
        let rounding = if half { Bound { wgsl: of_half + flushed, strict: of_half / 2.0 } } else { Bound::default() };
        v.bound + EPS * v.value.abs() + rounding
    };
    let off: Vec<Bound> = all.iter().map(rounded).collect();
    let values = HostTensor::of(&x.tensor, inputs, all.iter().map(|v| v.value as f32).collect());
    let of_winograd = of_winograd(b).then(|| Winograd::new(values.clone(), weight.clone(), false, stored(b)));
    let (h, w) = (h as usize, w as usize);
    b.expect(&out, move |p, o| {
        let (row, column) = (p / w, p % w);
        let sum = sum(&values, &weight, bias.at(0, o), Geometry::SAME, (row, column), o);
        let own = match &of_winograd {
            Some(winograd) => winograd.bound((row, column), o) + Bound::rounding(sum.value()),
            None => sum.products(),
        };
        let taps = (0..9).map(|tap| (tap, row + tap / 3, column + tap % 3));
        let inside = taps.filter(|&(_, y, x)| (1..=h).contains(&y) && (1..=w).contains(&x));
        let handed_on = inside.flat_map(|(tap, y, x)| (0..n).map(move |c| (tap, ((y - 1) * w + x - 1) * n + c, c)));
        let handed_on: Bound = handed_on.map(|(tap, i, c)| off[i] * weight.at(o, c, tap).abs()).sum();
        let Some(residual) = &residual else { return Approx::new(sum.value(), own + handed_on) };
        let all = sum.value() + residual.at(p, o);
        Approx::new(all, own + handed_on + Bound::rounding(all))
    });
}
