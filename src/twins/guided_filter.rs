//! The f64 twin of `guided_filter` and its cases.

mod edges;

use crate::check::bound::{Approx, Bound, EPS};
use crate::check::sum::Sum;
use crate::check::{Case, CaseBuilder, Fill, HostTensor};
use crate::kernels::guided_filter::{KERNEL, apply, fit, record};
use crate::plan::{Channels, Element};
use crate::settings::GuidedFilter;
use std::cell::OnceCell;
use std::rc::Rc;

/// Height, width and radius.
type Shape = (usize, usize, usize);

/// The positions of the window around `p`, row by row.
fn window(p: usize, (height, width, radius): Shape) -> Vec<Vec<usize>> {
    let (y, x) = (p / width, p % width);
    let columns = x.saturating_sub(radius)..(x + radius + 1).min(width);
    let row = |y: usize| columns.clone().map(|x| y * width + x).collect();
    (y.saturating_sub(radius)..(y + radius + 1).min(height)).map(row).collect()
}

/// The mean of numbers that err by `given` on average: a sum and a division of 2.5 ulp.
fn mean(of: &[f64], given: Bound) -> Approx {
    let sum = Sum::of(of.iter().copied());
    let value = sum.value() / of.len() as f64;
    Approx::new(value, given + sum.additions() * (of.len() as f64).recip() + 2.5 * EPS * value.abs())
}

fn average(of: impl Iterator<Item = Bound>, n: usize) -> Bound {
    of.sum::<Bound>() * (n as f64).recip()
}

/// Means of colours and level, and covariances of all pairs, each with its bound.
struct Moments {
    mean: [Approx; 4],
    covariance: [[Approx; 4]; 4],
}

/// The moments of a row of pixels, whose levels err by `level` on average.
///
/// Bounds: a deviation and a product are rounded. If the means are off by m_j and m_k, a covariance moves by m_j m_k, and by the rounding
/// of the deviations. m_j times the other's deviations sums to zero, up to the rounding of the additions.
fn of_row(pixels: &[[f64; 4]], level: Bound) -> Moments {
    let n = pixels.len();
    let column = |c: usize| pixels.iter().map(|v| v[c]).collect::<Vec<f64>>();
    let given = |c: usize| if c == 3 { level } else { Bound::default() };
    let means: [Approx; 4] = std::array::from_fn(|c| mean(&column(c), given(c)));
    let deviations: [Vec<f64>; 4] = std::array::from_fn(|c| column(c).iter().map(|v| v - means[c].value).collect());
    let spread: [f64; 4] =
        std::array::from_fn(|c| (deviations[c].iter().map(|d| d * d).sum::<f64>() / n as f64).sqrt());
    let covariance = |j: usize, k: usize| {
        let products: Vec<f64> = deviations[j].iter().zip(&deviations[k]).map(|(a, b)| a * b).collect();
        let magnitude = products.iter().map(|v| v.abs()).sum::<f64>() / n as f64;
        let (m_j, m_k) = (means[j].bound, means[k].bound);
        let across = m_j * spread[k] + m_k * spread[j];
        let rounded = Bound::rounding(3.0 * magnitude) + across * Bound::rounding(3.0 + (n as f64).sqrt());
        mean(&products, rounded + m_j * m_k + given(j) * spread[k] + given(k) * spread[j])
    };
    Moments { mean: means, covariance: std::array::from_fn(|j| std::array::from_fn(|k| covariance(j, k))) }
}

/// The moments of rows of equal lengths: the mean of their covariances, plus the covariance of their means.
///
/// Bounds: a row's mean errs by m_r, independently of the other rows', and moves a product by that times the other deviation. The error of
/// the overall mean moves products as within a row.
fn of_rows(rows: &[Moments]) -> Moments {
    let n = rows.len();
    let means: [Approx; 4] = std::array::from_fn(|c| {
        let of: Vec<f64> = rows.iter().map(|r| r.mean[c].value).collect();
        mean(&of, average(rows.iter().map(|r| r.mean[c].bound), n))
    });
    let covariance = |j: usize, k: usize| {
        let (mut terms, mut given) = (Vec::new(), Bound::default());
        for row in rows {
            let of = |c: usize| (row.mean[c].value - means[c].value, row.mean[c].bound, means[c].bound);
            let ((d_j, r_j, m_j), (d_k, r_k, m_k)) = (of(j), of(k));
            let product = d_j * d_k;
            given += row.covariance[j][k].bound + r_j * d_k.abs() + r_k * d_j.abs() + (r_j + m_j) * (r_k + m_k);
            let across = (r_j + m_j) * d_k.abs() + (r_k + m_k) * d_j.abs();
            given += Bound::rounding(4.0 * product.abs() + row.covariance[j][k].value.abs());
            given += across * Bound::rounding(3.0 + (n as f64).sqrt());
            terms.push(product + row.covariance[j][k].value);
        }
        mean(&terms, given * (n as f64).recip())
    };
    Moments { mean: means, covariance: std::array::from_fn(|j| std::array::from_fn(|k| covariance(j, k))) }
}

