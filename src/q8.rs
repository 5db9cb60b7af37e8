//! Weights of 8 bits: blocks of whole numbers from -127 to 127, each number times the scale of its block.
//!
//! A scale has 16 significant bits, so a number times its scale has 23 and is exact in f32. So kernels and host have equal weights to the
//! last bit, and quantising twice changes nothing.

/// Numbers that share a scale.
pub const BLOCK: usize = 64;

/// The largest number.
const MOST: f32 = 127.0;

/// The scale of a block whose largest magnitude is `most`; 0 if it would not be a normal number.
pub fn scale(most: f32) -> f32 {
    let scale = f32::from_bits((most / MOST).to_bits() & !0xff);
    if scale.is_normal() { scale } else { 0.0 }
}

/// The integer whose product with `scale` is nearest to `value`.
pub fn number(value: f32, scale: f32) -> i8 {
    // Adding this rounds to an integer: the sum has no bits below 1.
    const WHOLE: f32 = 12_582_912.0;
    if scale == 0.0 { 0 } else { (value / scale + WHOLE - WHOLE) as i8 }
}

/// Quantises and decodes a block in place.
pub fn round(block: &mut [f32]) {
    let scale = scale(block.iter().fold(0.0, |most, v| v.abs().max(most)));
    block.iter_mut().for_each(|v| *v = f32::from(number(*v, scale)) * scale);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_keeps_its_largest_and_stays_as_it_is() {
        let mut rng = fastrand::Rng::with_seed(8);
        for n in 0..1000 {
            let size = 10f32.powi(n % 70 - 35);
            let values: Vec<f32> = (0..BLOCK).map(|_| (rng.f32() - 0.5) * size).collect();
            let mut once = values.clone();
            round(&mut once);
            let most = values.iter().fold(0f32, |most, v| v.abs().max(most));
            let scale = scale(most);
            assert!(values.iter().zip(&once).all(|(v, q)| (v - q).abs() <= scale * 0.5002), "{values:?} {once:?}");
            assert!(values.iter().any(|&v| number(v, scale).unsigned_abs() == 127));
            let mut twice = once.clone();
            round(&mut twice);
            assert_eq!(once, twice);
            // All products are exact.
            assert!((-128..=127).all(|n| f64::from(n as f32 * scale) == f64::from(n) * f64::from(scale)));
        }
    }

    #[test]
    fn what_has_no_size_is_zero() {
        for least in [0.0, 1e-45, 1e-39, 1e-36] {
            let mut block = [least, -least];
            round(&mut block);
            assert_eq!(block, [0.0; 2], "{least}");
        }
        let mut block = [f32::MAX, -f32::MAX, 1.0];
        round(&mut block);
        assert!(
            block.iter().all(|v| v.is_finite()) && block[0] > 0.99 * f32::MAX && block[1] == -block[0],
            "{block:?}"
        );
    }
}
