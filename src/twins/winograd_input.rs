//! The f64 twin of `winograd_input` and its cases.

mod normalized;

use crate::check::bound::{Approx, Bound, EPS, TINY};
use crate::check::{Case, CaseBuilder, Fill, HostTensor};
use crate::kernels::winograd_input::{Band, Input, KERNEL, record};
use crate::plan::winograd::{BT, both};
use crate::plan::{Channels, Policy};

/// Number of roundings in an element of B^T d, each at most the sum of its terms' magnitudes. The first and last rows have a product and
/// two sums; the others have two products with rounded numbers, and three sums (2 x and x / 2 are exact).
pub const ROUNDINGS: [f64; 6] = [3.0, 6.0, 6.0, 6.0, 6.0, 3.0];

/// For a channel of a tile: B^T d B, and the sum of its terms' magnitudes.
#[derive(Clone)]
pub struct Tile {
    pub values: [[f64; 6]; 6],
    pub magnitudes: [[f64; 6]; 6],
}

impl Tile {
    /// The tile at that row and column of tiles, of an input padded with zeros, which may be upsampled.
    pub fn of(x: &HostTensor, upsample: bool, (row, column): (usize, usize), c: usize) -> Tile {
        let up = if upsample { 2 } else { 1 };
        let (height, width) = (x.tensor.height as usize * up, x.tensor.width as usize * up);
        let at = |y: usize, column: usize| {
            // Tiles begin one position above and to the left of their outputs.
            let inside = (1..=height).contains(&y) && (1..=width).contains(&column);
            if inside { x.at((y - 1) / up * x.tensor.width as usize + (column - 1) / up, c) } else { 0.0 }
        };
        let d: [[f64; 6]; 6] = std::array::from_fn(|k| std::array::from_fn(|l| at(4 * row + k, 4 * column + l)));
        let magnitudes = both(&BT.map(|row| row.map(f64::abs)), &d.map(|row| row.map(f64::abs)));
        Tile { values: both(&BT, &d), magnitudes }
    }
}

struct Shape {
    size: (u32, u32),
    channels: u32,
    upsample: bool,
    /// Rows of the output.
    rows: (u32, u32),
    /// Padding rows of a matrix.
    spare: u32,
    /// Padding channels.
    beside: u32,
}

impl Shape {
    fn name(&self) -> String {
        let Shape { size: (h, w), channels, upsample, rows: (y0, y1), spare, beside } = self;
        let up = if *upsample { " upsampled" } else { "" };
        let wider = if *beside > 0 { format!(", and {beside} channels") } else { String::new() };
        format!("{h}x{w}x{channels}{up} rows {y0} to {y1} and {spare} to fill up{wider}")
    }

    fn case(self, fill: Fill) -> Case {
        Case::new(&KERNEL, self.name(), move |b| self.build(b, fill))
    }

    fn build(&self, b: &mut CaseBuilder, fill: Fill) {
        let (h, w) = self.size;
        let (y0, y1) = self.rows;
        let shift = u32::from(self.upsample);
        let x = b.input("x", h, w, Channels::one(self.channels), b.values(), fill);
        let source = (y0.saturating_sub(1) >> shift, ((y1 >> shift) + 1).min(h));
        let mut band = Band { y0, y1, source, height: h, width: w << shift, upsample: self.upsample, rows: 0 };
        band.rows = band.tiles() + self.spare;
        let channels = match self.beside {
            0 => x.tensor.channels.clone(),
            more => Channels::one(self.channels.next_multiple_of(4) + more),
        };
        let out = record(&mut b.recorder, Input::from(&x.tensor), band, channels);
        let (upsample, tiles, tiles_x) = (self.upsample, band.tiles() as usize, band.tiles_x() as usize);
        let (rows, first) = (band.rows as usize, y0 as usize / 4);
        b.expect(&out, move |p, c| {
            let (matrix, tile) = (p / rows, p % rows);
            if tile >= tiles || c >= x.channels() {
                return Approx::new(0.0, 0.0);
            }
            let (i, j) = (matrix / 6, matrix % 6);
            let tile = Tile::of(&x, upsample, (first + tile / tiles_x, tile % tiles_x), c);
            let one = EPS * (ROUNDINGS[i] + ROUNDINGS[j]) * tile.magnitudes[i][j];
            let flushed = if one > 0.0 { TINY } else { 0.0 };
            Approx::new(tile.values[i][j], Bound { wgsl: one + flushed, strict: one / 2.0 + flushed })
        });
    }
}

pub fn cases() -> Vec<Case> {
    let normal = Fill::Normal { mean: 0.0, std: 1.0 };
    let of = |size, channels, upsample, rows, spare| Shape { size, channels, upsample, rows, spare, beside: 0 };
    let mut cases: Vec<Case> = [
        of((64, 64), 320, false, (0, 64), 0),
        of((16, 16), 64, true, (0, 32), 0),
        of((1, 1), 3, false, (0, 1), 63),
        of((7, 5), 6, false, (0, 7), 28),
        of((5, 9), 13, true, (0, 10), 17),
        // Bands in the middle and at the end, which have an input row above them.
        of((37, 19), 12, false, (8, 24), 14),
        of((37, 19), 12, false, (36, 37), 27),
        of((9, 11), 8, true, (4, 12), 0),
        of((9, 11), 8, true, (16, 18), 5),
    ]
    .into_iter()
    .map(|shape| shape.case(normal))
    .collect();
    // Matrices as wide as the panels of weights.
    cases.push(Shape { beside: 52, ..of((7, 9), 12, false, (4, 7), 3) }.case(normal));
    cases.push(Shape { beside: 12, ..of((5, 9), 50, true, (0, 10), 1) }.case(normal));
    // Channels that fill whole subgroups.
    cases.push(of((7, 5), 16, false, (0, 7), 28).case(normal));
    cases.push(of((9, 11), 48, true, (4, 12), 1).case(normal));
    cases.push(of((37, 19), 16, false, (8, 24), 3).case(normal).with_alignment(256));
    cases.push(Shape { beside: 48, ..of((9, 11), 16, true, (4, 12), 3) }.case(normal));
    cases.push(of((6, 13), 16, false, (0, 6), 0).case(Fill::Of(super::WIDE)).called("6x13x16-all-kinds-of-values"));
    cases.push(of((37, 19), 12, false, (8, 24), 3).case(normal).with_alignment(256));
    cases.push(of((41, 67), 6, false, (0, 41), 1).case(normal).with_workgroup_limit(19));
    cases.push(Case::new(&KERNEL, "all kinds of values".into(), move |b| {
        of((6, 13), 1, false, (0, 6), 0).build(b, Fill::Of(super::WIDE));
    }));
    cases.push(Case::new(&KERNEL, "zeros".into(), move |b| {
        of((6, 7), 1, false, (0, 6), 0).build(b, Fill::Of(super::ZEROS));
    }));
    cases.extend(normalized::cases());
    // Every remainder of a tile in both directions.
    let all: Vec<(u32, u32)> = (1..=9).flat_map(|h| (1..=9).map(move |w| (h, w))).collect();
    for (name, channels) in [("1 to 9 rows and columns", 2), ("1 to 9 rows and columns of 16 channels", 16)] {
        let every = super::sweep(&KERNEL, name, all.clone(), move |b, size| {
            of(size, channels, false, (0, size.0), 1).build(b, normal);
        });
        cases.push(every.stored_as(&[Policy::F32]));
    }
    cases
}
