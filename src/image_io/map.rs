//! From the decoder's output to a mask.

use super::resize::resize_whole_map;
use super::{ImageError, Mask, check_finite, check_length};
use crate::settings::{MaskRule, Threshold};

/// The VAE decoder's output for a query, checked to be finite; or a map made from several outputs.
#[derive(Clone, Debug)]
pub struct DecodedMap {
    width: u32,
    height: u32,
    /// 3 for the decoder's output, 1 for means.
    channels: usize,
    /// `[height, width, channels]`, in [0, 1].
    values: Vec<f32>,
    /// The maximum that relative thresholds refer to.
    peak: f32,
}

impl DecodedMap {
    /// Takes the decoder's output `[size, size, 3]`, which is about [-1, 1], and clips it.
    ///
    /// # Errors
    /// [`ImageError::NotFinite`] if the network gave NaN or infinity, which clipping would hide;
    /// [`ImageError::Length`] for a wrong number of values.
    pub fn new(size: u32, mut rgb: Vec<f32>) -> Result<Self, ImageError> {
        check_length("the decoder's output", rgb.len(), (size, size), 3)?;
        check_finite(&rgb)?;
        for value in &mut rgb {
            *value = value.clamp(-1.0, 1.0) * 0.5 + 0.5;
        }
        Ok(Self::from_parts((size, size), 3, rgb))
    }

    /// A map of means over the channels, `[height, width]` in [0, 1].
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn of_means((width, height): (u32, u32), means: Vec<f32>) -> Result<Self, ImageError> {
        check_length("a map", means.len(), (width, height), 1)?;
        check_finite(&means)?;
        Ok(Self::from_parts((width, height), 1, means))
    }

    fn from_parts((width, height): (u32, u32), channels: usize, values: Vec<f32>) -> Self {
        let peak = values.iter().copied().fold(0.0, f32::max);
        Self { width, height, channels, values, peak }
    }

    /// A rectangle of the map.
    pub(super) fn part(&self, (x, y): (u32, u32), (width, height): (u32, u32)) -> DecodedMap {
        let row = |y: u32| {
            let first = (y as usize * self.width as usize + x as usize) * self.channels;
            &self.values[first..first + width as usize * self.channels]
        };
        let values = (y..y + height).flat_map(row).copied().collect();
        Self::from_parts((width, height), self.channels, values)
    }

    /// Places the map as a square of `side` pixels in a picture of `size` that is 0 elsewhere. The peak stays the same.
    pub(super) fn placed(&self, side: u32, (x, y): (u32, u32), size: (u32, u32)) -> DecodedMap {
        let mut values = vec![0.0; size.0 as usize * size.1 as usize];
        let own = self.map_at(side, side);
        let lines = values.chunks_exact_mut(size.0 as usize).skip(y as usize);
        for (row, line) in own.chunks_exact(side as usize).zip(lines) {
            line[x as usize..][..side as usize].copy_from_slice(row);
        }
        DecodedMap { width: size.0, height: size.1, channels: 1, values, peak: self.peak }
    }

    /// Width in pixels; S for the decoder's output.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels; S for the decoder's output.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The clipped output, `[S, S, 3]` in [0, 1]; `[height, width]` for means.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The mean over the channels, `[height, width]` in [0, 1].
    pub fn map(&self) -> Vec<f32> {
        self.pixels().map(mean).collect()
    }

    fn pixels(&self) -> impl Iterator<Item = &[f32]> {
        self.values.chunks_exact(self.channels)
    }

    /// The largest value of any channel, in [0, 1].
    pub fn peak(&self) -> f32 {
        self.peak
    }

    /// The confidence that the thing is in the picture, in [0, 1]: the map's mean over the pixels of [`Self::mask`] (docs/eval.md measures
    /// its value). 0 if the mask is empty.
    pub fn score(&self, threshold: Threshold) -> f32 {
        self.score_in(&self.published_mask(threshold))
    }

