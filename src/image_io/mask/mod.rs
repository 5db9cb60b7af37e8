//! Binary masks, reading them from files of every kind, and warnings about them.
//!
//! ```text
//! file --load--> Stored (levels, palette or colours, alpha) --reading--> foreground --upright--> Mask
//!                   \--Table (which values, how many, in areas?) --levels, colours--> Rule
//! ```

mod colours;
mod levels;
mod load;
mod reading;
mod rule;
mod stored;
mod table;
mod warning;

use super::{ImageError, check_length};
use std::path::Path;

pub use load::{LoadedMask, label_numbers, load_mask, load_mask_for, load_mask_from, load_mask_of, load_mask_with};
pub use reading::{MaskReading, MaskSource};
pub use warning::{MaskKind, MaskPart, MaskValue, MaskWarning};

/// A binary mask, row by row from the top left: `[height, width]`, true is foreground.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    width: u32,
    height: u32,
    foreground: Vec<bool>,
}

/// The smallest rectangle around a mask's foreground, in pixels from the top left corner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoundingBox {
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
}

impl Mask {
    /// A mask from `width * height` values.
    ///
    /// # Errors
    /// [`ImageError::Length`] if there are more or fewer.
    pub fn new(width: u32, height: u32, foreground: Vec<bool>) -> Result<Self, ImageError> {
        check_length("the mask", foreground.len(), (width, height), 1)?;
        Ok(Self { width, height, foreground })
    }

    /// For callers that guarantee the number of values.
    pub(super) fn from_parts(width: u32, height: u32, foreground: Vec<bool>) -> Self {
        debug_assert_eq!(foreground.len(), width as usize * height as usize);
        Self { width, height, foreground }
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// `[height, width]`, a byte for each pixel: 1 is foreground, 0 is background.
    pub fn as_bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.foreground)
    }

    /// Writes a grey PNG atomically, 255 for foreground and 0 for background; never replaces a file
    /// ([`write_mask`](super::write_mask) can).
    ///
    /// # Errors
    /// [`ImageError::Exists`] if the file exists; a name that does not end in `.png`, a missing directory, I/O
    /// errors.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), ImageError> {
        super::write_mask(path.as_ref(), self, false)
    }

    /// `[height, width]`, true is foreground.
    pub fn foreground(&self) -> &[bool] {
        &self.foreground
    }

    /// The fraction of foreground pixels, from 0 to 1; 0 for a mask without pixels.
    pub fn foreground_fraction(&self) -> f64 {
        let count = self.foreground.iter().filter(|&&f| f).count();
        count as f64 / self.foreground.len().max(1) as f64
    }

    /// The smallest rectangle around all foreground; `None` if there is none.
    pub fn bounding_box(&self) -> Option<BoundingBox> {
        let (mut left, mut right, mut top, mut bottom) = (usize::MAX, 0, usize::MAX, 0);
        for (y, row) in self.foreground.chunks_exact(self.width.max(1) as usize).enumerate() {
            let Some(first) = row.iter().position(|&f| f) else {
                continue;
            };
            let last = row.iter().rposition(|&f| f).unwrap_or(first);
            left = left.min(first);
            right = right.max(last);
            top = top.min(y);
            bottom = y;
        }
        (top != usize::MAX).then(|| BoundingBox {
            x: left as u32,
            y: top as u32,
            width: (right - left + 1) as u32,
            height: (bottom - top + 1) as u32,
        })
    }

    /// Whether foreground touches all four borders.
    fn touches_all_borders(&self) -> bool {
        let size = (self.width, self.height);
        self.bounding_box().is_some_and(|b| (b.width, b.height) == size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borders() {
        let ring = (0..20).map(|i| i % 5 == 0 || i % 5 == 4 || !(5..15).contains(&i)).collect();
        assert!(Mask::new(5, 4, ring).unwrap().touches_all_borders());
        let but_left = (0..20).map(|i| i % 5 > 0).collect();
        assert!(!Mask::new(5, 4, but_left).unwrap().touches_all_borders());
        assert!(!Mask::new(5, 4, vec![false; 20]).unwrap().touches_all_borders());
    }

    #[test]
    fn statistics() {
        let mut foreground = vec![false; 20];
        let empty = Mask::new(5, 4, foreground.clone()).unwrap();
        assert_eq!((empty.bounding_box(), empty.foreground_fraction()), (None, 0.0));
        foreground[5 + 3] = true;
        foreground[2 * 5 + 1] = true;
        let mask = Mask::new(5, 4, foreground).unwrap();
        let (x, y, width, height) = (1, 1, 3, 2);
        assert_eq!(mask.bounding_box(), Some(BoundingBox { x, y, width, height }));
        assert_eq!(mask.foreground_fraction(), 0.1);
        assert_eq!(Mask::new(0, 0, vec![]).unwrap().bounding_box(), None);
        assert!(Mask::new(5, 4, vec![true; 19]).is_err());
    }
}
