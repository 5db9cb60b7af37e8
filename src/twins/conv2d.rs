//! The f64 twin of `conv2d` and its cases.

mod blocks;
mod edges;
mod normalized;
mod winograd;

use crate::check::bound::{Approx, Bound, EPS, TINY};
use crate::check::sum::Sum;
use crate::check::{Case, CaseBuilder, Fill, HostTensor, HostWeight};
use crate::kernels::conv2d::{Epilogue, Geometry, KERNEL, Layer, Weights, record};
use crate::plan::{Channels, Element};
use crate::shader::Sums;
use winograd::Winograd;

/// One output before its epilogue: a sum of products that begins with the bias.
fn sum(x: &HostTensor, w: &HostWeight, bias: f64, g: Geometry, (y, col): (usize, usize), n: usize) -> Sum {
    let up = if g.upsample { 2 } else { 1 };
    let (height, width) = (x.tensor.height as i64 * up, x.tensor.width as i64 * up);
    let mut sum = Sum::from(bias);
    for ky in 0..g.kernel {
        for kx in 0..g.kernel {
            let at = |o: usize, k: u32| (o as u32 * g.stride + k) as i64 - g.pad.0 as i64;
            let (sy, sx) = (at(y, ky), at(col, kx));
            if sy < 0 || sx < 0 || sy >= height || sx >= width {
                continue;
            }
            let position = (sy / up * x.tensor.width as i64 + sx / up) as usize;
            let tap = (ky * g.kernel + kx) as usize;
            for c in 0..x.channels() {
                sum.add(x.at(position, c) * w.at(n, c, tap));
            }
        }
    }
    sum
}

fn plain(sum: &Sum) -> Approx {
    Approx::new(sum.value(), sum.products())
}

/// Adding the residual is not rounded if the sum with it as a term is exact.
fn with_residual(sum: &Sum, residual: f64) -> Approx {
    let mut all = *sum;
    all.add(residual);
    let rounding = if all.is_exact() { Bound::default() } else { Bound::rounding(all.value()) };
    Approx::new(all.value(), sum.products() + rounding)
}

/// GELU's tail is exp(-x^2/2) times a fit within 7.2e-9. Relative to the tail, the errors are a division (2.5 ulp), ten multiply-adds, and
/// two exp of an argument -x^2/2, (3 + 2 * argument) ulp each (WGSL).
fn geglu(hidden: Approx, gate: Approx) -> Approx {
    let tail = |g: f64| 0.5 * libm::erfc(g.abs() / std::f64::consts::SQRT_2);
    let phi = |g: f64| if g < 0.0 { tail(g) } else { 1.0 - tail(g) };
    let slope = |g: f64| phi(g) + g * (-g * g / 2.0).exp() / std::f64::consts::TAU.sqrt();
    let g = gate.value;
    let exponent = g * g / 2.0;
    // A subnormal tail, or a subnormal product of it, may be flushed to zero, and later products magnify that.
    let flushed = TINY * (1.0 + g.abs());
    let error = g.abs() * tail(g) * (7.2e-9 + EPS * (24.0 + 4.0 * exponent)) + EPS * (g * phi(g)).abs() + flushed;
    let gelu = gate.through(|g| g * phi(g), slope, error);
    let value = hidden.value * gelu.value;
    let moved = hidden.bound * gelu.value.abs() + gelu.bound * hidden.value.abs() + hidden.bound * gelu.bound;
    Approx::new(value, moved + Bound::rounding(value) + TINY)
}

/// (1 - e) / (1 + e) with e = exp(-2 |x|): exp errs by (3 + 2 |2 x|) ulp relative to e, then three roundings.
fn tanh(x: Approx) -> Approx {
    let e = (-2.0 * x.value.abs()).exp();
    let error = EPS * (e * (3.0 + 4.0 * x.value.abs()) * 2.0 / (1.0 + e) + 4.0 * x.value.tanh().abs());
    x.through(f64::tanh, |x| 1.0 - x.tanh().powi(2), error)
}

#[derive(Clone, Copy, PartialEq)]
enum Act {
    None,
    Residual,
    Geglu,
    Tanh,
}

struct Shape {
    size: (u32, u32),
    cin: Channels,
    cout: u32,
    geometry: Geometry,
    act: Act,
    /// Integers, whose sums are exact.
    whole: bool,
}

/// The contents of the input, the weight, the bias and the residual.
#[derive(Clone, Copy)]
struct Fills {
    x: Fill,
    weight: Fill,
    bias: Fill,
    residual: Fill,
}

impl Shape {
    fn case(self) -> Case {
        let g = self.geometry;
        let kind = match (g.kernel, g.stride, g.upsample) {
            (1, ..) => "linear".to_string(),
            (k, s, up) => format!("{k}x{k} stride {s} pad {:?}{}", g.pad, if up { " upsampled" } else { "" }),
        };
        let act = ["", " + residual", " geglu", " tanh"][self.act as usize];
        let whole = if self.whole { ", whole numbers" } else { "" };
        let name = format!("{}x{}x{}->{} {kind}{act}{whole}", self.size.0, self.size.1, self.cin.logical(), self.cout);
        let fills = self.fills();
        Case::new(&KERNEL, name, move |b| self.build(b, fills))
    }

