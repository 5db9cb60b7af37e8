//! `guided_filter`: the outlines of the decoder's map taken from the query's colours (He, Sun and Tang, "Guided Image
//! Filtering", IEEE TPAMI 35, 2013, section 3.4). Not part of DiffewS; a model asks for it in its `diffews.json`.

use super::{Kernel, LANES, bands};
use crate::conformance::bound::{Approx, EPS, dot};
use crate::conformance::{Case, CaseBuilder, Fill, HostTensor};
use crate::plan::{Channels, Dispatch, Element, Recorder, Tensor, Tuning, turns};
use bytemuck::{Pod, Zeroable};
use serde::{Deserialize, Serialize};
use std::cell::OnceCell;
use std::str::FromStr;

pub static KERNEL: Kernel = Kernel {
    name: "guided_filter",
    source: include_str!("../../shaders/guided_filter.wgsl"),
    variants: &[&["ROWS", "MOMENTS"], &["FIT"], &["ROWS", "SPREAD"], &["APPLY"]],
    tunings: &[Tuning::Tiled],
    cases,
};

/// Where none is given.
const EPSILON: f64 = 1e-5;

/// How the map is filtered.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuidedFilter {
    /// Windows are of 2 radius + 1 pixels of the map a side; 0 leaves it as it is.
    pub radius: u32,
    /// What is added to the variances of colours in 0 to 1: edges far weaker than its root do not count.
    pub epsilon: f64,
}

impl GuidedFilter {
    pub const OFF: GuidedFilter = GuidedFilter { radius: 0, epsilon: EPSILON };

    /// Fails for a radius above 64, whose windows are larger than the embedded model's pictures, or an epsilon outside 1e-6 to 1:
    /// below, f32's own roundings are edges; above, none is one.
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
        let bad = || "it must be RADIUS or RADIUS,EPSILON, such as 8,1e-5".to_string();
        let radius = radius.trim().parse().map_err(|_| bad())?;
        let epsilon = epsilon.map_or(Ok(EPSILON), |e| e.trim().parse().map_err(|_| bad()))?;
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
    base_in: u32,
    base_guide: u32,
    base_out: u32,
    groups_x: u32,
}

/// What the decoder drew, `[H, W, 3]` in about -1 to 1, filtered by `guide`, `[H, W, 3]` in -1 to 1 and f32: the mean of its
/// clipped channels, three times.
pub fn record(r: &mut Recorder, drawn: &Tensor, guide: &Tensor, filter: GuidedFilter) -> Tensor {
    // Colours in -1 to 1 have four times the variance of those in 0 to 1.
    let fitted = fit(r, drawn, guide, filter.radius, 4.0 * filter.epsilon as f32);
    apply(r, &fitted, guide, filter.radius)
}

/// Slopes and offset of each pixel's window, `[H, W, 4]`.
fn fit(r: &mut Recorder, drawn: &Tensor, guide: &Tensor, radius: u32, epsilon: f32) -> Tensor {
    let mut value = |what: &str, channels: u32| {
        let name = format!("{}.{what}", drawn.name);
        r.value_of(&name, drawn.height, drawn.width, Channels::one(channels), Element::F32)
    };
    let (moments, fitted) = (value("moments", 16), value("fitted", 4));
    pass(r, "MOMENTS", drawn, Some(guide), &moments, (radius, 0.0));
    pass(r, "FIT", &moments, None, &fitted, (radius, epsilon));
    fitted
}

/// The mean of the functions of each pixel's windows at its colour, `[H, W, 3]`.
fn apply(r: &mut Recorder, fitted: &Tensor, guide: &Tensor, radius: u32) -> Tensor {
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
    // Passes over columns read so many rows more above and below.
    let along_rows = ["MOMENTS", "SPREAD"].contains(&define);
    let halo = if along_rows { 0 } else { radius };
    let row = |t: &Tensor| width as u64 * t.channels.vec4s() as u64;
    let bytes = all.iter().flatten().map(|t| row(t) * t.vec4_bytes(r.storage)).max().unwrap_or(0);
    // Multiplications and additions for each pixel of a window's row or column.
    let (of_each, loops) = match define {
        "MOMENTS" => (38, 2),
        "FIT" => (35, 2),
        _ => (4, 1),
    };
    let work = (2 * radius as u64 + 1) * of_each;
    let longest = (2 * radius as u64 + 1).min(if along_rows { width } else { height } as u64);
    let most = (r.limits.max_flops / (width as u64 * work)).max(1);
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
            defines: if along_rows { vec!["ROWS", define] } else { vec![define] },
            overrides: vec![],
            inputs: std::iter::once(window_in).chain(window_guide).collect(),
            outputs: vec![window_out],
            params: bytemuck::bytes_of(&params).to_vec(),
            workgroups,
            flops: pixels * work,
            padding: 0,
            turns: loops * turns(longest, 0),
        });
    }
}

/// Height, width and radius.
type Shape = (usize, usize, usize);

