//! The result for a picture.

use crate::errors;
use crate::picture::Picture;
use diffews_wgpu::image_io::{
    self, BoundingBox, DecodedMap, GeoTags, LoadedPicture, Mask, Object, ObjectOptions, find_objects, write_mask,
};
use diffews_wgpu::{Error, MaskRule, Segmentation, Threshold};
use pyo3::prelude::*;
use pyo3::types::PyByteArray;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

/// x, y, width, height.
type Corner = (u32, u32, u32, u32);

fn corner(b: BoundingBox) -> Corner {
    (b.x, b.y, b.width, b.height)
}

/// The picture in which something was found.
#[derive(Clone)]
pub struct Image {
    /// Width and height.
    size: (u32, u32),
    file: Option<String>,
    place: Option<Arc<GeoTags>>,
}

impl Image {
    pub fn new(picture: &Picture, loaded: LoadedPicture) -> Image {
        let file = match picture {
            Picture::Path(path) => Some(path.to_string_lossy().into_owned()),
            _ => None,
        };
        Image { size: loaded.rgb.dimensions(), file, place: loaded.place.map(Arc::new) }
    }
}

/// A map, and the rule by which it becomes a mask.
#[pyclass(frozen, module = "diffews_wgpu._native")]
pub struct Prediction {
    map: Arc<DecodedMap>,
    /// Of what is not meant.
    negative: Option<Arc<DecodedMap>>,
    image: Image,
    rule: MaskRule,
    mask: OnceLock<Mask>,
    #[pyo3(get)]
    seconds: Vec<(String, f64)>,
    #[pyo3(get)]
    precision: &'static str,
    #[pyo3(get)]
    pub warnings: Vec<String>,
}

/// Completes a partial rule with defaults.
pub fn rule(
    of: MaskRule,
    threshold: Option<f64>,
    absolute: Option<f64>,
    min_score: Option<f64>,
) -> Result<MaskRule, Error> {
    let threshold = match (threshold, absolute) {
        (Some(_), Some(_)) => return Err(Error::Usage("give a threshold or an absolute threshold, not both".into())),
        (relative, absolute) => relative.map(Threshold::Relative).or(absolute.map(Threshold::Absolute)),
    };
    let rule = MaskRule { threshold: threshold.unwrap_or(of.threshold), min_score: min_score.unwrap_or(of.min_score) };
    rule.check().map_err(Error::Usage)
}

fn bytes_of(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_ne_bytes()).collect()
}

/// Takes the last, which is of what is not meant, and tells the others of it.
pub fn keep_negative(found: &mut Vec<Prediction>) {
    let Some(last) = found.pop() else { return };
    found.iter_mut().for_each(|own| own.negative = Some(last.map.clone()));
    if let Some(first) = found.first_mut() {
        first.warnings.extend(last.warnings);
    }
}

/// What the results of a picture's classes are together: as [`image_io::Prediction::new`].
///
/// # Errors
/// Results that are not of one picture and one rule.
pub fn prediction(all: &[&Prediction], margin: Option<f32>) -> Result<image_io::Prediction, Error> {
    let Some(first) = all.first() else { return Err(Error::Usage("there is no class; give a result for each".into())) };
    let negative = |found: &Prediction| found.negative.as_ref().map(Arc::as_ptr);
    if all.iter().any(|own| own.image.size != first.image.size || negative(own) != negative(first)) {
        return Err(Error::Usage("classes are of one image: give the results of one call".into()));
    }
    if all.iter().any(|own| own.rule != first.rule) {
        return Err(Error::Usage("classes have one threshold and one least score: give all results the same".into()));
    }
    let maps = all.iter().map(|own| &own.map).chain(&first.negative).map(|map| DecodedMap::clone(map)).collect();
    Ok(image_io::Prediction::new(maps, first.image.size, first.rule, margin, first.negative.is_some())?)
}

impl Prediction {
    pub fn new(found: Segmentation, image: Image, rule: MaskRule) -> Prediction {
        let seconds = found.times().iter().map(|(stage, seconds)| (stage.to_string(), *seconds)).collect();
        let warnings = found.overflow().map(|why| format!("{why}; computed again in f32")).into_iter().collect();
        let precision = found.precision().name();
        let map = Arc::new(found.into_map());
        Prediction { map, negative: None, image, rule, mask: OnceLock::new(), seconds, precision, warnings }
    }

    /// The picture's place on the map.
    pub fn place(&self) -> Option<&GeoTags> {
        self.image.place.as_deref()
    }

