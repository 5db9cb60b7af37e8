//! Large pictures, tile by tile.

use super::{Progress, Segmentation, Segmenter, SupportBank};
use crate::Error;
use crate::image_io::{Mosaic, RgbImage, Tiles};
use std::sync::OnceLock;

impl Segmenter {
    /// [`Segmenter::segment_classes`] for large pictures: each of `tiles` is a query, and their maps are blended into one map of the
    /// picture's size. A relative threshold refers to the largest value of the whole map. Times and spans of each result cover all
    /// tiles.
    ///
    /// # Errors
    /// As [`Segmenter::segment_classes`].
    pub fn segment_tiled(
        &self,
        banks: &[&SupportBank],
        query: &RgbImage,
        tiles: Tiles,
        progress: Progress,
    ) -> Result<Vec<Segmentation>, Error> {
        let size = query.dimensions();
        if size.0 == 0 || size.1 == 0 {
            return Err(Error::Usage("the query has no pixels".into()));
        }
        let tiles = tiles.within(size);
        let corners = tiles.corners(size);
        let count = corners.len() as f64;
        let mut mosaics: Vec<Mosaic> = banks.iter().map(|_| Mosaic::new(tiles, size)).collect();
        let mut all: Option<Vec<Segmentation>> = None;
        for (done, corner) in corners.into_iter().enumerate() {
            let tile = tiles.cut(query, corner);
            let found =
                self.segment_classes(banks, &tile, &mut |stage, part| progress(stage, (done as f64 + part) / count))?;
            mosaics.iter_mut().zip(&found).for_each(|(mosaic, found)| mosaic.add(corner, found.map()));
            match &mut all {
                None => all = Some(found),
                Some(all) => all.iter_mut().zip(found).for_each(|(all, found)| all.add_times(found)),
            }
        }
        let whole = |(found, mosaic): (Segmentation, Mosaic)| {
            Ok(Segmentation { map: mosaic.finish()?, size, mask: OnceLock::new(), ..found })
        };
        all.unwrap_or_default().into_iter().zip(mosaics).map(whole).collect()
    }
}
