//! Bands that a user chooses as grey or as red, green and blue.

use super::{Pixels, Samples};

/// One band as grey, or three as red, green and blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bands {
    numbers: [u16; 3],
    count: usize,
}

impl Bands {
    /// One or three bands by their numbers from 1; `None` for other counts or numbers.
    pub fn new(numbers: &[u16]) -> Option<Self> {
        if numbers.contains(&0) {
            return None;
        }
        match *numbers {
            [grey] => Some(Self { numbers: [grey; 3], count: 1 }),
            [r, g, b] => Some(Self { numbers: [r, g, b], count: 3 }),
            _ => None,
        }
    }

    /// 1 or 3.
    pub(super) fn count(self) -> usize {
        self.count
    }

    /// Indices in a pixel, from 0.
    pub(super) fn indices(self) -> impl Iterator<Item = usize> {
        self.numbers.into_iter().take(self.count).map(|number| usize::from(number) - 1)
    }

    /// Fails if a picture of `bands` bands lacks one of these.
    pub(super) fn check(self, bands: usize) -> Result<(), String> {
        match self.indices().find(|&i| i >= bands) {
            Some(i) => Err(format!("it has {bands} bands, but band {} was requested", i + 1)),
            None => Ok(()),
        }
    }

    /// Selects these bands of an interleaved picture.
    pub(super) fn of(self, pixels: Pixels) -> Result<Pixels, String> {
        self.check(pixels.channels)?;
        let picks: Vec<usize> = self.indices().collect();
        fn pick<T: Copy>(samples: &[T], channels: usize, picks: &[usize]) -> Vec<T> {
            samples.chunks_exact(channels).flat_map(|pixel| picks.iter().map(|&i| pixel[i])).collect()
        }
        let samples = match &pixels.samples {
            Samples::Eight(s) | Samples::Inks(s) => Samples::Eight(pick(s, pixels.channels, &picks)),
            Samples::Sixteen(s) => Samples::Sixteen(pick(s, pixels.channels, &picks)),
            Samples::Float(s) => Samples::Float(pick(s, pixels.channels, &picks)),
        };
        // A profile applies only to the original colours.
        Ok(Pixels { channels: self.count, samples, icc: None, ..pixels })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::metadata::Orientation;

    #[test]
    fn bands_are_taken_by_their_numbers() {
        for wrong in [&[][..], &[0], &[1, 2], &[1, 0, 2], &[1, 2, 3, 4]] {
            assert_eq!(Bands::new(wrong), None, "{wrong:?}");
        }
        let pixels = || Pixels {
            width: 2,
            height: 1,
            channels: 4,
            samples: Samples::Sixteen(vec![1, 2, 3, 4, 5, 6, 7, 8]),
            icc: Some(vec![1]),
            orientation: Orientation::NoTransforms,
            notes: vec![],
            place: None,
        };
        let taken = Bands::new(&[4, 3, 2]).unwrap().of(pixels()).unwrap();
        assert!(matches!(taken.samples, Samples::Sixteen(s) if s == [4, 3, 2, 8, 7, 6]));
        assert_eq!((taken.channels, taken.icc), (3, None));
        let taken = Bands::new(&[2]).unwrap().of(pixels()).unwrap();
        assert!(matches!(taken.samples, Samples::Sixteen(s) if s == [2, 6]));
        let told = Bands::new(&[1, 5, 2]).unwrap().of(pixels()).unwrap_err();
        assert!(told.contains("4 bands") && told.contains("band 5"), "{told}");
    }
}
