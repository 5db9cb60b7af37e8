//! `guided_filter`: the outlines of the decoder's map taken from the query's colours (He, Sun and Tang, "Guided Image
//! Filtering", IEEE TPAMI 35, 2013, section 3.4). Not part of DiffewS; a model asks for it in its `diffews.json`.

use super::{Kernel, LANES, bands};
use crate::conformance::bound::{Approx, EPS, dot};
use crate::conformance::{Case, CaseBuilder, Fill, HostTensor};
use crate::plan::{Channels, Dispatch, Element, Recorder, Tensor, Tuning};
use bytemuck::{Pod, Zeroable};
use serde::{Deserialize, Serialize};
use std::cell::OnceCell;
use std::str::FromStr;

pub static KERNEL: Kernel = Kernel {
    name: "guided_filter",
    source: include_str!("../../shaders/guided_filter.wgsl"),
    variants: &[&["FIT"], &[]],
    tunings: &[Tuning::Tiled],
    cases,
};

/// How the map is filtered.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuidedFilter {
    /// Windows are of 2 radius + 1 pixels of the map a side; 0 leaves it as it is.
    pub radius: u32,
    /// What is added to the variances of colours in 0 to 1: edges far weaker than its root do not count.
    pub epsilon: f32,
}

impl GuidedFilter {
    pub const OFF: GuidedFilter = GuidedFilter { radius: 0, epsilon: 1e-4 };

    /// Fails for a radius above 64 or an epsilon outside 1e-6 to 1, with which f32 would not compute it well.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(self) -> Result<Self, String> {
        if self.radius > 64 {
            return Err(format!("a radius of {} pixels; it must be from 0 to 64", self.radius));
        }
        if !(1e-6..=1.0).contains(&self.epsilon) {
            return Err(format!("an epsilon of {}; it must be from 1e-6 to 1", self.epsilon));
        }
        Ok(self)
    }
}

/// `RADIUS` or `RADIUS,EPSILON`.
impl FromStr for GuidedFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (radius, epsilon) = text.split_once(',').map_or((text, None), |(r, e)| (r, Some(e)));
        let bad = || "it must be RADIUS or RADIUS,EPSILON, such as 8,1e-4".to_string();
        let radius = radius.trim().parse().map_err(|_| bad())?;
        let epsilon = epsilon.map_or(Ok(Self::OFF.epsilon), |e| e.trim().parse().map_err(|_| bad()))?;
        GuidedFilter { radius, epsilon }.check()
    }
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    height: u32,
    width: u32,
    y0: u32,
    rows: u32,
    first: u32,
    radius: u32,
    epsilon: f32,
    base_a: u32,
    base_guide: u32,
    base_out: u32,
    groups_x: u32,
}

/// What the decoder drew, `[H, W, 3]` in about -1 to 1, filtered by `guide`, `[H, W, 3]` in -1 to 1 and f32: the mean of its
/// clipped channels, three times.
pub fn record(r: &mut Recorder, drawn: &Tensor, guide: &Tensor, filter: GuidedFilter) -> Tensor {
    let name = format!("{}.fit", drawn.name);
    let fit = r.value_of(&name, drawn.height, drawn.width, Channels::one(4), Element::F32);
    // Colours in -1 to 1 have four times the variance of those in 0 to 1.
    pass(r, drawn, guide, &fit, true, filter.radius, 4.0 * filter.epsilon);
    let out = r.value(&format!("{}.filtered", drawn.name), drawn.height, drawn.width, Channels::one(3));
    pass(r, &fit, guide, &out, false, filter.radius, 0.0);
    out
}

fn pass(r: &mut Recorder, a: &Tensor, guide: &Tensor, out: &Tensor, fit: bool, radius: u32, epsilon: f32) {
    let (height, width) = (a.height, a.width);
    let one_vec4 = [a, guide, out].iter().all(|t| t.channels.vec4s() == 1);
    let alike = [guide, out].iter().all(|t| (t.height, t.width) == (height, width));
    r.check(one_vec4 && alike && guide.element == Element::F32, || {
        format!("guided_filter of {}: shapes do not fit", a.name)
    });
    let rows = |from: u32, to: u32| (from as u64 * width as u64, to as u64 * width as u64);
    // Every band reads `radius` rows more above and below.
    let row = width as u64 * guide.vec4_bytes(r.storage);
    let room = r.limits.max_binding.saturating_sub(2 * radius as u64 * row);
    for (y0, y1) in bands(height, row, room, r.limits.offset_alignment) {
        let (first, last) = (y0.saturating_sub(radius), (y1 + radius).min(height));
        let (window_a, base_a) = r.window(a, rows(first, last).0, rows(first, last).1);
        let (window_guide, base_guide) = r.window(guide, rows(first, last).0, rows(first, last).1);
        let (window_out, base_out) = r.window(out, rows(y0, y1).0, rows(y0, y1).1);
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
            base_a,
            base_guide,
            base_out,
            groups_x: workgroups[0],
        };
        r.push(Dispatch {
            kernel: &KERNEL,
            defines: if fit { vec!["FIT"] } else { vec![] },
            overrides: vec![],
            inputs: vec![window_a, window_guide],
            outputs: vec![window_out],
            params: bytemuck::bytes_of(&params).to_vec(),
            workgroups,
            flops: pixels * (2 * radius as u64 + 1).pow(2) * if fit { 34 } else { 4 },
        });
    }
}

