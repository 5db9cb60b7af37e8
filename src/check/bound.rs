//! How far a correct f32 (or half-storage) result may lie from the exact one.
//!
//! WGSL asks that f32 addition, subtraction and multiplication be correctly rounded, in either direction:
//! each errs by at most one unit [`EPS`] = 2^-23 of its result. A sum of n products errs by the random
//! walk of n such roundings, each of a partial sum no larger than sum |a||b|: sqrt(n) EPS sum |a||b|
//! (Higham and Mary, SIAM J. Sci. Comput. 41, 2019, with unit confidence; the data here has mean zero,
//! where partial sums are far below their bound). The worst case n EPS sum |a||b| would hide real faults.

/// One unit in the last place of 1.0 in f32.
pub const EPS: f64 = 1.0 / 8_388_608.0;

/// Below this, f32 may be flushed to zero (WGSL): the smallest normal number.
pub const TINY: f64 = 1.18e-38;

/// An exact value, and the most that a correct result may differ from it before it is stored.
#[derive(Clone, Copy, Debug)]
pub struct Approx {
    pub value: f64,
    pub bound: f64,
}

impl Approx {
    pub fn new(value: f64, bound: f64) -> Self {
        Approx { value, bound }
    }

    /// With the rounding of storage as half precision: one ulp (either direction may be rounded to), where
    /// subnormal halves may be flushed to zero (WGSL).
    pub fn stored_as_half(self) -> Self {
        let largest = self.value.abs() + self.bound;
        let flush = if largest < 6.2e-5 { largest } else { 0.0 };
        Approx { value: self.value, bound: self.bound + largest / 1024.0 + flush }
    }
}

/// Error of a sum of `n` products whose magnitudes sum to `magnitude`, in any order.
pub fn dot(n: usize, magnitude: f64) -> f64 {
    EPS * ((n as f64).sqrt() + 1.0) * magnitude
}
