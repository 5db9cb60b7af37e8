//! Pictures larger than memory: read by rows, segmented by tiles, with maps on disk.

use super::segmentation::add_times;
use super::{Precision, Progress, Segmenter, Stage, SupportBank};
use crate::Error;
use crate::image_io::{Band, ImageError, Mosaic, PictureStrips, Tiles};
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

impl Segmenter {
    /// As [`Segmenter::segment_tiled`] of a picture that is read row by row: memory grows with its width and the tiles' height, and not with its
    /// height. The map of each bank lies on the disk, where temporary files do, with 4 bytes a pixel.
    ///
    /// # Errors
    /// As [`Segmenter::segment_classes`], and those of reading the picture and of writing the maps.
    pub fn segment_strips(
        &self,
        banks: &[&SupportBank],
        picture: &mut PictureStrips,
        tiles: Tiles,
        progress: Progress,
    ) -> Result<Vec<StripMap>, Error> {
        let size = picture.size();
        let tiles = tiles.within(size);
        let mut maps = banks.iter().map(|_| Growing::new(tiles, size)).collect::<Result<Vec<_>, Error>>()?;
        let bands = tiles.bands(size);
        let count = bands.iter().map(|band| band.corners.len()).sum::<usize>() as f64;
        let (mut done, mut times, mut precision) = (0.0, Vec::new(), self.precision());
        for (at, Band { rows, corners }) in bands.iter().enumerate() {
            let strip = picture.rows(rows.clone())?;
            for &(left, top) in corners {
                let tile = tiles.cut(&strip, (left, 0));
                let found =
                    self.segment_classes(banks, &tile, &mut |stage, part| progress(stage, (done + part) / count))?;
                if let Some(first) = found.first() {
                    add_times(&mut times, first.times());
                }
                for (map, found) in maps.iter_mut().zip(found) {
                    if found.overflow().is_some() {
                        precision = found.precision();
                    }
                    map.mosaic.add((left, top), found.map());
                }
                done += 1.0;
            }
            // Rows that no later tile covers are complete.
            let next = bands.get(at + 1).map_or(size.1, |band| band.rows.start);
            maps.iter_mut().try_for_each(|map| map.finish_rows(next, size.0))?;
        }
        picture.check_depth()?;
        maps.into_iter().map(|map| map.finish(size, times.clone(), precision)).collect()
    }
}

/// A map of which the upper rows are on the disk.
struct Growing {
    mosaic: Mosaic,
    writer: BufWriter<File>,
    peak: f32,
}

impl Growing {
    fn new(tiles: Tiles, size: (u32, u32)) -> Result<Growing, Error> {
        let file = tempfile::tempfile().map_err(on_disk)?;
        Ok(Growing { mosaic: Mosaic::band(tiles, size), writer: BufWriter::new(file), peak: 0.0 })
    }

    fn finish_rows(&mut self, end: u32, width: u32) -> Result<(), Error> {
        for row in self.mosaic.finish_rows(end).chunks_exact(width.max(1) as usize) {
            self.peak = row.iter().copied().fold(self.peak, f32::max);
            self.writer.write_all(bytemuck::cast_slice(row)).map_err(on_disk)?;
        }
        Ok(())
    }

    fn finish(self, size: (u32, u32), times: Vec<(Stage, f64)>, precision: Precision) -> Result<StripMap, Error> {
        let file = self.writer.into_inner().map_err(|error| on_disk(error.into_error()))?;
        Ok(StripMap { size, file, peak: self.peak, times, precision })
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

    /// Whether a value is foreground: as [`DecodedMap::mask`](crate::image_io::DecodedMap::mask) has it for a map of its own size, in bytes.
    pub(super) fn holds(&self, rule: MaskRule) -> impl Fn(f32) -> bool {
        let byte = |value: f32| (value * 255.0) as u8;
        let level = rule.threshold.level(f64::from(byte(self.peak)), 255.0);
        move |value| f64::from(byte(value)) > level
    }

    /// How sure it is that the thing is there, as [`DecodedMap::score`](crate::image_io::DecodedMap::score), and whether that is as much as
    /// `rule` asks for.
    pub(super) fn score(&self, rule: MaskRule) -> Result<(f32, bool), ImageError> {
        let (holds, mut next) = (self.holds(rule), self.rows()?);
        let (mut sum, mut count) = (0.0_f64, 0_u64);
        for _ in 0..self.size.1 {
            for value in next()?.into_iter().filter(|value| holds(*value)) {
                (sum, count) = (sum + f64::from(value), count + 1);
            }
        }
        let score = (sum / count.max(1) as f64) as f32;
        Ok((score, f64::from(score) >= rule.min_score))
    }
}