/// The linear function fitted to a window: S times its slopes is v, and both have errors.
struct Fit {
    moments: Moments,
    /// S, the covariances of the colours plus epsilon, with the apparent error of each element. That includes the solution by L D L^T,
    /// whose backward error is 24 u sqrt(S_jj S_kk): eight units (three operations, two divisions of 2.5) for each of the factorization and
    /// the two substitutions.
    s: [[Approx; 3]; 3],
    slopes: [Approx; 3],
    offset: Approx,
}

impl Fit {
    fn of(drawn: &HostTensor, guide: &HostTensor, p: usize, shape: Shape, epsilon: f64) -> Fit {
        let channel = |q: usize, c: usize| drawn.at(q, c).clamp(-1.0, 1.0);
        let pixel = |&q: &usize| {
            let level = (0..3).map(|c| channel(q, c)).sum::<f64>() / 3.0;
            [guide.at(q, 0), guide.at(q, 1), guide.at(q, 2), level]
        };
        // Two sums and a division by three.
        let level = |&q: &usize| Bound::from(4.5 * EPS * (0..3).map(|c| channel(q, c).abs()).sum::<f64>() / 3.0);
        let row = |row: &Vec<usize>| {
            let pixels: Vec<[f64; 4]> = row.iter().map(pixel).collect();
            of_row(&pixels, average(row.iter().map(level), row.len()))
        };
        let moments = of_rows(&window(p, shape).iter().map(row).collect::<Vec<_>>());
        let exact: [[f64; 3]; 3] = std::array::from_fn(|j| {
            std::array::from_fn(|k| moments.covariance[j][k].value + if j == k { epsilon } else { 0.0 })
        });
        let s: [[Approx; 3]; 3] = std::array::from_fn(|j| {
            std::array::from_fn(|k| {
                let backward = 24.0 * EPS * (exact[j][j] * exact[k][k]).sqrt();
                let sum = if j == k { Bound::rounding(exact[j][j]) } else { Bound::default() };
                Approx::new(exact[j][k], moments.covariance[j][k].bound + sum + backward)
            })
        });
        let inverse = inverse(&exact);
        let v: [Approx; 3] = std::array::from_fn(|k| moments.covariance[k][3]);
        let slopes: [f64; 3] = std::array::from_fn(|j| (0..3).map(|k| inverse[j][k] * v[k].value).sum());
        let residual: [Bound; 3] = std::array::from_fn(|j| off(v[j].bound, &s[j], &slopes));
        let slopes: [Approx; 3] = std::array::from_fn(|j| {
            Approx::new(slopes[j], (0..3).map(|k| residual[k] * inverse[j][k].abs()).sum::<Bound>())
        });
        let mut fit = Fit { moments, s, slopes, offset: Approx::new(0.0, 0.0) };
        let sum = Sum::of((0..3).map(|j| -fit.slopes[j].value * fit.moments.mean[j].value));
        let given = (0..3).map(|j| fit.slopes[j].bound * fit.moments.mean[j].value.abs()).sum::<Bound>();
        fit.offset = Approx::new(fit.moments.mean[3].value + sum.value(), fit.offset_error() + given);
        fit
    }

    /// The error of the offset for given slopes.
    fn offset_error(&self) -> Bound {
        let mean = &self.moments.mean;
        let products: f64 = (0..3).map(|j| (self.slopes[j].value * mean[j].value).abs()).sum();
        let means = (0..3).map(|j| mean[j].bound * self.slopes[j].value.abs()).sum::<Bound>();
        mean[3].bound + means + Bound::rounding(4.0 * (products + mean[3].value.abs()))
    }

