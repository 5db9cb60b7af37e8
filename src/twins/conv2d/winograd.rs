//! The error bound of a convolution by Winograd's algorithm.
//!
//! With V = B^T d B for an input channel's tile and U = G g G^T for its window, the products are T_ab = sum over channels of V_ab U_ab, and
//! an output is the sum over a, b of C_ab T_ab, with C_ab = A_ia A_jb. The errors are:
//! - V_ab: the roundings of its transform, each at most its magnitude |B^T| |d| |B|; then times U_ab;
//! - U_ab: rounded to nearest once, by the host;
//! - T_ab: its products and sums, as in [`Sum`];
//! - the output: the roundings of its transform, each at most sum |C_ab T_ab|.
//!
//! WGSL permits all roundings to go one way, so that bound is their plain sum. With rounding to nearest, the first three add up as squares,
//! at four standard deviations of errors of variance unit^2 / 12, as if all were independent. The roundings of the first half of a
//! transform are not independent, because six elements share them. But each is bounded by the magnitudes of its terms, which is several
//! times its actual size.

use crate::check::bound::{Bound, EPS};
use crate::check::sum::Sum;
use crate::check::{HostTensor, HostWeight};
use crate::plan::Element;
use crate::plan::winograd::{AT, G, both};
use crate::twins::winograd_input::{self, Tile};
use crate::twins::winograd_output;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// Four standard deviations of an error of one unit, squared.
const SURE: f64 = 16.0 / 12.0;

/// One entry per input channel.
type Each<T> = Rc<Vec<T>>;

pub struct Winograd {
    x: HostTensor,
    w: HostWeight,
    upsample: bool,
    /// Storage of the transformed windows.
    element: Element,
    tiles: RefCell<HashMap<(usize, usize), Each<Tile>>>,
    windows: RefCell<HashMap<usize, Each<[[f64; 6]; 6]>>>,
}

impl Winograd {
    pub fn new(x: HostTensor, w: HostWeight, upsample: bool, element: Element) -> Winograd {
        Winograd { x, w, upsample, element, tiles: RefCell::default(), windows: RefCell::default() }
    }

    fn tiles(&self, at: (usize, usize)) -> Each<Tile> {
        let make = || Rc::new((0..self.x.channels()).map(|c| Tile::of(&self.x, self.upsample, at, c)).collect());
        self.tiles.borrow_mut().entry(at).or_insert_with(make).clone()
    }

    fn windows(&self, n: usize) -> Each<[[f64; 6]; 6]> {
        let window = |c: usize| std::array::from_fn(|k| std::array::from_fn(|l| self.w.at(n, c, 3 * k + l)));
        let make = || Rc::new((0..self.x.channels()).map(|c| both(&G, &window(c))).collect());
        self.windows.borrow_mut().entry(n).or_insert_with(make).clone()
    }

    /// Error of a product with the element `u` of a transformed window, caused by its storage: the unit of an error that the host rounds to
    /// nearest, and the magnitude that may be flushed to zero.
    fn stored(&self, u: f64) -> (f64, f64) {
        match self.element {
            Element::F32 => (EPS * u.abs(), 0.0),
            // 11 bits, with a spacing of at least 2^-24.
            _ if u.abs() < 2f64.powi(-14) => (2f64.powi(-24), u.abs()),
            _ => (2f64.powi(-10) * u.abs(), 0.0),
        }
    }

    /// The bound of output `n` at `(y, x)`, before anything is added.
    pub fn bound(&self, (y, x): (usize, usize), n: usize) -> Bound {
        let (tiles, windows) = (self.tiles((y / 4, x / 4)), self.windows(n));
        let mut sums = [[0.0; 6]; 6];
        let mut lost = Bound::default();
        for (a, b) in (0..6).flat_map(|a| (0..6).map(move |b| (a, b))) {
            let c = (AT[y % 4][a] * AT[x % 4][b]).abs();
            if c == 0.0 {
                continue;
            }
            let roundings = winograd_input::ROUNDINGS[a] + winograd_input::ROUNDINGS[b];
            let mut sum = Sum::default();
            let (mut turned, mut turned_squares, mut stored_squares, mut flushed) = (0.0, 0.0, 0.0, 0.0);
            for (tile, window) in tiles.iter().zip(windows.iter()) {
                let (v, u) = (tile.values[a][b], window[a][b]);
                sum.add(v * u);
                let magnitude = (tile.magnitudes[a][b] * u).abs();
                turned += magnitude;
                turned_squares += magnitude * magnitude;
                let (unit, flush) = self.stored(u);
                stored_squares += (v * unit) * (v * unit);
                flushed += (v * flush).abs();
            }
            sums[a][b] = sum.value();
            let products = sum.products();
            let stored = SURE * stored_squares;
            lost.wgsl += c * (products.wgsl + EPS * roundings * turned + stored.sqrt() + flushed);
            let of_tiles = SURE * roundings * EPS * EPS * turned_squares;
            lost.strict += c * c * (products.strict * products.strict + of_tiles + stored);
        }
        lost.strict = lost.strict.sqrt();
        lost + winograd_output::tile(&sums, (y % 4, x % 4)).bound
    }
}
