//! Deep samples to 8 bits.

use std::path::Path;

use super::{Note, Pixels, Samples};
use crate::image_io::ImageError;

/// How samples of more than 8 bits become 8-bit ones.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Depth {
    /// White is 65535: 16-bit samples keep their high byte. Pictures that use few of their bits would be nearly black and are
    /// refused.
    Full,
    /// White is 2^bits - 1, from 8 to 16 bits. Larger samples are refused.
    Bits(u32),
    /// Each band of each picture, also of 8 bits, is stretched from its `low` to its `high` percentile (0 to 100); values beyond become
    /// black or white.
    Stretch { low: f64, high: f64 },
}

/// Values that fit in this many bits are taken as a smaller depth, not as a dark 16-bit picture: cameras and microscopes have 10, 12 or 14.
pub(super) const FEW_BITS: u32 = 14;

/// The common depth of pictures: the most bits that one of them uses.
pub(super) fn used_by(pictures: &[Pixels]) -> Depth {
    let used = pictures.iter().filter_map(|p| match &p.samples {
        Samples::Sixteen(samples) => Some(used_bits(samples, p.channels)),
        _ => None,
    });
    match used.max() {
        Some(bits @ 1..=FEW_BITS) => Depth::Bits(bits.max(8)),
        _ => Depth::Full,
    }
}

/// Bits of the largest value, without alpha.
fn used_bits(samples: &[u16], channels: usize) -> u32 {
    let colours = if matches!(channels, 2 | 4) { channels - 1 } else { channels };
    let all = samples.chunks_exact(channels).flat_map(|pixel| &pixel[..colours]).fold(0, |all, &s| all | s);
    u16::BITS - all.leading_zeros()
}

/// Converts samples, `channels` for each pixel, to 8 bits.
pub(super) fn to_bytes(
    path: &Path,
    samples: Samples,
    channels: usize,
    depth: Depth,
    notes: &mut Vec<Note>,
) -> Result<Vec<u8>, ImageError> {
    if let Depth::Stretch { low, high } = depth {
        let part = (low / 100.0, high / 100.0);
        return Ok(match samples {
            Samples::Eight(samples) => stretched(&samples, channels, part, 255.0),
            Samples::Sixteen(samples) => stretched(&samples, channels, part, 65535.0),
            Samples::Float(samples) => stretched(&samples, channels, part, 1.0),
            Samples::Inks(samples) => samples,
        });
    }
    let samples = match samples {
        Samples::Eight(samples) | Samples::Inks(samples) => return Ok(samples),
        Samples::Float(_) => return Err(ImageError::FloatSamples { path: path.to_owned() }),
        Samples::Sixteen(samples) => samples,
    };
    let used = used_bits(&samples, channels);
    let path = || path.to_owned();
    let bits = match depth {
        Depth::Bits(bits) if used > bits => return Err(ImageError::ManyBits { path: path(), used, bits }),
        Depth::Bits(bits) => bits.clamp(8, 16),
        _ if (1..=FEW_BITS).contains(&used) => return Err(ImageError::FewBits { path: path(), used: used.max(8) }),
        _ => 16,
    };
    if bits < 16 {
        notes.push(Note::Bits { bits });
    }
    // Alpha uses all bits, even if the colours do not.
    let with_alpha = matches!(channels, 2 | 4);
    let deep_alpha = with_alpha && samples.chunks_exact(channels).any(|p| u32::from(p[channels - 1]) >> bits != 0);
    let byte = |(i, sample): (usize, &u16)| {
        let is_alpha = with_alpha && i % channels == channels - 1;
        (sample >> if is_alpha && deep_alpha { 8 } else { bits - 8 }).min(255) as u8
    };
    Ok(samples.iter().enumerate().map(byte).collect())
}

/// Stretches each band between two percentiles, given as parts of 1; alpha is only scaled, with `full` as opaque.
fn stretched<T: Copy + Into<f64>>(samples: &[T], channels: usize, (low, high): (f64, f64), full: f64) -> Vec<u8> {
    let mut out = vec![0; samples.len()];
    for channel in 0..channels {
        let values = || samples[channel..].iter().step_by(channels).map(|&s| s.into());
        let (black, white) = if matches!(channels, 2 | 4) && channel == channels - 1 {
            (0.0, full)
        } else {
            let mut known: Vec<f64> = values().filter(|v| v.is_finite()).collect();
            (percentile(&mut known, low), percentile(&mut known, high))
        };
        for (byte, value) in out[channel..].iter_mut().step_by(channels).zip(values()) {
            // NaN becomes black, and so does a band with a single value.
            let level = (value - black) / (white - black).max(f64::MIN_POSITIVE) * 255.0;
            *byte = level.round().clamp(0.0, 255.0) as u8;
        }
    }
    out
}