/// The positions of the window around `p`.
fn window(p: usize, height: usize, width: usize, radius: usize) -> impl Iterator<Item = usize> {
    let (y, x) = (p / width, p % width);
    let columns = x.saturating_sub(radius)..(x + radius + 1).min(width);
    (y.saturating_sub(radius)..(y + radius + 1).min(height))
        .flat_map(move |y| columns.clone().map(move |x| y * width + x))
}

/// A mean of `n` terms and how far f32's may be off.
#[derive(Clone, Copy, Default)]
struct Mean {
    value: f64,
    error: f64,
}

/// Slopes and offset of the window around pixel `p`.
///
/// Bounds: differences from the pixel itself err by a unit, the means of n of them and of their products as sums do (see
/// `bound`); E[xy] - E[x] E[y] carries both. The 3 x 3 system is solved with a backward error of 24 u sqrt(S_jj S_kk): eight
/// units (three operations, two divisions of 2.5) for each of factorization and the two substitutions. The solution errs by
/// |S^-1| (dv + dS |slopes|), the offset by what it is made of.
fn fit(drawn: &HostTensor, guide: &HostTensor, p: usize, shape: (usize, usize, usize), epsilon: f64) -> [Approx; 4] {
    let level = |q| (0..3).map(|c| drawn.at(q, c).clamp(-1.0, 1.0)).sum::<f64>() / 3.0;
    let (height, width, radius) = shape;
    let differences: Vec<[f64; 4]> = window(p, height, width, radius)
        .map(|q| {
            let colour = |c| guide.at(q, c) - guide.at(p, c);
            [colour(0), colour(1), colour(2), level(q) - level(p)]
        })
        .collect();
    let n = differences.len();
    // Two levels of at most 1 err by two sums and a division each.
    let error = |d: &[f64; 4], c: usize| if c == 3 { 10.0 * EPS } else { EPS * d[c].abs() };
    let mean = |of: &dyn Fn(&[f64; 4]) -> (f64, f64)| {
        let (mut value, mut error, mut magnitude) = (0.0, 0.0, 0.0);
        for (v, e) in differences.iter().map(of) {
            (value, error, magnitude) = (value + v, error + e, magnitude + v.abs());
        }
        Mean { value: value / n as f64, error: (dot(n, magnitude) + 2.5 * EPS * magnitude + error) / n as f64 }
    };
    let means: [Mean; 4] = std::array::from_fn(|c| mean(&|d| (d[c], error(d, c))));
    let covariance = |j: usize, k: usize| {
        let product = mean(&|d| (d[j] * d[k], d[j].abs() * error(d, k) + d[k].abs() * error(d, j)));
        let (a, b) = (means[j], means[k]);
        let rounding = EPS * (product.value.abs() + 2.0 * (a.value * b.value).abs());
        let error = product.error + a.value.abs() * b.error + b.value.abs() * a.error + rounding;
        Mean { value: product.value - a.value * b.value, error }
    };
    let mut s = [[Mean::default(); 3]; 3];
    for (j, row) in s.iter_mut().enumerate() {
        for (k, element) in row.iter_mut().enumerate() {
            *element = covariance(j, k);
            if j == k {
                element.value += epsilon;
                element.error += EPS * element.value;
            }
        }
    }
    let v: [Mean; 3] = std::array::from_fn(|j| covariance(j, 3));
    let inverse = inverse(&s.map(|row| row.map(|m| m.value)));
    let times = |j: usize, x: &[f64; 3]| (0..3).map(|k| inverse[j][k] * x[k]).sum::<f64>();
    let slopes: [f64; 3] = std::array::from_fn(|j| times(j, &v.map(|m| m.value)));
    let residual: [f64; 3] = std::array::from_fn(|j| {
        let backward = |k: usize| s[j][k].error + 24.0 * EPS * (s[j][j].value * s[k][k].value).sqrt();
        v[j].error + (0..3).map(|k| backward(k) * slopes[k].abs()).sum::<f64>()
    });
    let errors: [f64; 3] = std::array::from_fn(|j| (0..3).map(|k| inverse[j][k].abs() * residual[k]).sum());
    let place: [f64; 3] = std::array::from_fn(|j| guide.at(p, j) + means[j].value);
    let (mut offset, mut error) = (level(p) + means[3].value, means[3].error + 6.0 * EPS * level(p).abs());
    let mut magnitude = offset.abs();
    for j in 0..3 {
        offset -= slopes[j] * place[j];
        error += errors[j] * place[j].abs() + slopes[j].abs() * means[j].error;
        magnitude += (slopes[j] * place[j]).abs();
    }
    let slope = |j: usize| Approx::new(slopes[j], errors[j]);
    [slope(0), slope(1), slope(2), Approx::new(offset, error + 4.0 * EPS * magnitude)]
}