/// The positions of the window around `p`.
fn window(p: usize, (height, width, radius): Shape) -> impl Iterator<Item = usize> {
    let (y, x) = (p / width, p % width);
    let columns = x.saturating_sub(radius)..(x + radius + 1).min(width);
    (y.saturating_sub(radius)..(y + radius + 1).min(height))
        .flat_map(move |y| columns.clone().map(move |x| y * width + x))
}

/// Slopes and offset of the window around pixel `p`.
///
/// Bounds: a mean of n terms is made of two, of a row's and of the rows', and errs as a sum of n does (see `bound`) and by
/// two divisions of 2.5 units: m. Deviations from means that are off by m, whose products' magnitudes sum to at most
/// n s_j s_k (s^2 the variances), make covariances off by u (sqrt(n) + 9) s_j s_k + s_j m_k + s_k m_j + m_j m_k. A level
/// errs by five units of its channels' magnitude itself: two sums and a division. The 3 x 3 system is solved with a
/// backward error of 24 u sqrt(S_jj S_kk): eight units (three operations, two divisions of 2.5) for each of factorization
/// and the two substitutions. The solution errs by |S^-1| (dv + dS |slopes|), the offset by what it is made of.
fn exact_fit(drawn: &HostTensor, guide: &HostTensor, p: usize, shape: Shape, epsilon: f64) -> [Approx; 4] {
    let level = |q| (0..3).map(|c| drawn.at(q, c).clamp(-1.0, 1.0)).sum::<f64>() / 3.0;
    let pixels: Vec<[f64; 4]> =
        window(p, shape).map(|q| [guide.at(q, 0), guide.at(q, 1), guide.at(q, 2), level(q)]).collect();
    let n = pixels.len();
    let mean_of = |of: &dyn Fn(&[f64; 4]) -> f64| pixels.iter().map(of).sum::<f64>() / n as f64;
    let mean: [f64; 4] = std::array::from_fn(|c| mean_of(&|v| v[c]));
    let channels =
        window(p, shape).flat_map(|q| (0..3).map(move |c| drawn.at(q, c).abs().min(1.0) / 3.0)).sum::<f64>() / n as f64;
    let mean_error: [f64; 4] = std::array::from_fn(|c| {
        let magnitude = mean_of(&|v| v[c].abs());
        dot(n, magnitude) + 5.0 * EPS * magnitude + if c == 3 { 5.0 * EPS * channels } else { 0.0 }
    });
    let covariance = |j: usize, k: usize| mean_of(&|v| (v[j] - mean[j]) * (v[k] - mean[k]));
    let spread: [f64; 4] = std::array::from_fn(|c| covariance(c, c).sqrt());
    let covariance_error = |j: usize, k: usize| {
        (dot(n, spread[j] * spread[k]) + 8.0 * EPS * spread[j] * spread[k])
            + spread[j] * mean_error[k]
            + spread[k] * mean_error[j]
            + mean_error[j] * mean_error[k]
    };
    let s: [[f64; 3]; 3] =
        std::array::from_fn(|j| std::array::from_fn(|k| covariance(j, k) + if j == k { epsilon } else { 0.0 }));
    let inverse = inverse(&s);
    let slopes: [f64; 3] = std::array::from_fn(|j| (0..3).map(|k| inverse[j][k] * covariance(k, 3)).sum());
    let residual: [f64; 3] = std::array::from_fn(|j| {
        let backward = |k: usize| covariance_error(j, k) + 24.0 * EPS * (s[j][j] * s[k][k]).sqrt();
        covariance_error(j, 3) + (0..3).map(|k| backward(k) * slopes[k].abs()).sum::<f64>()
    });
    let errors: [f64; 3] = std::array::from_fn(|j| (0..3).map(|k| inverse[j][k].abs() * residual[k]).sum());
    let (mut offset, mut error, mut magnitude) = (mean[3], mean_error[3], mean[3].abs());
    for j in 0..3 {
        offset -= slopes[j] * mean[j];
        error += errors[j] * mean[j].abs() + slopes[j].abs() * mean_error[j];
        magnitude += (slopes[j] * mean[j]).abs();
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

/// The mean of the functions of the windows around `p`, at its colour. Bounds: four means of n terms, as above, and the sum of
/// four products.
fn exact_apply(fitted: &HostTensor, guide: &HostTensor, p: usize, shape: Shape) -> Approx {
    let (mut value, mut error) = (0.0, 0.0);
    for c in 0..4 {
        let colour = if c == 3 { 1.0 } else { guide.at(p, c) };
        let terms: Vec<f64> = window(p, shape).map(|q| fitted.at(q, c)).collect();
        let n = terms.len();
        let magnitude = terms.iter().map(|v| v.abs()).sum::<f64>() / n as f64;
        value += terms.iter().sum::<f64>() / n as f64 * colour;
        error += (dot(n, magnitude) + (5.0 + 4.0) * EPS * magnitude) * colour.abs();
    }
    Approx::new(value, error)
}

/// How a guide's colours lie: about the same mean, with a spread that all channels share and one that each has.
#[derive(Clone, Copy)]
struct Colours {
    shared: f64,
    own: f64,
}

fn cases() -> Vec<Case> {
    let colours = |shared, own| Colours { shared, own };
    // height, width, radius, epsilon, colours
    let shapes = [
        (160, 160, 8, 4e-5, colours(0.0, 0.3)),
        (64, 48, 8, 4e-4, colours(0.0, 0.01)),
        // Nearly grey, and of one colour: what the system's condition is worst with.
        (48, 64, 8, 4e-5, colours(0.5, 0.002)),
        (33, 31, 5, 4e-6, colours(0.5, 0.0)),
        (33, 31, 5, 4e-6, colours(0.0, 0.0)),
        (7, 5, 3, 4e-6, colours(0.0, 0.3)),
        (1, 1, 2, 4e-4, colours(0.0, 0.3)),
        (3, 70, 64, 4.0, colours(0.0, 1.0)),
        // Whole windows of the largest radius.
        (2, 131, 64, 4.0, colours(0.0, 1.0)),
        (131, 2, 64, 4.0, colours(0.0, 1.0)),
    ];
    let both = |shape| [case(shape, true), case(shape, false)];
    let mut cases: Vec<Case> = shapes.into_iter().flat_map(both).collect();
    for fit in [true, false] {
        // Rows of an odd number of vec4s, in bands: windows begin between two aligned addresses.
        cases.push(case((61, 19, 3, 4e-4, colours(0.0, 0.3)), fit).with_binding_limit(18 * 1024));
        cases.push(case((67, 19, 0, 4e-4, colours(0.0, 0.3)), fit).with_workgroup_limit(7));
    }
    cases
}

fn case((height, width, radius, epsilon, colours): (u32, u32, u32, f32, Colours), is_fit: bool) -> Case {
    let Colours { shared, own } = colours;
    let what = if is_fit { "fit" } else { "apply" };
    let name = format!("{what} {height}x{width} radius {radius} epsilon {epsilon:e} spread {shared}+{own}");
    Case::new(&KERNEL, name, move |b: &mut CaseBuilder| {
        let mut rng = fastrand::Rng::with_seed(7);
        let guide = (0..height * width).flat_map(|_| {
            let grey = 0.2 + shared * (2.0 * rng.f64() - 1.0);
            std::array::from_fn::<f32, 3, _>(|_| (grey + own * (2.0 * rng.f64() - 1.0)) as f32)
        });
        let guide = guide.collect();
        let guide = b.input_of("guide", height, width, Channels::one(3), Element::F32, guide);
        let mut input = |name: &str, channels: u32, element: Element, mean: f64, std: f64| {
            b.input(name, height, width, Channels::one(channels), element, Fill::Normal { mean, std })
        };
        let shape = (height as usize, width as usize, radius as usize);
        if is_fit {
            let drawn = input("drawn", 3, Element::Stored, -0.3, 0.8);
            let out = fit(&mut b.recorder, &drawn.tensor, &guide.tensor, radius, epsilon);
            let exact: Vec<OnceCell<[Approx; 4]>> = vec![OnceCell::new(); drawn.rows()];
            b.expect(&out, move |p, c| exact[p].get_or_init(|| exact_fit(&drawn, &guide, p, shape, epsilon.into()))[c]);
        } else {
            let fitted = input("fitted", 4, Element::F32, 0.0, 1.0);
            let out = apply(&mut b.recorder, &fitted.tensor, &guide.tensor, radius);
            b.expect(&out, move |p, _| exact_apply(&fitted, &guide, p, shape));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Limits, Storage};

    #[test]
    fn no_dispatch_is_beyond_the_budget() {
        let limits = Limits { max_flops: 10_000_000, ..Limits::TEST };
        let mut r = Recorder::new(Storage::F32, Tuning::Tiled, limits);
        let drawn = r.input("drawn", 200, 100, Channels::one(3));
        let guide = r.input_of("guide", 200, 100, Channels::one(3), Element::F32);
        record(&mut r, &drawn, &guide, GuidedFilter { radius: 64, epsilon: 1e-5 });
        let flops: Vec<u64> = r.finish().unwrap().dispatches.iter().map(|d| d.flops).collect();
        assert!(flops.len() > 20 && flops.iter().all(|&f| f <= 10_000_000), "{flops:?}");
        assert_eq!(flops.iter().sum::<u64>(), 200 * 100 * 129 * (38 + 35 + 4 + 4));
    }

    #[test]
    fn filters_are_read_and_checked() {
        assert_eq!("8".parse(), Ok(GuidedFilter { radius: 8, epsilon: 1e-5 }));
        assert_eq!("4, 0.01".parse(), Ok(GuidedFilter { radius: 4, epsilon: 0.01 }));
        assert_eq!("0".parse::<GuidedFilter>().unwrap().radius, 0);
        for bad in ["", "x", "8,", "-1", "65", "8,0", "8,NaN", "8,2", "8,1e-4,3"] {
            assert!(bad.parse::<GuidedFilter>().is_err(), "{bad}");
        }
    }
}