    fn element(&self, c: usize) -> Approx {
        self.slopes.get(c).copied().unwrap_or(self.offset)
    }

    /// The exact values of S times the slopes, and of the offset plus the slopes' part of the mean. These stay accurate where the slopes
    /// themselves may be anything: colours that are nearly grey determine little more than the slopes' sum.
    fn solved(&self, c: usize) -> Approx {
        let most: [Bound; 3] = std::array::from_fn(|k| self.slopes[k].bound + self.slopes[k].value.abs());
        match c {
            3 => {
                let moved = (0..3).map(|k| self.moments.mean[k].bound * self.slopes[k].bound).sum::<Bound>();
                Approx::new(self.moments.mean[3].value, self.offset_error() + moved)
            }
            j => {
                let v = self.moments.covariance[j][3];
                Approx::new(v.value, v.bound + (0..3).map(|k| self.s[j][k].bound * most[k]).sum::<Bound>())
            }
        }
    }

    /// The same quantity for the kernel's result.
    fn measure(&self, c: usize, got: &[f32]) -> f64 {
        let slopes = || got.iter().take(3).map(|&v| f64::from(v));
        match c {
            3 => f64::from(got[3]) + slopes().zip(&self.moments.mean).map(|(a, m)| a * m.value).sum::<f64>(),
            j => slopes().zip(&self.s[j]).map(|(a, s)| a * s.value).sum(),
        }
    }
}

/// Fits, each computed on first use.
struct Fits {
    fits: Vec<OnceCell<Fit>>,
    drawn: HostTensor,
    guide: HostTensor,
    shape: Shape,
    epsilon: f64,
}

impl Fits {
    fn at(&self, p: usize) -> &Fit {
        self.fits[p].get_or_init(|| Fit::of(&self.drawn, &self.guide, p, self.shape, self.epsilon))
    }
}

/// The error of a row of S a - v.
fn off(v: Bound, s: &[Approx; 3], slopes: &[f64; 3]) -> Bound {
    v + s.iter().zip(slopes).map(|(s, a)| s.bound * a.abs()).sum::<Bound>()
}

/// The inverse of a symmetric positive 3 x 3 matrix, by cofactors.
fn inverse(s: &[[f64; 3]; 3]) -> [[f64; 3]; 3] {
    let minor = |j: usize, k: usize| {
        let (a, b, c, d) = ((j + 1) % 3, (j + 2) % 3, (k + 1) % 3, (k + 2) % 3);
        s[a][c] * s[b][d] - s[a][d] * s[b][c]
    };
    let determinant: f64 = (0..3).map(|k| s[0][k] * minor(0, k)).sum();
    std::array::from_fn(|j| std::array::from_fn(|k| minor(k, j) / determinant))
}

/// At p, the mean of the linear functions of the surrounding windows, applied to its colour. Bounds: means of rows and of these, as above,
/// and the sum of four products. Errors of the functions themselves pass through both.
fn exact_apply(fitted: impl Fn(usize, usize) -> Approx, guide: &HostTensor, p: usize, shape: Shape) -> Approx {
    let rows = window(p, shape);
    let (mut sum, mut error) = (Sum::default(), Bound::default());
    for c in 0..4 {
        let colour = if c == 3 { 1.0 } else { guide.at(p, c) };
        let one = |row: &Vec<usize>| {
            let of: Vec<Approx> = row.iter().map(|&q| fitted(q, c)).collect();
            mean(&of.iter().map(|a| a.value).collect::<Vec<_>>(), average(of.iter().map(|a| a.bound), of.len()))
        };
        let means: Vec<Approx> = rows.iter().map(one).collect();
        let given = average(means.iter().map(|m| m.bound), means.len());
        let whole = mean(&means.iter().map(|m| m.value).collect::<Vec<_>>(), given);
        sum.add(whole.value * colour);
        error += whole.bound * colour.abs();
    }
    Approx::new(sum.value(), error + sum.products())
}

