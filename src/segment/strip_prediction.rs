//! The mask or label map of a picture larger than memory, by rows.

use super::StripMap;
use crate::image_io::{
    BoundingBox, ImageError, LabelMap, Labelling, MOST_CLASSES, Mask, Object, ObjectOptions, PictureStrips, RgbImage,
    RowObject, RowObjects, Rows, line_of, paint_part, voc_colour,
};
use crate::settings::MaskRule;
use std::collections::VecDeque;

/// Rows painted at once.
const BAND: u32 = 64;

/// A [`Prediction`](crate::image_io::Prediction) whose maps lie on disk. Each pass reads all of them.
pub struct StripPrediction {
    size: (u32, u32),
    maps: Vec<StripMap>,
    rule: MaskRule,
    margin: Option<f32>,
    /// Whether the last map is of the negative examples.
    negatives: bool,
    /// Each map's score, and whether it reaches the minimum.
    scores: Vec<(f32, bool)>,
    /// Each class's objects, if other pixels are removed.
    objects: Option<Vec<RowObjects>>,
}

/// The foreground of one class, or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ClassExtent {
    /// In pixels.
    pub foreground: u64,
    pub bounding_box: Option<BoundingBox>,
}

/// A row: the values of each map, and the labels.
type Contended = (Vec<Vec<f32>>, LabelMap);

/// Reads the next row of labels.
type LabelRows<'a> = Box<dyn FnMut() -> Result<LabelMap, ImageError> + 'a>;

impl StripPrediction {
    /// Takes the map of each class, as [`Prediction::new`](crate::image_io::Prediction::new) does.
    ///
    /// # Errors
    /// No map, too many maps, maps of different sizes, and I/O errors.
    pub fn new(
        mut maps: Vec<StripMap>,
        rule: MaskRule,
        margin: Option<f32>,
        negatives: bool,
    ) -> Result<StripPrediction, ImageError> {
        let least = 1 + usize::from(negatives);
        let size = match maps.first() {
            Some(first) if maps.len() >= least => first.size(),
            _ => return Err(ImageError::Length { what: "the maps of classes", got: maps.len(), want: least }),
        };
        if maps.len() > MOST_CLASSES {
            return Err(ImageError::Classes { most: MOST_CLASSES });
        }
        if let Some(other) = maps.iter().find(|map| map.size() != size) {
            let (got, want) = (other.size().0 as usize, size.0 as usize);
            return Err(ImageError::Length { what: "a row of a class's map", got, want });
        }
        if margin.is_none() && !negatives {
            maps.truncate(1);
        }
        let scores = maps.iter().map(|map| map.score(rule)).collect::<Result<_, _>>()?;
        Ok(StripPrediction { size, maps, rule, margin, negatives, scores, objects: None })
    }

    /// (width, height)
    pub fn size(&self) -> (u32, u32) {
        self.size
    }

    /// The map of each class.
    pub fn maps(&self) -> &[StripMap] {
        &self.maps[..self.maps.len() - usize::from(self.negatives)]
    }

    /// Each class's score: the mean of its map above the threshold.
    pub fn scores(&self) -> impl Iterator<Item = f32> {
        self.maps().iter().zip(&self.scores).map(|(_, (score, _))| *score)
    }