/// Of a symmetric positive 3 x 3 matrix, by its cofactors.
fn inverse(s: &[[f64; 3]; 3]) -> [[f64; 3]; 3] {
    let minor = |j: usize, k: usize| {
        let (a, b, c, d) = ((j + 1) % 3, (j + 2) % 3, (k + 1) % 3, (k + 2) % 3);
        s[a][c] * s[b][d] - s[a][d] * s[b][c]
    };
    let determinant: f64 = (0..3).map(|k| s[0][k] * minor(0, k)).sum();
    std::array::from_fn(|j| std::array::from_fn(|k| minor(k, j) / determinant))
}

/// The mean of the functions of the windows around `p`, at its colour. Bounds: four means of n terms, a product of four.
fn applied(fit: &HostTensor, guide: &HostTensor, p: usize, (height, width, radius): (usize, usize, usize)) -> Approx {
    let (mut sums, mut magnitudes, mut n) = ([0.0; 4], [0.0; 4], 0);
    for q in window(p, height, width, radius) {
        n += 1;
        for c in 0..4 {
            sums[c] += fit.at(q, c);
            magnitudes[c] += fit.at(q, c).abs();
        }
    }
    let (mut value, mut error) = (0.0, 0.0);
    for c in 0..4 {
        let colour = if c == 3 { 1.0 } else { guide.at(p, c) };
        value += sums[c] / n as f64 * colour;
        error += (dot(n, magnitudes[c]) + (2.5 + 4.0) * EPS * magnitudes[c]) / n as f64 * colour.abs();
    }
    Approx::new(value, error)
}

fn cases() -> Vec<Case> {
    // height, width, radius, epsilon, spread of the colours
    let shapes = [
        (160, 160, 8, 4e-4, 0.3),
        (64, 48, 8, 4e-4, 0.01),
        (7, 5, 3, 4e-6, 0.3),
        (1, 1, 2, 4e-4, 0.3),
        (3, 70, 64, 4.0, 1.0),
    ];
    let both = |shape| [case(shape, true), case(shape, false)];
    let mut cases: Vec<Case> = shapes.into_iter().flat_map(both).collect();
    for fit in [true, false] {
        // Bands of an odd number of odd rows: windows begin between two aligned addresses.
        cases.push(case((61, 19, 3, 4e-4, 0.3), fit).with_binding_limit(6 * 1024));
        cases.push(case((67, 19, 0, 4e-4, 0.3), fit).with_workgroup_limit(7));
    }
    cases
}

fn case((height, width, radius, epsilon, std): (u32, u32, u32, f32, f64), is_fit: bool) -> Case {
    let what = if is_fit { "fit" } else { "apply" };
    let name = format!("{what} {height}x{width} radius {radius} epsilon {epsilon:e} spread {std}");
    Case::new(&KERNEL, name, move |b: &mut CaseBuilder| {
        let colours = Fill::Normal { mean: 0.2, std };
        let guide = b.input("guide", height, width, Channels::one(3), Element::F32, colours);
        let shape = (height as usize, width as usize, radius as usize);
        if is_fit {
            let fill = Fill::Normal { mean: -0.3, std: 0.8 };
            let drawn = b.input("drawn", height, width, Channels::one(3), Element::Stored, fill);
            let out = b.recorder.value_of("fit", height, width, Channels::one(4), Element::F32);
            pass(&mut b.recorder, &drawn.tensor, &guide.tensor, &out, true, radius, epsilon);
            let exact: Vec<OnceCell<[Approx; 4]>> = vec![OnceCell::new(); drawn.rows()];
            b.expect(&out, move |p, c| exact[p].get_or_init(|| fit(&drawn, &guide, p, shape, epsilon.into()))[c]);
        } else {
            let fill = Fill::Normal { mean: 0.0, std: 1.0 };
            let coefficients = b.input("fit", height, width, Channels::one(4), Element::F32, fill);
            let out = b.recorder.value("filtered", height, width, Channels::one(3));
            pass(&mut b.recorder, &coefficients.tensor, &guide.tensor, &out, false, radius, 0.0);
            b.expect(&out, move |p, _| applied(&coefficients, &guide, p, shape));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_and_checked() {
        assert_eq!("8".parse(), Ok(GuidedFilter { radius: 8, epsilon: 1e-4 }));
        assert_eq!("4, 0.01".parse(), Ok(GuidedFilter { radius: 4, epsilon: 0.01 }));
        assert_eq!("0".parse::<GuidedFilter>().unwrap().radius, 0);
        for bad in ["", "x", "8,", "-1", "65", "8,0", "8,NaN", "8,2", "8,1e-4,3"] {
            assert!(bad.parse::<GuidedFilter>().is_err(), "{bad}");
        }
    }
}