    fn taps(&self) -> u32 {
        self.geometry.kernel * self.geometry.kernel
    }

    fn fills(&self) -> Fills {
        let products = self.taps() * self.cin.logical();
        let normal = |std: f64| Fill::Normal { mean: 0.0, std };
        let (mut filled, mut added) =
            ([normal(1.0), normal(f64::from(products).sqrt().recip())], [normal(0.5), normal(1.0)]);
        if self.whole {
            // The sums are some hundreds, or about 1 where an activation would saturate.
            let flat = [Act::Geglu, Act::Tanh].contains(&self.act);
            let unit = [1.0 / 64.0, if flat { 2f64.powi(-14) } else { 2f64.powi(-8) }];
            filled = Fill::products(products, unit);
            added = [Fill::Whole { unit: unit[0] * unit[1], most: [4095; 2] }; 2];
        }
        Fills { x: filled[0], weight: filled[1], bias: added[0], residual: added[1] }
    }

    fn build(&self, b: &mut CaseBuilder, fills: Fills) {
        let weights = self.weights(b, fills);
        self.build_with(b, weights, fills);
    }

    /// Weight and bias.
    fn weights(&self, b: &mut CaseBuilder, fills: Fills) -> (HostWeight, HostTensor) {
        let out = Channels::one(self.cout);
        let channels = if self.act == Act::Geglu { out.concat(&out) } else { out };
        let weight = b.weight("weight", self.taps(), &self.cin, &channels, fills.weight);
        (weight, b.input("bias", 1, 1, channels, Element::F32, fills.bias))
    }

    fn build_with(&self, b: &mut CaseBuilder, (weight, bias): (HostWeight, HostTensor), fills: Fills) {
        let (g, act) = (self.geometry, self.act);
        let out = Channels::one(self.cout);
        let x = b.input("x", self.size.0, self.size.1, self.cin.clone(), b.values(), fills.x);
        let weights = Weights { weight: weight.param.clone(), bias: bias.tensor.clone() };
        let (height, width) = (g.out(self.size.0), g.out(self.size.1));
        let residual =
            (act == Act::Residual).then(|| b.input("residual", height, width, out, b.values(), fills.residual));
        let epilogue = match (act, &residual) {
            (Act::Residual, Some(t)) => Epilogue::Residual(&t.tensor),
            (Act::Geglu, _) => Epilogue::Geglu,
            (Act::Tanh, _) => Epilogue::Tanh,
            _ => Epilogue::None,
        };
        let result = record(&mut b.recorder, "out", &x.tensor, &weights, g, epilogue);
        let winograd = of_winograd(b);
        let winograd = winograd.then(|| Winograd::new(x.clone(), weight.clone(), g.upsample, stored(b)));
        let gate = self.cout as usize;
        b.expect(&result, move |p, n| {
            let at = (p / width as usize, p % width as usize);
            let value = sum(&x, &weight, bias.at(0, n), g, at, n);
            if let Some(winograd) = &winograd {
                let bound = winograd.bound(at, n) + Bound::rounding(value.value());
                let all = value.value() + residual.as_ref().map_or(0.0, |t| t.at(p, n));
                let last = if residual.is_some() { Bound::rounding(all) } else { Bound::default() };
                return Approx::new(all, bound + last);
            }
            match act {
                Act::None => plain(&value),
                Act::Residual => with_residual(&value, residual.as_ref().map_or(0.0, |t| t.at(p, n))),
                Act::Geglu => geglu(plain(&value), plain(&sum(&x, &weight, bias.at(0, gate + n), g, at, gate + n))),
                Act::Tanh => tanh(plain(&value)),
            }
        });
    }
}

/// Whether the recorded form uses Winograd's algorithm.
fn of_winograd(b: &CaseBuilder) -> bool {
    let form = b.recorder.form_of(KERNEL.name).and_then(|name| KERNEL.form(name));
    form.is_some_and(|form| form.sums == Sums::Winograd)
}

/// The storage of the recorded weights.
fn stored(b: &CaseBuilder) -> Element {
    b.recorder.weights_of(KERNEL.name).unwrap_or(b.recorder.storage.weights)
}

/// A layer of a model, with normally distributed data.
pub(super) fn case_of(layer: &Layer) -> Option<Case> {
    let act = match layer.epilogue {
        None => Act::None,
        Some("RESIDUAL") => Act::Residual,
        Some("GEGLU") => Act::Geglu,
        Some("TANH") => Act::Tanh,
        Some(_) => return None,
    };
    let (cin, cout) = (Channels::one(4 * layer.in_c4), 4 * layer.out_n4);
    Some(Shape { size: layer.input, cin, cout, geometry: layer.geometry, act, whole: false }.case())
}

