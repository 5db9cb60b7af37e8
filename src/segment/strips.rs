//! Pictures larger than memory: read by rows, segmented by tiles, with maps on disk.

use super::segmentation::add_times;
use super::{Precision, Progress, Segmenter, Stage, SupportBank};
use crate::Error;
use crate::image_io::{Band, BoundingBox, ImageError, Mosaic, PictureStrips, Tiles};
use crate::settings::MaskRule;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};

/// The map of a large picture, in an unnamed temporary file.
pub struct StripMap {
    size: (u32, u32),
    /// f32 `[height, width]` in native byte order.
    file: File,
    /// The largest value.
    peak: f32,
    times: Vec<(Stage, f64)>,
    precision: Precision,
}

/// Score and size of such a map's mask.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StripsFound {
    /// The mean of the map over the foreground.
    pub score: f32,
    /// Pixels of the foreground.
    pub foreground: u64,
    pub bounding_box: Option<BoundingBox>,
}

impl Segmenter {
    /// [`Segmenter::segment_tiled`] for a picture that is read row by row: memory grows with its width and the tiles' height, not with its
    /// height. The map is a temporary file of 4 bytes per pixel.
    ///
    /// # Errors
    /// As [`Segmenter::segment`], and errors of reading the picture and of the map's file.
    pub fn segment_strips(
        &self,
        bank: &SupportBank,
        picture: &mut PictureStrips,
        tiles: Tiles,
        progress: Progress,
    ) -> Result<StripMap, Error> {
        let size = picture.size();
        let tiles = tiles.within(size);
        let file = tempfile::tempfile().map_err(on_disk)?;
        let (mut writer, mut peak) = (BufWriter::new(&file), 0.0_f32);
        let mut mosaic = Mosaic::band(tiles, size);
        let bands = tiles.bands(size);
        let count = bands.iter().map(|band| band.corners.len()).sum::<usize>() as f64;
        let (mut done, mut times, mut precision) = (0.0, Vec::new(), self.precision());
        for (at, Band { rows, corners }) in bands.iter().enumerate() {
            let strip = picture.rows(rows.clone())?;
            for &(left, top) in corners {
                let tile = tiles.cut(&strip, (left, 0));
                let found =
                    self.segment_with(bank, &tile, &mut |stage, part| progress(stage, (done + part) / count))?;
                add_times(&mut times, found.times());
                if found.overflow().is_some() {
                    precision = found.precision();
                }
                mosaic.add((left, top), found.map());
                done += 1.0;
            }
            // Rows that no later tile covers are complete.
            let next = bands.get(at + 1).map_or(size.1, |band| band.rows.start);
            for row in mosaic.finish_rows(next).chunks_exact(size.0.max(1) as usize) {
                peak = row.iter().copied().fold(peak, f32::max);
                writer.write_all(bytemuck::cast_slice(row)).map_err(on_disk)?;
            }
        }
        picture.check_depth()?;
        writer.flush().map_err(on_disk)?;
        drop(writer);
        Ok(StripMap { size, file, peak, times, precision })
    }
}

fn on_disk(cause: std::io::Error) -> Error {
    ImageError::Write { path: std::env::temp_dir(), cause }.into()
}

impl StripMap {
    /// (width, height)
    pub fn size(&self) -> (u32, u32) {
        self.size
    }

    /// Seconds of each stage for all tiles.
    pub fn times(&self) -> &[(Stage, f64)] {
        &self.times
    }

    /// The precision; [`Precision::F32`] if half precision was not enough for one of the tiles.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Reads its rows one by one, from the top.
    ///
    /// # Errors
    /// I/O errors of the file.
    pub fn rows(&self) -> Result<impl FnMut() -> Result<Vec<f32>, ImageError> + '_, ImageError> {
        let failed = |cause| ImageError::Read { path: std::env::temp_dir(), cause };
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        let mut reader = BufReader::new(file);
        Ok(move || {
            let mut row = vec![0.0_f32; self.size.0 as usize];
            reader.read_exact(bytemuck::cast_slice_mut(&mut row)).map_err(failed)?;
            Ok(row)
        })
    }

    /// Whether a value is foreground, as in [`DecodedMap::mask`](crate::image_io::DecodedMap::mask) for a map of its own size, in bytes.
    fn holds(&self, rule: MaskRule) -> impl Fn(f32) -> bool {
        let byte = |value: f32| (value * 255.0) as u8;
        let level = rule.threshold.level(f64::from(byte(self.peak)), 255.0);
        move |value| f64::from(byte(value)) > level
    }

    /// The mask's score and size by `rule`; the mask is empty if the score is below the rule's.
    ///
    /// # Errors
    /// As [`StripMap::rows`].
    pub fn found(&self, rule: MaskRule) -> Result<StripsFound, ImageError> {
        let (holds, mut next) = (self.holds(rule), self.rows()?);
        let (mut sum, mut count) = (0.0_f64, 0_u64);
        let (mut left, mut right, mut top, mut bottom) = (u32::MAX, 0, u32::MAX, 0);
        for y in 0..self.size.1 {
            for (x, value) in (0_u32..).zip(next()?).filter(|(_, value)| holds(*value)) {
                (sum, count) = (sum + f64::from(value), count + 1);
                (left, right, top, bottom) = (left.min(x), right.max(x), top.min(y), y);
            }
        }
        let score = (sum / count.max(1) as f64) as f32;
        if f64::from(score) < rule.min_score || count == 0 {
            return Ok(StripsFound { score, foreground: 0, bounding_box: None });
        }
        let bounding_box = BoundingBox { x: left, y: top, width: right - left + 1, height: bottom - top + 1 };
        Ok(StripsFound { score, foreground: count, bounding_box: Some(bounding_box) })
    }

    /// Reads the mask's rows one by one, 255 for foreground.
    ///
    /// # Errors
    /// As [`StripMap::rows`].
    pub fn mask_rows(
        &self,
        rule: MaskRule,
        found: &StripsFound,
    ) -> Result<impl FnMut() -> Result<Vec<u8>, ImageError> + '_, ImageError> {
        let (holds, mut next, any) = (self.holds(rule), self.rows()?, found.foreground > 0);
        Ok(move || Ok(next()?.into_iter().map(|value| if any && holds(value) { 255 } else { 0 }).collect()))
    }
}