    /// Reads rows before objects are filtered: the values of each map, and the labels.
    fn contended(&self) -> Result<impl FnMut() -> Result<Contended, ImageError> + '_, ImageError> {
        let mut readers = self.maps.iter().map(StripMap::rows).collect::<Result<Vec<_>, _>>()?;
        let size = (self.size.0, 1);
        Ok(move || {
            let rows = readers.iter_mut().map(|next| next()).collect::<Result<Vec<_>, _>>()?;
            if let ([row], [map], [(_, any)]) = (rows.as_slice(), self.maps.as_slice(), self.scores.as_slice()) {
                // A single map has no rival.
                let holds = map.holds(self.rule);
                let labels = row.iter().map(|&value| u8::from(*any && holds(value))).collect();
                return Ok((rows, LabelMap::new(size, labels)?));
            }
            let mut labelling = Labelling::new(size);
            for ((row, map), (_, any)) in rows.iter().zip(&self.maps).zip(&self.scores) {
                let holds = map.holds(self.rule);
                let mask = row.iter().map(|&value| *any && holds(value)).collect();
                labelling.add(row, &Mask::new(size.0, 1, mask)?)?;
            }
            let mut labels = labelling.finish(self.margin.unwrap_or(0.0));
            if self.negatives {
                labels.remove(self.maps.len() as u8);
            }
            Ok((rows, labels))
        })
    }

    /// The rows of one class, to find its objects.
    fn class(&self, label: u8) -> Result<Rows<'_>, ImageError> {
        let mut next = self.contended()?;
        let place = usize::from(label) - 1;
        Ok(Box::new(move || {
            let (mut rows, labels) = next()?;
            Ok((rows.swap_remove(place), labels.mask(label).foreground().to_vec()))
        }))
    }

    fn labels(&self) -> impl Iterator<Item = u8> + use<> {
        1..=self.maps().len() as u8
    }

    /// Finds the objects of each class, and removes all other pixels.
    ///
    /// # Errors
    /// As [`RowObjects::find`].
    pub fn keep_objects(&mut self, options: &ObjectOptions) -> Result<(), ImageError> {
        self.objects = None;
        let find = |label| RowObjects::find(self.size, options, &|| self.class(label));
        self.objects = Some(self.labels().map(find).collect::<Result<_, _>>()?);
        Ok(())
    }

    /// The objects of each class, after [`Self::keep_objects`].
    pub fn objects(&self) -> Option<Vec<&[RowObject]>> {
        Some(self.objects.as_ref()?.iter().map(RowObjects::objects).collect())
    }

    /// The objects of each class with their pixels.
    ///
    /// # Errors
    /// As [`RowObjects::with_regions`].
    pub fn regions(&self) -> Result<Vec<Vec<Object>>, ImageError> {
        let of = |(label, found): (u8, &RowObjects)| found.with_regions(&|| self.class(label));
        self.labels().zip(self.objects.iter().flatten()).map(of).collect()
    }

    fn label_rows(&self) -> Result<LabelRows<'_>, ImageError> {
        let mut next = self.contended()?;
        let Some(objects) = &self.objects else { return Ok(Box::new(move || Ok(next()?.1))) };
        let mut replays: Vec<_> = self.labels().zip(objects.iter().map(RowObjects::replay)).collect();
        Ok(Box::new(move || {
            let mut labels = next()?.1;
            for (label, replay) in &mut replays {
                let mut kept = vec![false; self.size.0 as usize];
                for (run, _) in replay.row(labels.mask(*label).foreground().to_vec())? {
                    kept[run.start as usize..run.end as usize].fill(true);
                }
                labels.keep(*label, &Mask::new(self.size.0, 1, kept)?)?;
            }
            Ok(labels)
        }))
    }

    /// Rows from the top: labels, or in a mask 255 for foreground.
    ///
    /// # Errors
    /// I/O errors of the maps.
    pub fn rows(&self) -> Result<impl FnMut() -> Result<Vec<u8>, ImageError> + '_, ImageError> {
        let mut next = self.label_rows()?;
        let is_mask = self.margin.is_none();
        let sample = move |label: &u8| if is_mask { 255 * u8::from(*label == 1) } else { *label };
        Ok(move || Ok(next()?.labels().iter().map(sample).collect()))
    }

    /// The rows of one class's mask, from 1: 255 for foreground.
    ///
    /// # Errors
    /// As [`Self::rows`].
    pub fn class_rows(&self, label: u8) -> Result<impl FnMut() -> Result<Vec<u8>, ImageError> + '_, ImageError> {
        let mut next = self.label_rows()?;
        Ok(move || Ok(next()?.labels().iter().map(|own| if *own == label { 255 } else { 0 }).collect()))
    }

    /// The picture's rows in RGB with the result painted over, as [`Prediction::painted`](crate::image_io::Prediction::painted).
    ///
    /// # Errors
    /// As [`Self::rows`]; errors of reading the picture; a picture of another size.
    pub fn painted_rows<'a>(
        &'a self,
        picture: &'a mut PictureStrips,
    ) -> Result<impl FnMut() -> Result<Vec<u8>, ImageError> + 'a, ImageError> {
        if picture.size() != self.size {
            let (got, want) = (picture.size().0 as usize, self.size.0 as usize);
            return Err(ImageError::Length { what: "a row to paint over", got, want });
        }
        let ((width, height), line, mut next) = (self.size, line_of(self.size), self.label_rows()?);
        // Label rows from `first` on, and painted bytes not yet returned.
        let (mut labels, mut first, mut done, mut given) = (Vec::new(), 0, VecDeque::new(), 0);
        let row = 3 * width as usize;
        Ok(move || {
            if done.len() < row && given < height {
                let (top, end) = (given.saturating_sub(line), height.min(given + BAND + line));
                labels.drain(..(top - first) as usize * width as usize);
                first = top;
                while labels.len() < (end - top) as usize * width as usize {
                    labels.extend_from_slice(next()?.labels());
                }
                let part = LabelMap::new((width, end - top), labels.clone())?;
                let painted = self.paint(picture.rows(top..end)?, &part, line)?;
                let bottom = height.min(given + BAND);
                done.extend(&painted.as_raw()[(given - top) as usize * row..(bottom - top) as usize * row]);
                given = bottom;
            }
            Ok(done.drain(..row.min(done.len())).collect())
        })
    }

    fn paint(&self, rgb: RgbImage, labels: &LabelMap, line: u32) -> Result<RgbImage, ImageError> {
        match self.margin {
            None => paint_part(&rgb, &labels.mask(1), None, line),
            Some(_) => self.labels().try_fold(rgb, |painted, label| {
                paint_part(&painted, &labels.mask(label), Some(voc_colour(label)), line)
            }),
        }
    }

    /// The foreground of each class.
    ///
    /// # Errors
    /// As [`Self::rows`].
    pub fn class_extents(&self) -> Result<Vec<ClassExtent>, ImageError> {
        let mut next = self.label_rows()?;
        let mut all = vec![ClassExtent::default(); self.maps().len()];
        for y in 0..self.size.1 {
            let row = next()?;
            let mut x = 0;
            for run in row.labels().chunk_by(|a, b| a == b) {
                let width = run.len() as u32;
                if let Some(own) = usize::from(run[0]).checked_sub(1).and_then(|place| all.get_mut(place)) {
                    own.add(BoundingBox { x, y, width, height: 1 }, u64::from(width));
                }
                x += width;
            }
        }
        Ok(all)
    }
}

impl ClassExtent {
    fn add(&mut self, more: BoundingBox, pixels: u64) {
        self.foreground += pixels;
        let old = self.bounding_box.unwrap_or(more);
        let (x, y) = (old.x.min(more.x), old.y.min(more.y));
        let (right, bottom) =
            ((old.x + old.width).max(more.x + more.width), (old.y + old.height).max(more.y + more.height));
        self.bounding_box = Some(BoundingBox { x, y, width: right - x, height: bottom - y });
    }

    /// The foreground of all classes.
    pub fn of_all(classes: &[ClassExtent]) -> ClassExtent {
        let mut all = ClassExtent::default();
        for class in classes {
            if let Some(own) = class.bounding_box {
                all.add(own, class.foreground);
            }
        }
        all
    }
}
