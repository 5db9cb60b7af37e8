//! The result for a picture: a mask, or a label map of several classes.

use super::{
    DecodedMap, ImageError, LabelMap, Mask, Object, ObjectOptions, RgbImage, find_objects, label_maps, mask_of_objects,
    paint_overlay, paint_overlay_in, voc_colour,
};
use crate::settings::MaskRule;
use std::borrow::Cow;

/// A mask or label map, and the maps that it was made from.
pub enum Prediction {
    Mask {
        mask: Mask,
        map: DecodedMap,
    },
    /// One map for each class, in order.
    Labels {
        labels: LabelMap,
        maps: Vec<DecodedMap>,
    },
}

impl Prediction {
    /// Makes a result of (width, height) from the map of each class. With a `margin` it is a label map, in which a pixel is void if its two best
    /// classes are closer than that; without, it is the mask of the first map. With `negatives` the last map is of the negative
    /// examples: it takes its pixels from the others and is left out of the result.
    ///
    /// # Errors
    /// No map, or more than [`MOST_CLASSES`](super::MOST_CLASSES).
    pub fn new(
        mut maps: Vec<DecodedMap>,
        size: (u32, u32),
        rule: MaskRule,
        margin: Option<f32>,
        negatives: bool,
    ) -> Result<Prediction, ImageError> {
        let least = 1 + usize::from(negatives);
        if maps.len() < least {
            return Err(ImageError::Length { what: "the maps of classes", got: maps.len(), want: least });
        }
        if let (None, false) = (margin, negatives) {
            let map = maps.swap_remove(0);
            return Ok(Prediction::Mask { mask: map.mask_at(size.0, size.1, rule), map });
        }
        let mut labels = label_maps(&maps, size, rule, margin.unwrap_or(0.0))?;
        if negatives {
            let number = maps.len() as u8;
            maps.pop();
            labels.remove(number);
        }
        Ok(match margin {
            Some(_) => Prediction::Labels { labels, maps },
            None => Prediction::Mask { mask: labels.mask(1), map: maps.swap_remove(0) },
        })
    }

    /// The map of each class.
    pub fn maps(&self) -> &[DecodedMap] {
        match self {
            Prediction::Mask { map, .. } => std::slice::from_ref(map),
            Prediction::Labels { maps, .. } => maps,
        }
    }

    /// Width and height of the picture.
    pub fn size(&self) -> (u32, u32) {
        match self {
            Prediction::Mask { mask, .. } => mask.size(),
            Prediction::Labels { labels, .. } => labels.size(),
        }
    }

    /// Pixels of any class.
    pub fn foreground(&self) -> Cow<'_, Mask> {
        match self {
            Prediction::Mask { mask, .. } => Cow::Borrowed(mask),
            Prediction::Labels { labels, .. } => Cow::Owned(labels.foreground()),
        }
    }

    /// Finds the objects of each class, and removes all other pixels.
    ///
    /// # Errors
    /// As [`find_objects`].
    pub fn keep_objects(&mut self, options: &ObjectOptions) -> Result<Vec<Vec<Object>>, ImageError> {
        let (width, height) = self.size();
        let of = |mask: &Mask, map: &DecodedMap| find_objects(mask, Some(&map.map_at(width, height)), options);
        match self {
            Prediction::Mask { mask, map } => {
                let objects = of(mask, map)?;
                *mask = mask_of_objects(&objects, (width, height))?;
                Ok(vec![objects])
            }
            Prediction::Labels { labels, maps } => (1..=255)
                .zip(maps)
                .map(|(label, map)| {
                    let objects = of(&labels.mask(label), map)?;
                    labels.keep(label, &mask_of_objects(&objects, (width, height))?)?;
                    Ok(objects)
                })
                .collect(),
        }
    }

    /// The picture with the result painted over.
    ///
    /// # Errors
    /// A picture of another size.
    pub fn painted(&self, rgb: &RgbImage) -> Result<RgbImage, ImageError> {
        match self {
            Prediction::Mask { mask, .. } => paint_overlay(rgb, mask),
            Prediction::Labels { labels, maps } => (1..=maps.len() as u8).try_fold(rgb.clone(), |painted, label| {
                paint_overlay_in(&painted, &labels.mask(label), voc_colour(label))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Threshold;

    fn map(values: [f32; 4]) -> DecodedMap {
        DecodedMap::of_means((4, 1), values.to_vec()).unwrap()
    }

    #[test]
    fn what_is_not_meant_keeps_its_pixels() {
        let size = (4, 1);
        let maps = || vec![map([0.9, 0.8, 0.1, 0.9]), map([0.1, 0.9, 0.9, 0.1])];
        let new =
            |margin, negatives| Prediction::new(maps(), size, Threshold::PAPER.into(), margin, negatives).unwrap();
        let foreground = |found: &Prediction| found.foreground().foreground().to_vec();
        assert_eq!(foreground(&new(None, false)), [true, true, false, true]);
        let found = new(None, true);
        assert_eq!((foreground(&found), found.maps().len()), (vec![true, false, false, true], 1));
        let mut found = new(Some(0.0), false);
        assert_eq!(foreground(&found), [true; 4]);
        let areas = |objects: Vec<Vec<Object>>| -> Vec<Vec<u64>> {
            objects.iter().map(|class| class.iter().map(|object| object.area).collect()).collect()
        };
        let largest = ObjectOptions { min_area: 2, ..ObjectOptions::default() };
        assert_eq!(areas(found.keep_objects(&largest).unwrap()), [vec![], vec![2]]);
        assert_eq!(foreground(&found), [false, true, true, false]);
        for (maps, negatives) in [(0, false), (1, true)] {
            let maps = maps_of(maps);
            assert!(Prediction::new(maps, size, Threshold::PAPER.into(), None, negatives).is_err());
        }
    }

    fn maps_of(count: usize) -> Vec<DecodedMap> {
        (0..count).map(|_| map([0.5; 4])).collect()
    }
}