    fn made_mask(&self) -> &Mask {
        let (width, height) = self.image.size;
        let alone = || self.map.mask_at(width, height, self.rule);
        self.mask.get_or_init(|| match self.negative.as_ref().map(|_| prediction(&[self], None)) {
            Some(Ok(image_io::Prediction::Mask { mask, .. })) => mask,
            // Two maps are always enough, and never too many.
            _ => alone(),
        })
    }

    fn array<'py>(
        &self,
        py: Python<'py>,
        of: impl FnOnce(&Prediction) -> Vec<u8> + Send,
    ) -> PyResult<Bound<'py, PyByteArray>> {
        errors::caught(|| Ok(PyByteArray::new(py, &py.detach(|| of(self)))))
    }
}

#[pymethods]
impl Prediction {
    /// Width and height of the picture.
    #[getter]
    fn size(&self) -> (u32, u32) {
        self.image.size
    }

    /// The picture's path as it was given.
    #[getter]
    fn file(&self) -> Option<&str> {
        self.image.file.as_deref()
    }

    /// Side of the network's map, if it is square.
    #[getter]
    fn map_size(&self) -> (u32, u32) {
        (self.map.width(), self.map.height())
    }

    fn mask<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyByteArray>> {
        self.array(py, |found| found.made_mask().as_bytes().to_vec())
    }

    fn map<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyByteArray>> {
        self.array(py, |found| bytes_of(&found.map.map()))
    }

    fn probability<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyByteArray>> {
        self.array(py, |found| bytes_of(&found.map.map_at(found.image.size.0, found.image.size.1)))
    }

    fn score(&self, py: Python<'_>) -> PyResult<f32> {
        errors::caught(|| Ok(py.detach(|| self.map.score(self.rule.threshold))))
    }

    fn bounding_box(&self, py: Python<'_>) -> PyResult<Option<Corner>> {
        errors::caught(|| Ok(py.detach(|| self.made_mask().bounding_box().map(corner))))
    }

    fn objects(&self, py: Python<'_>, min_area: u64, fill_holes: bool, largest: bool) -> PyResult<Vec<MaskObject>> {
        errors::caught(|| {
            let options = ObjectOptions { min_area, fill_holes, largest };
            let found = py.detach(|| {
                let map = self.map.map_at(self.image.size.0, self.image.size.1);
                find_objects(self.made_mask(), Some(&map), &options)
            });
            Ok(found
                .map_err(|error| errors::of(&error.into()))?
                .into_iter()
                .map(|object| MaskObject { object })
                .collect())
        })
    }

    /// The same map with another rule.
    fn at(&self, threshold: Option<f64>, absolute: Option<f64>, min_score: Option<f64>) -> PyResult<Prediction> {
        let rule = rule(self.rule, threshold, absolute, min_score).map_err(|error| errors::of(&error))?;
        Ok(Prediction {
            map: self.map.clone(),
            negative: self.negative.clone(),
            image: self.image.clone(),
            rule,
            mask: OnceLock::new(),
            seconds: self.seconds.clone(),
            precision: self.precision,
            warnings: Vec::new(),
        })
    }

    fn save(&self, py: Python<'_>, path: PathBuf, overwrite: bool) -> PyResult<()> {
        errors::caught(|| {
            let written = py.detach(|| write_mask(&path, self.made_mask(), overwrite));
            written.map_err(|error| errors::of(&error.into()))
        })
    }
}

/// A connected component of a mask.
#[pyclass(frozen, module = "diffews_wgpu._native")]
pub struct MaskObject {
    object: Object,
}

#[pymethods]
impl MaskObject {
    #[getter]
    fn area(&self) -> u64 {
        self.object.area
    }

    #[getter]
    fn bounding_box(&self) -> Corner {
        corner(self.object.bounding_box)
    }

    #[getter]
    fn score(&self) -> Option<f32> {
        self.object.score
    }

    /// Its mask, of the picture's size.
    fn mask<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyByteArray>> {
        errors::caught(|| {
            let bytes = py.detach(|| {
                let (width, height) = self.object.region.size();
                let mut bytes = vec![0; width as usize * height as usize];
                for run in self.object.region.runs() {
                    let row = run.y as usize * width as usize;
                    bytes[row + run.start as usize..row + run.end as usize].fill(1);
                }
                bytes
            });
            Ok(PyByteArray::new(py, &bytes))
        })
    }
}
