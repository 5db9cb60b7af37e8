//! A picture's georeference: the tags of GeoTIFF (OGC 19-008r4).

/// Values of a tag.
#[derive(Clone, Debug, PartialEq)]
pub enum GeoValues {
    Shorts(Vec<u16>),
    Doubles(Vec<f64>),
    /// With the NUL at its end, if it has one.
    Text(Vec<u8>),
}

/// GeoTIFF tags by number.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GeoTags(Vec<(u16, GeoValues)>);

/// Tag numbers; the three tags of keys are last.
pub(super) const SCALE: u16 = 33550;
pub(super) const TIE_POINTS: u16 = 33922;
pub(super) const TRANSFORMATION: u16 = 34264;
pub(super) const KEYS: u16 = 34735;
pub(super) const KEY_DOUBLES: u16 = 34736;
pub(super) const KEY_TEXT: u16 = 34737;

/// Key numbers.
const RASTER_TYPE: u16 = 1025;
const GEOGRAPHIC: u16 = 2048;
const PROJECTED: u16 = 3072;
/// Tie points refer to pixel centres.
const PIXEL_IS_POINT: u16 = 2;
/// Valid EPSG numbers.
const EPSG: std::ops::RangeInclusive<u16> = 1024..=32766;

impl GeoTags {
    /// From tags and their values, in any order.
    pub fn of(tags: impl IntoIterator<Item = (u16, GeoValues)>) -> GeoTags {
        let mut tags: Vec<(u16, GeoValues)> = tags.into_iter().collect();
        tags.sort_by_key(|(tag, _)| *tag);
        GeoTags(tags)
    }

    /// The tags, ascending.
    pub fn tags(&self) -> impl Iterator<Item = (u16, &GeoValues)> {
        self.0.iter().map(|(tag, values)| (*tag, values))
    }

    fn doubles(&self, tag: u16) -> Option<&[f64]> {
        self.tags().find_map(|(number, values)| match values {
            GeoValues::Doubles(values) if number == tag => Some(values.as_slice()),
            _ => None,
        })
    }

    /// The value of a key that is a single number.
    fn key(&self, wanted: u16) -> Option<u16> {
        let keys = self.tags().find_map(|(number, values)| match values {
            GeoValues::Shorts(values) if number == KEYS => Some(values),
            _ => None,
        })?;
        // Four header values, then four for each key: number, location of its value (0: here), count, value.
        keys.get(4..)?.as_chunks::<4>().0.iter().find(|key| key[0] == wanted && key[1] == 0).map(|key| key[3])
    }

    /// `[a, b, c, d, e, f]`: the pixel corner (x, y) is at (a x + b y + c, d x + e y + f). `None` unless the tags give a transformation or
    /// one tie point with a scale.
    pub fn affine(&self) -> Option<[f64; 6]> {
        let [a, b, c, d, e, f] = match (self.doubles(TRANSFORMATION), self.doubles(TIE_POINTS), self.doubles(SCALE)) {
            (Some(&[a, b, _, c, d, e, _, f, ..]), ..) => [a, b, c, d, e, f],
            (None, Some(&[column, row, _, x, y, _]), Some(&[across, down, ..])) => {
                [across, 0.0, x - column * across, 0.0, -down, y + row * down]
            }
            _ => return None,
        };
        let half = if self.key(RASTER_TYPE) == Some(PIXEL_IS_POINT) { 0.5 } else { 0.0 };
        Some([a, b, c - half * (a + b), d, e, f - half * (d + e)])
    }

    /// The coordinate system in EPSG's registry.
    pub fn epsg(&self) -> Option<u16> {
        self.key(PROJECTED).or(self.key(GEOGRAPHIC)).filter(|number| EPSG.contains(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(extra: Vec<(u16, GeoValues)>) -> GeoTags {
        let keys = |raster: u16| GeoValues::Shorts(vec![1, 1, 0, 2, RASTER_TYPE, 0, 1, raster, PROJECTED, 0, 1, 32633]);
        GeoTags([vec![(KEYS, keys(if extra.len() > 2 { PIXEL_IS_POINT } else { 1 }))], extra].concat())
    }

    #[test]
    fn places_of_three_kinds() {
        let scale = (SCALE, GeoValues::Doubles(vec![2.0, 3.0, 0.0]));
        let tie = (TIE_POINTS, GeoValues::Doubles(vec![10.0, 20.0, 0.0, 500.0, 900.0, 0.0]));
        let area = tags(vec![scale.clone(), tie.clone()]);
        // At the tie point's pixel, and at the corner.
        assert_eq!((area.affine(), area.epsg()), (Some([2.0, 0.0, 480.0, 0.0, -3.0, 960.0]), Some(32633)));
        let other = (KEY_TEXT, GeoValues::Text(b"UTM|\0".to_vec()));
        assert_eq!(tags(vec![scale, tie, other]).affine(), Some([2.0, 0.0, 479.0, 0.0, -3.0, 961.5]));
        let matrix: Vec<f64> = (1..=16).map(f64::from).collect();
        let turned = tags(vec![(TRANSFORMATION, GeoValues::Doubles(matrix))]);
        assert_eq!(turned.affine(), Some([1.0, 2.0, 4.0, 5.0, 6.0, 8.0]));
        assert_eq!((GeoTags::default().affine(), GeoTags::default().epsg()), (None, None));
        assert_eq!(tags(vec![(SCALE, GeoValues::Doubles(vec![1.0]))]).affine(), None);
        assert_eq!(GeoTags(vec![(KEYS, GeoValues::Shorts(vec![1, 1]))]).epsg(), None);
    }
}
