//! Bounds on the distance of a correct f32 (or f16-stored) result from the exact one, in two versions: by WGSL's text, and for hardware
//! with IEEE 754's default rounding. `docs/conformance.md` quotes the specification and derives the figures.
//!
//! WGSL requires f32 addition, subtraction and multiplication to be correctly rounded, but in either direction: each errs by less than one
//! unit [`EPS`] = 2^-23 of its result, and all errors may have the same sign. With rounding to nearest, each errs by at most half a unit,
//! with either sign. [`Sum`](super::sum::Sum) has the bounds of sums.

use half::f16;
use std::ops::{Add, AddAssign, Mul};

/// One unit in the last place of 1.0 in f32.
pub const EPS: f64 = 1.0 / 8_388_608.0;

/// f32 below this may be flushed to zero (WGSL): the smallest normal number.
pub const TINY: f64 = 1.18e-38;

/// Maximum difference of a correct result from the exact one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bound {
    /// What WGSL permits.
    pub wgsl: f64,
    /// With f32 arithmetic and f16 stores that round to nearest, and no flushing of f16.
    pub strict: f64,
}

impl Bound {
    /// The bound of one addition, subtraction or multiplication with result `v`.
    pub fn rounding(v: f64) -> Bound {
        Bound { wgsl: EPS * v.abs(), strict: EPS / 2.0 * v.abs() }
    }

    pub fn min(self, other: Bound) -> Bound {
        Bound { wgsl: self.wgsl.min(other.wgsl), strict: self.strict.min(other.strict) }
    }
}

/// The same bound for both: function errors do not depend on the rounding mode.
impl From<f64> for Bound {
    fn from(both: f64) -> Bound {
        Bound { wgsl: both, strict: both }
    }
}

impl<B: Into<Bound>> Add<B> for Bound {
    type Output = Bound;
    fn add(self, other: B) -> Bound {
        let other = other.into();
        Bound { wgsl: self.wgsl + other.wgsl, strict: self.strict + other.strict }
    }
}

impl<B: Into<Bound>> AddAssign<B> for Bound {
    fn add_assign(&mut self, other: B) {
        *self = *self + other;
    }
}

impl<B: Into<Bound>> Mul<B> for Bound {
    type Output = Bound;
    fn mul(self, other: B) -> Bound {
        let other = other.into();
        Bound { wgsl: self.wgsl * other.wgsl, strict: self.strict * other.strict }
    }
}

impl std::iter::Sum for Bound {
    fn sum<I: Iterator<Item = Bound>>(all: I) -> Bound {
        all.fold(Bound::default(), |sum, one| sum + one)
    }
}

/// An exact value, and the maximum error of a correct result before it is stored.
#[derive(Clone, Copy, Debug)]
pub struct Approx {
    pub value: f64,
    pub bound: Bound,
}

impl Approx {
    pub fn new(value: f64, bound: impl Into<Bound>) -> Self {
        Approx { value, bound: bound.into() }
    }

    /// The values that an f32 or f16 store of it may have.
    pub fn stored(self, half: bool) -> Allowed {
        let Approx { value, bound: Bound { wgsl, strict } } = self;
        // False for NaN, too.
        let held = value.abs() - wgsl < OVER;
        if half && !held {
            return Allowed::OVERFLOW;
        }
        if !half {
            let about = |scale: f64| Range { low: value - scale, high: value + scale, scale };
            return Allowed { value, wgsl: about(wgsl), strict: about(strict) };
        }
        let neighbours = Range {
            low: half_below(value - wgsl),
            high: half_above(value + wgsl),
            scale: wgsl + ulp(value.abs() + wgsl),
        };
        let strict = Range {
            low: nearest(value - strict),
            high: nearest(value + strict),
            scale: strict + ulp(value.abs() + strict) / 2.0,
        };
        Allowed { value, wgsl: neighbours.with_flush(value, wgsl), strict }
    }

    /// Applies a function `f` that errs by `error` itself: over so small an interval its slope is steepest in the middle or at an end.
    pub fn through(self, f: impl Fn(f64) -> f64, slope: impl Fn(f64) -> f64, error: impl Into<Bound>) -> Approx {
        let Approx { value, bound } = self;
        let steepest = |by: f64| [-by, 0.0, by].map(|d| slope(value + d).abs()).into_iter().fold(0.0, f64::max);
        let steepest = Bound { wgsl: steepest(bound.wgsl), strict: steepest(bound.strict) };
        Approx::new(f(value), bound * steepest + error)
    }
}

/// Stored numbers from `low` to `high`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    pub low: f64,
    pub high: f64,
    /// Unit of errors. No number in the range is further from the exact one, except f16 values flushed to zero.
    pub scale: f64,
}

impl Range {
    /// Subnormal f16 values may be flushed to zero (WGSL), so the range includes zero if `value` is stored as a subnormal.
    fn with_flush(self, value: f64, bound: f64) -> Range {
        if value.abs() - bound >= f16::MIN_POSITIVE.to_f64() {
            return self;
        }
        Range { low: self.low.min(0.0), high: self.high.max(0.0), ..self }
    }

    /// The distance of `got` from `value` in units of the range; if `value` is infinite, whether `got` is finite. Above 1, or NaN, is out
    /// of range.
    pub fn ratio(self, value: f64, got: f64) -> f64 {
        if value.is_infinite() {
            return if got.is_finite() { f64::INFINITY } else { 0.0 };
        }
        let error = (got - value).abs();
        if error == 0.0 {
            return 0.0;
        }
        match self.low <= got && got <= self.high {
            true => (error / self.scale).min(1.0),
            // In units of what is permitted on that side, if anything.
            false => error / if got > value { self.high - value } else { value - self.low }.max(0.0),
        }
    }
}