pub fn cases() -> Vec<Case> {
    let one = Channels::one;
    let down = |pad| Geometry { kernel: 3, stride: 2, pad, upsample: false };
    let up = Geometry { upsample: true, ..Geometry::SAME };
    let (linear, same) = (Geometry::LINEAR, Geometry::SAME);
    // Production shapes, with integers, except for one of each kind of sum.
    let production = [
        ((32, 32), one(1024), 1024, linear, Act::None),
        ((64, 64), one(320), 320, same, Act::Residual),
        ((16, 16), one(1280), 1280, linear, Act::Residual),
        ((32, 32), one(640), 2560, linear, Act::Geglu),
        ((64, 64), one(320), 5, linear, Act::Tanh),
        ((64, 64), one(4), 320, same, Act::None),
        ((128, 128), one(128), 3, same, Act::None),
        ((64, 64), one(128), 128, down((0, 1)), Act::None),
        ((32, 32), one(320), 320, down((1, 1)), Act::None),
        ((16, 16), one(256), 256, up, Act::None),
        ((16, 16), one(640).concat(&one(320)), 320, same, Act::None),
    ];
    let random = [
        ((32, 32), one(1024), 1024, linear, Act::None),
        ((32, 32), one(640), 2560, linear, Act::Geglu),
        ((64, 64), one(320), 5, linear, Act::Tanh),
        ((32, 32), one(320), 320, down((1, 1)), Act::None),
        // A long sum for few elements.
        ((2, 2), one(700), 5, same, Act::Residual),
        // Ragged shapes.
        ((1, 1), one(1), 1, linear, Act::None),
        ((1, 1), one(7), 9, same, Act::Residual),
        ((7, 5), one(6), 10, same, Act::None),
        ((33, 1), one(18), 30, linear, Act::Geglu),
        ((1, 67), one(13), 70, linear, Act::Tanh),
        // Few columns, which have forms of their own.
        ((9, 7), one(13), 3, same, Act::Residual),
        ((39, 1), one(18), 3, linear, Act::Geglu),
        ((1, 53), one(13), 4, linear, Act::Tanh),
        ((11, 13), one(10), 3, down((0, 1)), Act::None),
        ((3, 5), Channels::heads(3, 10), 4, up, Act::None),
        ((12, 10), one(10), 8, down((1, 1)), Act::None),
        ((5, 7), one(22), 12, up, Act::Residual),
        ((39, 1), one(18), 10, linear, Act::Geglu),
        ((1, 53), one(13), 6, linear, Act::Tanh),
        ((9, 7), one(5).concat(&one(6)), 33, same, Act::Residual),
        ((11, 13), one(10), 67, down((0, 1)), Act::None),
        ((12, 10), one(10), 66, down((1, 1)), Act::None),
        ((3, 5), Channels::heads(3, 10), 34, up, Act::None),
    ];
    let shape = |(size, cin, cout, geometry, act)| Shape { size, cin, cout, geometry, act, whole: false };
    let whole = |of| Shape { whole: true, ..shape(of) };
    let mut cases: Vec<Case> = production.into_iter().map(|s| whole(s).case()).collect();
    cases.extend(random.into_iter().map(|s| shape(s).case()));
    // Small shapes, in every form.
    for (cout, geometry, act) in
        [(3, same, Act::None), (10, same, Act::Residual), (67, linear, Act::None), (9, linear, Act::Geglu)]
    {
        cases.push(whole(((9, 7), one(22), cout, geometry, act)).case());
    }
    // About as many channels as its loops can process. Tiles compute whole blocks, which are mostly padding here.
    for (size, cin, geometry) in [((1, 2), 236_003, linear), ((2, 1), 26_001, same)] {
        cases.push(whole((size, one(cin), 5, geometry, Act::None)).case());
    }
    // More workgroups than fit in one dimension, in every form of the kernel. Forms for few columns need cases of their own.
    cases.push(shape(((300, 64), one(4), 3, linear, Act::None)).case().with_workgroup_limit(35));
    cases.push(shape(((300, 64), one(4), 9, linear, Act::Residual)).case().with_workgroup_limit(35));
    cases.push(shape(((300, 64), one(4), 70, linear, Act::None)).case().with_workgroup_limit(61));
    cases.push(shape(((41, 67), one(6), 40, same, Act::Residual)).case().with_workgroup_limit(19));
    // Larger than a binding: bands of rows with their halo.
    for (geometry, act) in [(same, Act::Residual), (down((0, 1)), Act::None), (up, Act::None), (linear, Act::None)] {
        cases.push(shape(((37, 19), one(12), 20, geometry, act)).case().with_binding_limit(12 * 1024));
        cases.push(shape(((37, 19), one(12), 3, geometry, act)).case().with_binding_limit(8 * 1024));
    }
    // Winograd's tiles in several bands, whose windows begin at unaligned addresses.
    for (geometry, act) in [(same, Act::Residual), (up, Act::None)] {
        cases.push(
            shape(((61, 19), one(12), 20, geometry, act)).case().with_binding_limit(200 * 1024).with_alignment(256),
        );
    }
    cases.extend(blocks::cases());
    cases.extend(edges::cases());
    cases.extend(normalized::cases());
    cases.into_iter().map(Case::with_weights).collect()
}