    fn score_in(&self, mask: &Mask) -> f32 {
        let inside = self.pixels().zip(mask.foreground()).filter(|(_, inside)| **inside);
        let (sum, count) = inside.fold((0.0, 0_u64), |(sum, count), (p, _)| (sum + f64::from(mean(p)), count + 1));
        (sum / count.max(1) as f64) as f32
    }

    /// The mask at S x S by the published rule: channels are truncated to bytes, and foreground is where their mean exceeds
    /// the threshold (if relative, of the largest byte). Empty if the score is below the rule's.
    pub fn mask(&self, rule: impl Into<MaskRule>) -> Mask {
        let rule = rule.into();
        let mask = self.published_mask(rule.threshold);
        if rule.min_score > 0.0 && f64::from(self.score_in(&mask)) < rule.min_score {
            return Mask::from_parts(self.width, self.height, vec![false; mask.foreground().len()]);
        }
        mask
    }

    fn published_mask(&self, threshold: Threshold) -> Mask {
        let bytes: Vec<u8> = self.values.iter().map(|v| (v * 255.0) as u8).collect();
        let peak = (self.peak * 255.0) as u8;
        let level = threshold.level(f64::from(peak), 255.0);
        let foreground = bytes
            .chunks_exact(self.channels)
            .map(|p| {
                let sum: u16 = p.iter().map(|&v| u16::from(v)).sum();
                f64::from(sum) / self.channels as f64 > level
            })
            .collect();
        Mask::from_parts(self.width, self.height, foreground)
    }

    /// The mean map, resized bilinearly to `width` x `height`: `[height, width]` in [0, 1].
    pub fn map_at(&self, width: u32, height: u32) -> Vec<f32> {
        let map = self.map();
        if (width, height) == (self.width, self.height) {
            return map;
        }
        resize_whole_map(&map, (self.width, self.height), (width, height))
    }

    /// The mask at a query's own size: the mean map is resized bilinearly and compared with the same threshold; maximum and
    /// score are of the S x S output. At S x S equal to [`Self::mask`].
    pub fn mask_at(&self, width: u32, height: u32, rule: impl Into<MaskRule>) -> Mask {
        let rule = rule.into();
        if (width, height) == (self.width, self.height) {
            return self.mask(rule);
        }
        if rule.min_score > 0.0 && f64::from(self.score(rule.threshold)) < rule.min_score {
            return Mask::from_parts(width, height, vec![false; width as usize * height as usize]);
        }
        let level = rule.threshold.level(f64::from(self.peak()), 1.0);
        let foreground = self.map_at(width, height).iter().map(|&v| f64::from(v) > level).collect();
        Mask::from_parts(width, height, foreground)
    }
}

