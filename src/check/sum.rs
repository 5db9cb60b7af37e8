//! Error bounds of f32 sums.

use super::bound::{Bound, EPS};

/// Properties of a sum's terms that bound its rounding error, whatever the order of additions.
///
/// The k-th addition errs by a unit of the partial sum S_k, so that all of them err by EPS sum |S_k|. The order is unknown, but it is
/// chosen before the data. So the terms are in random order, and S_k goes from 0 to the total T like a line plus a bridge, |T| k / n +
/// sqrt(V) b(k / n), where V is the sum of the terms' squared deviations from their mean. The line adds up to n |T| / 2. The integral of
/// the bridge has variance 1 / 12, so n sqrt(V) is 3.5 standard deviations. WGSL permits that much: every addition off by a whole unit, all
/// in the same direction. It is never more than (n - 1) sum |t|.
///
/// With rounding to nearest, additions err by at most half a unit, independently and in either direction: with a variance of EPS^2 / 12 sum
/// S_k^2. With a start s, the line contributes n (s^2 + s T + T^2 / 3) to that sum, and the bridge n V w, where w is 1 / 6 on average and
/// above x with a probability of about exp(-pi^2 x / 2). Millions of elements are compared, so the tails of both the errors and w count.
/// Fewer than one element in 10^9 errs by more than EPS sqrt(3 n (s^2 + |s T| + T^2 / 3 + V)). For a line alone this is six standard
/// deviations; for a bridge alone, it is four and a half for one whose w is eleven times the average. (A unit is three quarters of EPS
/// |S_k| on average.)
///
/// If all terms are multiples of a power of two g and sum |t| is at most 2^24 g, f32 holds every partial sum: nothing is rounded, in any
/// order and direction, whether fused with the products or not.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    n: f64,
    /// The first or last term of the sum: part of most partial sums.
    start: f64,
    terms: f64,
    squares: f64,
    magnitude: f64,
    /// 2 to this power divides every term.
    grain: Option<i32>,
}

impl Sum {
    /// A sum that begins with `start`.
    pub fn from(start: f64) -> Sum {
        Sum { start, magnitude: start.abs(), grain: lowest_bit(start), ..Sum::default() }
    }

    pub fn of(terms: impl IntoIterator<Item = f64>) -> Sum {
        let mut sum = Sum::default();
        terms.into_iter().for_each(|term| sum.add(term));
        sum
    }

    pub fn add(&mut self, term: f64) {
        self.n += 1.0;
        self.terms += term;
        self.squares += term * term;
        self.magnitude += term.abs();
        self.grain = match (self.grain, lowest_bit(term)) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }

    pub fn value(&self) -> f64 {
        self.start + self.terms
    }

    /// The sum of all terms' magnitudes.
    pub fn magnitude(&self) -> f64 {
        self.magnitude
    }

    /// Whether no addition is ever rounded.
    pub fn is_exact(&self) -> bool {
        self.grain.is_none_or(|grain| self.magnitude <= f64::from(24 + grain).exp2())
    }

    /// Sum of the terms' squared deviations from their mean.
    fn spread(&self) -> f64 {
        (self.squares - self.terms * self.terms / self.n.max(1.0)).max(0.0)
    }

    /// The bound of the additions, in one chain or in any tree.
    pub fn additions(&self) -> Bound {
        self.additions_in(1.0)
    }

    /// The bound of the additions in `chains` chains of equal lengths, whose sums are added by a tree, or by four in a chain.
    pub fn additions_in(&self, chains: f64) -> Bound {
        if self.is_exact() {
            return Bound::default();
        }
        let Sum { n, start, terms, magnitude, .. } = *self;
        let spread = self.spread();
        let chains = chains.min(n);
        let length = n / chains.max(1.0);
        // A chain has its share of the total, which varies as its terms do.
        let (line, bridge) = (terms.abs() / 2.0, (spread * chains).sqrt() * if chains > 1.0 { 1.5 } else { 1.0 });
        let last = if chains > 1.0 { (1.0 + chains.log2()) * (terms.abs() + (spread * chains).sqrt()) } else { 0.0 };
        let wgsl = EPS * (length * (line + bridge + start.abs()) + last).min(n * magnitude);
        let line = start * start + (start * terms).abs() + terms * terms / 3.0;
        let strict = EPS * (3.0 * length * (line + spread)).sqrt();
        Bound { wgsl, strict: strict.min(wgsl) }
    }

