//! The f64 twin of `winograd_output` and its cases.

use crate::check::bound::{Approx, Bound, EPS, TINY};
use crate::check::{Case, CaseBuilder, Fill};
use crate::kernels::winograd_input::Band;
use crate::kernels::winograd_output::{KERNEL, Residual, record};
use crate::plan::winograd::{AT, both};
use crate::plan::{Channels, Element, Policy};

/// Number of roundings in an element of A^T m, each at most the sum of its terms' magnitudes: sums, and products with rounded numbers (2 x
/// and x / 2 are exact).
pub const ROUNDINGS: [f64; 4] = [4.0, 6.0, 3.0, 7.0];

/// Element `(i, j)` of A^T m A, and the bound of a kernel's error.
pub fn tile(m: &[[f64; 6]; 6], (i, j): (usize, usize)) -> Approx {
    let value = both(&AT, m)[i][j];
    let magnitude = both(&AT.map(|row| row.map(f64::abs)), &m.map(|row| row.map(f64::abs)))[i][j];
    let one = EPS * (ROUNDINGS[i] + ROUNDINGS[j]) * magnitude;
    let flushed = if one > 0.0 { TINY } else { 0.0 };
    Approx::new(value, Bound { wgsl: one + flushed, strict: one / 2.0 + flushed })
}

struct Shape {
    size: (u32, u32),
    channels: u32,
    residual: bool,
    /// Rows of the output.
    rows: (u32, u32),
    spare: u32,
    /// Channels of the products that are padding.
    beside: u32,
}

impl Shape {
    fn case(self, fill: Fill) -> Case {
        let Shape { size: (h, w), channels, residual, rows: (y0, y1), spare, beside } = self;
        let with = if residual { " + residual" } else { "" };
        let wider = if beside > 0 { format!(", and {beside} channels") } else { String::new() };
        let name = format!("{h}x{w}x{channels}{with} rows {y0} to {y1} and {spare} to fill up{wider}");
        Case::new(&KERNEL, name, move |b| self.build(b, fill))
    }

    /// The rows above and below the band are computed from the same products.
    fn build(&self, b: &mut CaseBuilder, fill: Fill) {
        let (h, w) = self.size;
        let (y0, y1) = self.rows;
        let channels = Channels::one(self.channels);
        let mut band = Band { y0, y1, source: (0, h), height: h, width: w, upsample: false, rows: 0 };
        band.rows = band.tiles() + self.spare;
        let wide = match self.beside {
            0 => channels.clone(),
            more => Channels::one(self.channels.next_multiple_of(4) + more),
        };
        let products = b.input("products", 36, band.rows, wide, Element::F32, fill);
        let bias = b.input("bias", 1, 1, channels.clone(), Element::F32, Fill::Normal { mean: 0.0, std: 0.5 });
        let residual = self
            .residual
            .then(|| b.input("residual", h, w, channels.clone(), b.values(), Fill::Normal { mean: 0.0, std: 1.0 }));
        let out = b.recorder.value("out", h, w, channels);
        // In a band between two others, the residual is copied first.
        for (i, (y0, y1)) in [(0, y0), (y0, y1), (y1, h)].into_iter().enumerate().filter(|(_, (y0, y1))| y0 < y1) {
            let band = Band { y0, y1, ..band };
            let residual = residual.as_ref().map(|t| match i {
                1 if y0 > 0 => Residual::aside(&mut b.recorder, &t.tensor, (y0, y1)),
                _ => Residual::of(&t.tensor, y0),
            });
            record(&mut b.recorder, &products.tensor, &bias.tensor, residual, band, &out);
        }
        let (rows, tiles_x, width) = (band.rows as usize, band.tiles_x() as usize, w as usize);
        let bounds = [0, y0 as usize, y1 as usize];
        b.expect(&out, move |p, n| {
            let (y, x) = (p / width, p % width);
            let first = bounds.into_iter().filter(|&first| first <= y).max().unwrap_or(0);
            let at = (y - first) / 4 * tiles_x + x / 4;
            let m = std::array::from_fn(|i| std::array::from_fn(|j| products.at((6 * i + j) * rows + at, n)));
            let Approx { value, bound } = tile(&m, ((y - first) % 4, x % 4));
            let sum = value + bias.at(0, n);
            let all = sum + residual.as_ref().map_or(0.0, |t| t.at(p, n));
            let last = if residual.is_some() { Bound::rounding(all) } else { Bound::default() };
            Approx::new(all, bound + Bound::rounding(sum) + last)
        });
    }
}

pub fn cases() -> Vec<Case> {
    let normal = Fill::Normal { mean: 0.0, std: 1.0 };
    let of = |size, channels, residual, rows, spare| Shape { size, channels, residual, rows, spare, beside: 0 };
    let mut cases: Vec<Case> = [
        of((64, 64), 320, false, (0, 64), 0),
        of((32, 32), 64, true, (0, 32), 0),
        of((1, 1), 3, false, (0, 1), 63),
        of((7, 5), 6, true, (0, 7), 28),
        of((10, 18), 13, false, (0, 10), 17),
        of((24, 19), 12, true, (8, 16), 14),
    ]
    .into_iter()
    .map(|shape| shape.case(normal))
    .collect();
    cases.push(Shape { beside: 20, ..of((9, 7), 12, true, (4, 8), 3) }.case(normal));
    // Channels that fill whole subgroups, and whole tiles.
    cases.push(of((24, 20), 16, true, (8, 16), 14).case(normal).with_alignment(4096));
    cases.push(Shape { beside: 48, ..of((16, 8), 48, false, (4, 8), 3) }.case(normal));
    cases.push(of((21, 19), 12, true, (8, 16), 20).case(normal).with_alignment(256));
    cases.push(of((41, 67), 6, true, (0, 41), 1).case(normal).with_workgroup_limit(5));
    cases.push(of((6, 13), 5, true, (0, 6), 2).case(Fill::Of(&[1.0, -1.0, 300.0, -0.01])).called("a-few-values"));
    // All products of a channel are alike: some outputs are sums of 25 of them, in others they cancel.
    let products = Fill::At(|p, c| if super::overflows(c) { 4e4 } else { 0.3 + (p % 36 + c) as f32 / 64.0 });
    for residual in [false, true] {
        let with = if residual { " + residual" } else { "" };
        let case = Case::new(&KERNEL, format!("results that no half holds{with}"), move |b| {
            of((9, 7), 10, residual, (0, 9), 2).build(b, products);
        });
        cases.push(case.stored_as(super::HALVES));
    }
    let all: Vec<(u32, u32)> = (1..=9).flat_map(|h| (1..=9).map(move |w| (h, w))).collect();
    let every = super::sweep(&KERNEL, "1 to 9 rows and columns", all, move |b, size| {
        of(size, 2, size.1 % 2 == 0, (0, size.0), 1).build(b, normal);
    });
    cases.push(every.stored_as(&[Policy::F32, Policy::PACKED]));
    let whole = (1..=4).flat_map(|h| (1..=4).map(move |w| (4 * h, 4 * w))).collect();
    let every = super::sweep(&KERNEL, "4 to 16 rows and columns of 16 channels", whole, move |b, size: (u32, u32)| {
        of(size, 16, size.1.is_multiple_of(8), (0, size.0), 1).build(b, normal);
    });
    cases.push(every.stored_as(&[Policy::F32, Policy::PACKED]));
    cases
}