/// The permitted values of a result.
#[derive(Clone, Copy, Debug)]
pub struct Allowed {
    /// The exact value.
    pub value: f64,
    pub wgsl: Range,
    pub strict: Range,
}

impl Allowed {
    /// The exact value overflows f16: permits anything that is not finite.
    const OVERFLOW: Allowed = {
        let infinite = Range { low: f64::INFINITY, high: f64::INFINITY, scale: 1.0 };
        Allowed { value: f64::INFINITY, wgsl: infinite, strict: infinite }
    };

    /// Whether the result must be infinite or NaN.
    pub fn is_overflow(&self) -> bool {
        self.value.is_infinite()
    }
}

/// Numbers from here on round to infinity in f16, and `lib/storage` ensures that nothing else is stored.
const OVER: f64 = 65_520.0;

/// The spacing of f16 values around `v`.
fn ulp(v: f64) -> f64 {
    (v.max(f16::MIN_POSITIVE.to_f64()).log2().floor() - 10.0).exp2()
}

fn nearest(v: f64) -> f64 {
    f16::from_f64(v).to_f64()
}

/// The largest f16 value that is at most `v`.
fn half_below(v: f64) -> f64 {
    -half_above(-v)
}

/// The smallest f16 value that is at least `v`.
fn half_above(v: f64) -> f64 {
    let half = f16::from_f64(v);
    if half.to_f64() >= v {
        return half.to_f64();
    }
    let up = match half.to_bits() {
        // Towards zero for negative values.
        bits if half.is_sign_negative() && half != f16::ZERO => bits - 1,
        _ if half == f16::ZERO => 1,
        bits => bits + 1,
    };
    f16::from_bits(up).to_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(exact: Approx, got: f64) -> [bool; 2] {
        let Allowed { value, wgsl, strict } = exact.stored(true);
        [wgsl, strict].map(|range| range.ratio(value, got) <= 1.0)
    }

    #[test]
    fn a_stored_half_is_one_of_its_two_neighbours() {
        let ulp = 1.0 / 1024.0;
        let exact = Approx::new(1.0 + 0.3 * ulp, 0.0);
        assert_eq!(passes(exact, 1.0), [true, true]);
        assert_eq!(passes(exact, 1.0 + ulp), [true, false]);
        assert_eq!(passes(exact, 1.0 + 2.0 * ulp), [false, false]);
        assert_eq!(passes(exact, 1.0 - ulp / 2.0), [false, false]);
        // Values representable in f16 are stored exactly.
        assert_eq!(passes(Approx::new(-3.0, 0.0), -3.0), [true, true]);
        assert_eq!(passes(Approx::new(-3.0, 0.0), -3.0 - 2.0 * ulp), [false, false]);
        // If the kernel's error may cross an f16 value, the values beyond it are permitted, too.
        assert_eq!(passes(Approx::new(-3.0, 1e-7), -3.0 - 2.0 * ulp), [true, false]);
    }

    #[test]
    fn subnormal_halves_may_be_flushed_and_no_more() {
        let unit = f64::from(2f32.powi(-24));
        for sign in [1.0, -1.0] {
            let exact = Approx::new(sign * 100.0 * unit, 0.0);
            assert_eq!(passes(exact, 0.0), [true, false]);
            assert_eq!(passes(exact, sign * 100.0 * unit), [true, true]);
            assert_eq!(passes(exact, sign * 200.0 * unit), [false, false], "a doubled one");
            assert_eq!(passes(exact, -sign * unit), [false, false], "the wrong sign");
        }
        // The smallest normal f16 is not flushed, but the value just below it may be, and so may a result that errs to below it.
        let least = f16::MIN_POSITIVE.to_f64();
        assert_eq!(passes(Approx::new(least, 0.0), 0.0), [false, false]);
        assert_eq!(passes(Approx::new(least * 0.9999, 0.0), 0.0), [true, false]);
        assert_eq!(passes(Approx::new(least * 1.0001, least * 0.001), 0.0), [true, false]);
        assert_eq!(passes(Approx::new(least * 1.01, least * 0.001), 0.0), [false, false]);
    }

    #[test]
    fn what_no_half_holds_must_not_come_back_as_a_number() {
        for value in [65_520.0, -65_536.0, 1e30, f64::INFINITY, f64::NAN] {
            let exact = Approx::new(value, 0.0);
            assert!(exact.stored(true).is_overflow());
            for (got, may) in
                [(65_504.0, false), (-65_504.0, false), (0.0, false), (f64::INFINITY, true), (f64::NAN, true)]
            {
                assert_eq!(passes(exact, got), [may, may], "{got} for {value}");
            }
        }
        // Both are permitted where the outcome depends on the error.
        let exact = Approx::new(65_530.0, 20.0);
        assert_eq!(passes(exact, f64::INFINITY), [true, true]);
        assert_eq!(passes(exact, 65_504.0), [true, true]);
        assert!(!Approx::new(65_519.0, 0.0).stored(true).is_overflow());
    }

    #[test]
    fn functions_carry_an_error_by_the_slope_where_they_are() {
        let square = Approx::new(3.0, Bound { wgsl: 0.5, strict: 0.0 }).through(|x| x * x, |x| 2.0 * x, 0.25);
        assert_eq!((square.value, square.bound), (9.0, Bound { wgsl: 3.75, strict: 0.25 }));
    }
}
