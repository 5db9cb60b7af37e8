//! How far a correct f32 (or half-storage) result may lie from the exact one, twice: by WGSL's text, and where the hardware does
//! as IEEE 754 asks by default. `docs/conformance.md` names the sentences and derives the figures.
//!
//! WGSL asks that f32 addition, subtraction and multiplication be correctly rounded, in either direction: each errs by
//! less than one unit [`EPS`] = 2^-23 of its result, and all of them may err the same way. Where they round to the nearest, each
//! errs by half a unit at most, either way. How sums err is said in [`Sum`](super::sum::Sum).

use half::f16;
use std::ops::{Add, AddAssign, Mul};

/// One unit in the last place of 1.0 in f32.
pub const EPS: f64 = 1.0 / 8_388_608.0;

/// Below this, f32 may be flushed to zero (WGSL): the smallest normal number.
pub const TINY: f64 = 1.18e-38;

/// The most that a correct result may differ from the exact one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bound {
    /// Whatever WGSL allows.
    pub wgsl: f64,
    /// Where f32 arithmetic and stores of halves round to the nearest and no half is flushed to zero.
    pub strict: f64,
}

impl Bound {
    /// Of one addition, subtraction or multiplication whose result is `v`.
    pub fn rounding(v: f64) -> Bound {
        Bound { wgsl: EPS * v.abs(), strict: EPS / 2.0 * v.abs() }
    }

    pub fn min(self, other: Bound) -> Bound {
        Bound { wgsl: self.wgsl.min(other.wgsl), strict: self.strict.min(other.strict) }
    }
}

/// The same for both: what functions may err by, which no rounding mode changes.
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

/// An exact value, and the most that a correct result may differ from it before it is stored.
#[derive(Clone, Copy, Debug)]
pub struct Approx {
    pub value: f64,
    pub bound: Bound,
}

impl Approx {
    pub fn new(value: f64, bound: impl Into<Bound>) -> Self {
        Approx { value, bound: bound.into() }
    }

    /// What may come back, from an f32 or a half.
    pub fn stored(self, half: bool) -> Allowed {
        let Approx { value, bound: Bound { wgsl, strict } } = self;
        // NaN, too.
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

    /// A function `f` of it that errs by `error` itself: over so small an interval its slope is steepest in the middle or at an end.
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
    /// What errors are measured by: no number in the range is further from the exact one, but for a half that was flushed.
    pub scale: f64,
}

impl Range {
    /// Subnormal halves may be flushed to zero (WGSL), which is what `value` is stored as where it is below the normal ones.
    fn with_flush(self, value: f64, bound: f64) -> Range {
        if value.abs() - bound >= f16::MIN_POSITIVE.to_f64() {
            return self;
        }
        Range { low: self.low.min(0.0), high: self.high.max(0.0), ..self }
    }

    /// How far `got` lies from `value`, in the range's terms; of an infinite one, whether it is finite; above 1, or NaN, it is out of the range.
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
            // Of what is allowed on that side, if anything.
            false => error / if got > value { self.high - value } else { value - self.low }.max(0.0),
        }
    }
}

/// What a correct result may be.
#[derive(Clone, Copy, Debug)]
pub struct Allowed {
    /// The exact one.
    pub value: f64,
    pub wgsl: Range,
    pub strict: Range,
}

impl Allowed {
    /// Of what no half holds: anything that is not finite.
    const OVERFLOW: Allowed = {
        let infinite = Range { low: f64::INFINITY, high: f64::INFINITY, scale: 1.0 };
        Allowed { value: f64::INFINITY, wgsl: infinite, strict: infinite }
    };

    /// Must it come back as infinite, or NaN?
    pub fn is_overflow(&self) -> bool {
        self.value.is_infinite()
    }
}

/// From here on the nearest half is infinite, and `lib/storage` sees to it that nothing else is stored.
const OVER: f64 = 65_520.0;

/// The distance of the halves about `v`.
fn ulp(v: f64) -> f64 {
    (v.max(f16::MIN_POSITIVE.to_f64()).log2().floor() - 10.0).exp2()
}

fn nearest(v: f64) -> f64 {
    f16::from_f64(v).to_f64()
}

/// The largest half that is not above `v`.
fn half_below(v: f64) -> f64 {
    -half_above(-v)
}

/// The smallest half that is not below `v`.
fn half_above(v: f64) -> f64 {
    let half = f16::from_f64(v);
    if half.to_f64() >= v {
        return half.to_f64();
    }
    let up = match half.to_bits() {
        // Towards zero for the negative ones.
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
        // What a half holds is stored as it is.
        assert_eq!(passes(Approx::new(-3.0, 0.0), -3.0), [true, true]);
        assert_eq!(passes(Approx::new(-3.0, 0.0), -3.0 - 2.0 * ulp), [false, false]);
        // Where the kernel may err across a half, the halves beyond are reached too.
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
        // The smallest normal half is not flushed, but what is only just below it may be, and what may have come out below.
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
        // Either, where it depends on what may be lost on the way.
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