    /// The bound of the additions, and of the products that the terms are.
    pub fn products(&self) -> Bound {
        if self.is_exact() {
            return Bound::default();
        }
        self.additions() + Bound { wgsl: EPS * self.magnitude, strict: EPS * self.squares.sqrt() }
    }
}

/// The exponent of the lowest set bit; `None` for zero.
fn lowest_bit(v: f64) -> Option<i32> {
    let bits = v.to_bits();
    let (exponent, mantissa) = ((bits >> 52) as i32 & 0x7ff, bits & ((1 << 52) - 1));
    // Products of f32 are never subnormal as f64.
    (v != 0.0).then(|| exponent - 1075 + (mantissa | 1 << 52).trailing_zeros() as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_add_up_exactly_as_far_as_f32_holds_them() {
        assert_eq!(lowest_bit(0.75), Some(-2));
        assert_eq!(lowest_bit(-12.0), Some(2));
        assert_eq!(lowest_bit(0.0), None);
        let most = f64::from(1 << 24);
        assert!(Sum::of([most - 1.0, 1.0, 0.0]).is_exact());
        assert!(!Sum::of([most, 1.0]).is_exact());
        assert!(Sum::of([most * 4.0 - 4.0, 4.0]).is_exact());
        assert!(!Sum::from(0.5).tap(most).is_exact());
        assert_eq!(Sum::of([3.0, -3.0]).products(), Bound::default());
    }

    impl Sum {
        fn tap(mut self, term: f64) -> Sum {
            self.add(term);
            self
        }
    }

    fn toward_zero(v: f64) -> f32 {
        let nearest = v as f32;
        if f64::from(nearest).abs() > v.abs() { f32::from_bits(nearest.to_bits() - 1) } else { nearest }
    }

    /// The errors of one sum of products, rounded to nearest and towards zero, in units of the bounds.
    fn errors(rng: &mut fastrand::Rng, n: usize, mean: f64) -> [f64; 3] {
        let mut draw = || (rng.f64() + rng.f64() + rng.f64() - 1.5 + mean) as f32;
        let pairs: Vec<(f32, f32)> = (0..n).map(|_| (draw(), draw())).collect();
        let exact = Sum::of(pairs.iter().map(|&(a, b)| f64::from(a) * f64::from(b)));
        let (mut nearest, mut down) = (0f32, 0f32);
        for (a, b) in pairs {
            nearest += a * b;
            down = toward_zero(f64::from(down) + f64::from(toward_zero(f64::from(a) * f64::from(b))));
        }
        let bound = exact.products();
        let off = |v: f32| (f64::from(v) - exact.value()).abs();
        [off(nearest) / bound.strict, off(down) / bound.wgsl, off(nearest) / bound.wgsl]
    }

    #[test]
    fn sums_rounded_to_the_nearest_or_towards_zero_are_within_their_bounds_and_near_them() {
        let mut rng = fastrand::Rng::with_seed(5);
        for (n, mean) in [(1, 0.0), (2, 0.0), (9, 0.5), (64, 0.0), (300, 2.0), (2880, 0.0), (2880, 0.1)] {
            let mut worst = [0f64; 3];
            for _ in 0..400 {
                let all = errors(&mut rng, n, mean);
                (0..3).for_each(|i| worst[i] = worst[i].max(all[i]));
            }
            let [strict, legal, nearest] = worst;
            println!("{n} {mean}: {worst:?}");
            assert!(strict <= 1.0 && strict > 0.1, "{n} terms of mean {mean}: {strict} of the strict bound");
            assert!(legal <= 1.0 && legal > 0.1, "{n} terms of mean {mean}: {legal} of WGSL's bound");
            assert!(nearest <= legal, "{n} terms of mean {mean}");
        }
    }
}