/// The value of the nearest rank.
fn percentile(values: &mut [f64], part: f64) -> f64 {
    let Some(last) = values.len().checked_sub(1) else { return 0.0 };
    let rank = (part * last as f64).round() as usize;
    *values.select_nth_unstable_by(rank.min(last), f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::metadata::Orientation;

    fn bytes(samples: Samples, channels: usize, depth: Depth) -> Result<(Vec<u8>, Vec<Note>), ImageError> {
        let mut notes = Vec::new();
        to_bytes(Path::new("x.tif"), samples, channels, depth, &mut notes).map(|bytes| (bytes, notes))
    }

    fn sixteen(samples: &[u16]) -> Pixels {
        let (width, height, orientation) = (samples.len() as u32, 1, Orientation::NoTransforms);
        let samples = Samples::Sixteen(samples.to_vec());
        Pixels { width, height, channels: 1, samples, icc: None, orientation, notes: vec![], place: None }
    }

    #[test]
    fn sixteen_bits_keep_the_high_byte() {
        let samples = || Samples::Sixteen(vec![0x1234, 0xffff, 0x00ff, 0x8000]);
        assert_eq!(bytes(samples(), 1, Depth::Full).unwrap(), (vec![0x12, 0xff, 0x00, 0x80], vec![]));
        assert_eq!(bytes(samples(), 1, Depth::Bits(16)).unwrap().0, [0x12, 0xff, 0x00, 0x80]);
        // Black is black at any depth.
        assert_eq!(bytes(Samples::Sixteen(vec![0, 0]), 1, Depth::Full).unwrap().0, [0, 0]);
    }

    #[test]
    fn few_bits_are_refused_alone_and_scaled_by_the_runs_power_of_two() {
        let ten = || Samples::Sixteen(vec![0, 512, 1023]);
        let told = bytes(ten(), 1, Depth::Full).unwrap_err().to_string();
        assert!(told.contains("use only 10 bits") && told.lines().count() == 1, "{told}");
        let (scaled, notes) = bytes(ten(), 1, Depth::Bits(10)).unwrap();
        assert_eq!((scaled, notes), (vec![0, 128, 255], vec![Note::Bits { bits: 10 }]));
        assert_eq!(bytes(ten(), 1, Depth::Bits(12)).unwrap().0, [0, 32, 63]);
        let told = bytes(ten(), 1, Depth::Bits(8)).unwrap_err().to_string();
        assert!(told.contains("use 10 bits"), "{told}");
        // Alpha of all 16 bits beside colours of 10.
        let grey_alpha = Samples::Sixteen(vec![1023, 65535, 512, 32768]);
        assert_eq!(bytes(grey_alpha, 2, Depth::Bits(10)).unwrap().0, [255, 255, 128, 128]);

        let decided = |pictures: &[Pixels]| used_by(pictures);
        assert_eq!(decided(&[sixteen(&[3, 900]), sixteen(&[7, 4000])]), Depth::Bits(12));
        assert_eq!(decided(&[sixteen(&[3, 40])]), Depth::Bits(8));
        assert_eq!(decided(&[sixteen(&[900]), sixteen(&[40_000])]), Depth::Full);
        assert_eq!(decided(&[sixteen(&[0])]), Depth::Full);
        assert_eq!(decided(&[]), Depth::Full);
    }

    #[test]
    fn stretching_takes_percentiles_of_each_band() {
        let depth = Depth::Stretch { low: 2.0, high: 98.0 };
        let ramp: Vec<u16> = (0..101).flat_map(|i| [1000 + 10 * i, 5, 300 - i]).collect();
        let got = bytes(Samples::Sixteen(ramp), 3, depth).unwrap().0;
        let level = |i: i32| ((i - 2) as f64 / 96.0 * 255.0).round().clamp(0.0, 255.0) as u8;
        for (i, pixel) in got.chunks_exact(3).enumerate() {
            // A band of one value is black.
            assert_eq!(pixel, [level(i as i32), 0, level(100 - i as i32)], "{i}");
        }
        let float = vec![f32::NAN, -5.0, 0.0, 1e9, f32::INFINITY];
        let whole = Depth::Stretch { low: 0.0, high: 100.0 };
        assert_eq!(bytes(Samples::Float(float), 1, whole).unwrap().0, [0, 0, 0, 255, 255]);
        assert_eq!(bytes(Samples::Float(vec![f32::NAN]), 1, whole).unwrap().0, [0]);
        assert_eq!(bytes(Samples::Float(vec![0.5, 1.0, 2.5, 0.25]), 2, whole).unwrap().0, [0, 255, 255, 64]);
        assert!(matches!(bytes(Samples::Float(vec![0.5]), 1, Depth::Full), Err(ImageError::FloatSamples { .. })));
    }
}
