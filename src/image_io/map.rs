//! From the decoder's output to a mask.

use super::resize::resize_whole_map;
use super::{ImageError, Mask, check_finite, check_length};
use crate::settings::Threshold;

/// The picture that the VAE decoder gives for a query, known to be finite.
#[derive(Clone, Debug)]
pub struct DecodedMap {
    size: u32,
    /// `[size, size, 3]`, clipped and moved to [0, 1].
    rgb: Vec<f32>,
}

impl DecodedMap {
    /// Takes the decoder's output `[size, size, 3]`, which is about [-1, 1], and clips it.
    ///
    /// # Errors
    /// [`ImageError::NotFinite`] where the network gave NaN or infinity, which clipping would hide;
    /// [`ImageError::Length`] for another number of values.
    pub fn new(size: u32, mut rgb: Vec<f32>) -> Result<Self, ImageError> {
        check_length("the decoder's output", rgb.len(), (size, size), 3)?;
        check_finite(&rgb)?;
        for value in &mut rgb {
            *value = value.clamp(-1.0, 1.0) * 0.5 + 0.5;
        }
        Ok(Self { size, rgb })
    }

    /// In pixels: the side S.
    pub fn width(&self) -> u32 {
        self.size
    }

    /// In pixels: the side S.
    pub fn height(&self) -> u32 {
        self.size
    }

    /// The side S of the map in pixels.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// The clipped output, `[S, S, 3]` in [0, 1].
    pub fn rgb(&self) -> &[f32] {
        &self.rgb
    }

    /// The mean over the channels, `[S, S]` in [0, 1].
    pub fn map(&self) -> Vec<f32> {
        self.rgb.chunks_exact(3).map(|p| (p[0] + p[1] + p[2]) / 3.0).collect()
    }

    /// The largest value of any channel, in [0, 1].
    pub fn peak(&self) -> f32 {
        self.rgb.iter().copied().fold(0.0, f32::max)
    }

    /// The mask at S x S by the published rule: channels truncated to bytes, foreground where their mean exceeds
    /// the threshold (relative: of the largest byte).
    pub fn mask(&self, threshold: Threshold) -> Mask {
        let bytes: Vec<u8> = self.rgb.iter().map(|v| (v * 255.0) as u8).collect();
        let peak = bytes.iter().copied().max().unwrap_or(0);
        let level = threshold.level(f64::from(peak), 255.0);
        let foreground = bytes
            .chunks_exact(3)
            .map(|p| {
                let sum: u16 = p.iter().map(|&v| u16::from(v)).sum();
                f64::from(sum) / 3.0 > level
            })
            .collect();
        Mask::from_parts(self.size, self.size, foreground)
    }

    /// The mean map, resized smoothly to `width` x `height`: `[height, width]` in [0, 1].
    pub fn map_at(&self, width: u32, height: u32) -> Vec<f32> {
        let map = self.map();
        if (width, height) == (self.size, self.size) {
            return map;
        }
        resize_whole_map(&map, (self.size, self.size), (width, height))
    }

    /// The mask at a query's own size: the mean map resized smoothly, against the same threshold, where the
    /// maximum is still that of the S x S output. At S x S exactly [`Self::mask`].
    pub fn mask_at(&self, width: u32, height: u32, threshold: Threshold) -> Mask {
        if (width, height) == (self.size, self.size) {
            return self.mask(threshold);
        }
        let level = threshold.level(f64::from(self.peak()), 1.0);
        let foreground = self.map_at(width, height).iter().map(|&v| f64::from(v) > level).collect();
        Mask::from_parts(width, height, foreground)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The decoder's value that becomes `byte` after clipping, scaling and truncation, from the middle of its step.
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
        assert_eq!(map.rgb(), [0.0, 1.0, 0.5]);
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
    fn thresholds_are_checked() {
        for bad in [f64::NAN, -0.1, 1.1, f64::INFINITY] {
            assert!(Threshold::Relative(bad).check().is_err());
            assert!(Threshold::Absolute(bad).check().is_err());
        }
        assert_eq!(Threshold::PAPER.check().unwrap(), Threshold::PAPER);
    }
}