/// The distribution of a guide's colours: one mean, a spread that all channels share, and a spread of each channel.
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
        // Nearly grey, and of one colour: where the system is worst conditioned.
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
    let both = |shape| [case(shape, Pass::Fit), case(shape, Pass::Apply)];
    let mut cases: Vec<Case> = shapes.into_iter().flat_map(both).collect();
    for part in [Pass::Fit, Pass::Apply, Pass::Both] {
        // Rows of an odd number of vec4s, in bands: windows begin at unaligned addresses.
        cases.push(case((61, 19, 3, 4e-4, colours(0.0, 0.3)), part).with_binding_limit(18 * 1024));
        cases.push(case((67, 19, 0, 4e-4, colours(0.0, 0.3)), part).with_workgroup_limit(7));
    }
    for shape in [
        (64, 48, 8, 4e-4, colours(0.1, 0.3)),
        (33, 31, 5, 4e-5, colours(0.0, 0.3)),
        (7, 5, 3, 4e-6, colours(0.0, 0.3)),
        (1, 1, 2, 4e-4, colours(0.0, 0.3)),
        (3, 70, 64, 4.0, colours(0.0, 1.0)),
    ] {
        cases.push(case(shape, Pass::Both));
    }
    cases.extend(edges::cases());
    cases
}

/// The part of the filter that is recorded.
#[derive(Clone, Copy, PartialEq)]
enum Pass {
    Fit,
    Apply,
    Both,
}

impl Pass {
    fn name(self) -> &'static str {
        match self {
            Pass::Fit => "fit",
            Pass::Apply => "apply",
            Pass::Both => "whole",
        }
    }

    /// The input: the decoder's map, or slopes and offsets.
    fn fill(self) -> Fill {
        match self {
            Pass::Apply => Fill::Normal { mean: 0.0, std: 1.0 },
            _ => Fill::Normal { mean: -0.3, std: 0.8 },
        }
    }
}

/// Height, width, radius, epsilon and colours.
type Settings = (u32, u32, u32, f32, Colours);

fn case(settings: Settings, part: Pass) -> Case {
    let (height, width, radius, epsilon, Colours { shared, own }) = settings;
    let what = part.name();
    let name = format!("{what} {height}x{width} radius {radius} epsilon {epsilon:e} spread {shared}+{own}");
    Case::new(&KERNEL, name, move |b| build(b, settings, part, part.fill()))
}

fn build(b: &mut CaseBuilder, (height, width, radius, epsilon, colours): Settings, part: Pass, fill: Fill) {
    let Colours { shared, own } = colours;
    let mut rng = fastrand::Rng::with_seed(7);
    let guide = (0..height * width).flat_map(|_| {
        let grey = 0.2 + shared * (2.0 * rng.f64() - 1.0);
        std::array::from_fn::<f32, 3, _>(|_| (grey + own * (2.0 * rng.f64() - 1.0)) as f32)
    });
    let guide = guide.collect();
    let guide = b.input_of("guide", height, width, Channels::one(3), Element::F32, guide);
    let values = b.values();
    let mut input = |name: &str, channels: u32, element: Element| {
        b.input(name, height, width, Channels::one(channels), element, fill)
    };
    let shape = (height as usize, width as usize, radius as usize);
    if part == Pass::Apply {
        let fitted = input("fitted", 4, Element::F32);
        let out = apply(&mut b.recorder, &fitted.tensor, &guide.tensor, radius);
        b.expect(&out, move |p, _| exact_apply(|q, c| Approx::new(fitted.at(q, c), 0.0), &guide, p, shape));
        return;
    }
    let drawn = input("drawn", 3, values);
    let fits: Vec<OnceCell<Fit>> = (0..drawn.rows()).map(|_| OnceCell::new()).collect();
    let fits = Rc::new(Fits { fits, drawn: drawn.clone(), guide: guide.clone(), shape, epsilon: epsilon.into() });
    if part == Pass::Fit {
        let out = fit(&mut b.recorder, &drawn.tensor, &guide.tensor, radius, epsilon);
        let [one, measured, solved] = [fits.clone(), fits.clone(), fits];
        b.expect(&out, move |p, c| one.at(p).element(c));
        b.expect_together(move |p, c, got| measured.at(p).measure(c, got), move |p, c| solved.at(p).solved(c));
        return;
    }
    // Epsilon is for colours in 0 to 1.
    let filter = GuidedFilter { radius, epsilon: f64::from(epsilon) / 4.0 };
    let out = record(&mut b.recorder, &drawn.tensor, &guide.tensor, filter);
    b.expect(&out, move |p, _| exact_apply(|q, c| fits.at(q).element(c), &guide, p, shape));
}