fn mean(pixel: &[f32]) -> f32 {
    match *pixel {
        [r, g, b] => (r + g + b) / 3.0,
        _ => pixel[0],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A decoder's value that becomes `byte` after clipping, scaling and truncation: the middle of its step.
    fn value(byte: u8) -> f32 {
        (f32::from(byte) + 0.5) / 255.0 * 2.0 - 1.0
    }

    fn map_of(bytes: [[u8; 3]; 4]) -> DecodedMap {
        let rgb = bytes.as_flattened().iter().map(|&b| value(b)).collect();
        DecodedMap::new(2, rgb).unwrap()
    }

    #[test]
    fn the_mean_must_exceed_a_quarter_of_the_largest_channel() {
        // The largest channel is 200, though no mean is: 50 is not more than a quarter of it, 151 / 3 is.
        let map = map_of([[200, 0, 0], [50, 50, 50], [50, 50, 51], [0, 0, 150]]);
        let mask = map.mask(Threshold::PAPER);
        assert_eq!(mask.foreground(), [true, false, true, false]);
        assert_eq!(map.mask_at(2, 2, Threshold::PAPER), mask);
        // 66.67 of 255 is 0.2614.
        let at = |t| map.mask(Threshold::Absolute(t)).foreground().to_vec();
        assert_eq!(at(0.26), [true, false, false, false]);
        assert_eq!(at(0.262), [false; 4]);
        // 0.7 * 250 is 175 exactly: equal is not more.
        let map = map_of([[250; 3], [175; 3], [176, 175, 175], [0; 3]]);
        let mask = map.mask(Threshold::Relative(0.7));
        assert_eq!(mask.foreground(), [true, false, true, false]);
    }

    #[test]
    fn bytes_are_truncated_not_rounded() {
        let nearly = |byte: u8| (f32::from(byte) + 0.99) / 255.0 * 2.0 - 1.0;
        let rgb = [[value(200); 3], [nearly(50); 3], [value(51); 3], [-9.0; 3]].concat();
        let map = DecodedMap::new(2, rgb).unwrap();
        let mask = map.mask(Threshold::PAPER);
        assert_eq!(mask.foreground(), [true, false, true, false]);
    }

    #[test]
    fn output_is_clipped_and_black_has_no_foreground() {
        let map = DecodedMap::new(1, vec![-3.0, 1.5, 0.0]).unwrap();
        assert_eq!(map.values(), [0.0, 1.0, 0.5]);
        assert_eq!((map.map(), map.peak()), (vec![0.5], 1.0));
        let black = DecodedMap::new(1, vec![-1.0; 3]).unwrap();
        assert_eq!(black.mask(Threshold::PAPER).foreground(), [false]);
        let larger = black.mask_at(3, 2, Threshold::PAPER);
        assert_eq!((larger.size(), larger.foreground_fraction()), ((3, 2), 0.0));
    }

    #[test]
    fn nan_and_infinity_are_errors_not_clipped() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let error = DecodedMap::new(1, vec![0.0, bad, 0.0]).unwrap_err();
            let counted = matches!(error, ImageError::NotFinite { count: 1, total: 3, first: 1 });
            assert!(counted, "{error}");
        }
        assert!(DecodedMap::new(2, vec![0.0; 3]).is_err());
    }

    #[test]
    fn another_size_uses_the_peak_of_the_network_size() {
        // A bright pixel that shrinking averages away still sets the level: 0.25 * 1 > mean of (1, .2, .2, .2) is
        // false, for the mean is 0.4; at 0.5 it is true.
        let f = |v: f32| [v * 2.0 - 1.0; 3];
        let map = DecodedMap::new(2, [f(1.0), f(0.2), f(0.2), f(0.2)].concat()).unwrap();
        let one = |ratio| map.mask_at(1, 1, Threshold::Relative(ratio)).foreground()[0];
        assert!(one(0.25) && one(0.39) && !one(0.41));
        let absolute = map.mask_at(1, 1, Threshold::Absolute(0.41));
        assert_eq!(absolute.foreground(), [false]);
    }

    #[test]
    fn what_is_not_sure_enough_is_not_there() {
        let f = |v: f32| [v * 2.0 - 1.0; 3];
        // Above a quarter of 0.8 lie 0.8 and 0.4.
        let map = DecodedMap::new(2, [f(0.8), f(0.4), f(0.2), f(0.0)].concat()).unwrap();
        let score = map.score(Threshold::PAPER);
        assert!((score - 0.6).abs() < 1e-6, "{score}");
        for size in [2, 5] {
            let at = |min_score| map.mask_at(size, size, MaskRule { threshold: Threshold::PAPER, min_score });
            assert_eq!(at(0.59), map.mask_at(size, size, Threshold::PAPER));
            assert_eq!((at(0.61).foreground_fraction(), at(0.61).size()), (0.0, (size, size)));
        }
        let black = DecodedMap::new(1, vec![-1.0; 3]).unwrap();
        assert_eq!(black.score(Threshold::PAPER), 0.0);
    }

    #[test]
    fn thresholds_are_checked() {
        for bad in [f64::NAN, -0.1, 1.1, f64::INFINITY] {
            assert!(Threshold::Relative(bad).check().is_err());
            assert!(Threshold::Absolute(bad).check().is_err());
            assert!(MaskRule { threshold: Threshold::PAPER, min_score: bad }.check().is_err());
        }
        assert_eq!(Threshold::PAPER.check().unwrap(), Threshold::PAPER);
    }
}
