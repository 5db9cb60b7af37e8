//! The f64 twin of `guided_filter` and its cases.

use crate::check::bound::{Approx, EPS};
use crate::check::{Case, CaseBuilder, Fill, HostTensor};
use crate::kernels::guided_filter::{KERNEL, apply, fit};
use crate::plan::{Channels, Element};
use std::cell::OnceCell;

/// Height, width and radius.
type Shape = (usize, usize, usize);

fn naive(n: usize, m: f64) -> f64 {
    EPS * ((n as f64).sqrt() + 1.0) * m
}

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
        naive(n, magnitude) + 5.0 * EPS * magnitude + if c == 3 { 5.0 * EPS * channels } else { 0.0 }
    });
    let covariance = |j: usize, k: usize| mean_of(&|v| (v[j] - mean[j]) * (v[k] - mean[k]));
    let spread: [f64; 4] = std::array::from_fn(|c| covariance(c, c).sqrt());
    let covariance_error = |j: usize, k: usize| {
        (naive(n, spread[j] * spread[k]) + 8.0 * EPS * spread[j] * spread[k])
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
        error += (naive(n, magnitude) + (5.0 + 4.0) * EPS * magnitude) * colour.abs();
    }
    Approx::new(value, error)
}

/// How a guide's colours lie: about the same mean, with a spread that all channels share and one that each has.
#[derive(Clone, Copy)]
struct Colours {
    shared: f64,
    own: f64,
}

pub fn cases() -> Vec<Case> {
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
        let values = b.values();
        let mut input = |name: &str, channels: u32, element: Element, mean: f64, std: f64| {
            b.input(name, height, width, Channels::one(channels), element, Fill::Normal { mean, std })
        };
        let shape = (height as usize, width as usize, radius as usize);
        if is_fit {
            let drawn = input("drawn", 3, values, -0.3, 0.8);
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
