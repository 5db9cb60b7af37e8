//! Label maps in PASCAL VOC's format (`SegmentationClass`): palette PNGs of class numbers, 0 for background and 255 for void.

use super::{FormatError, Picture};
use crate::image_io::{LabelMap, Run, VOID};
use crate::shown;

/// The class number of the background.
pub const BACKGROUND: u8 = 0;

/// The class number of each pixel, which is the category's id; [`VOID`] where instances of two classes overlap.
///
/// # Errors
/// [`FormatError::Label`] for a category whose number is not from 1 to 254.
pub fn labels(picture: &Picture) -> Result<LabelMap, FormatError> {
    let (width, height) = (picture.size().0 as usize, picture.size().1 as usize);
    let mut labels = vec![BACKGROUND; width * height];
    for instance in picture.instances() {
        let category = &instance.category;
        let label = u8::try_from(category.id).ok().filter(|label| ![BACKGROUND, VOID].contains(label));
        let label = label.ok_or_else(|| FormatError::Label { name: shown::text(&category.name), id: category.id })?;
        for Run { y, start, end } in instance.region.runs() {
            let row = *y as usize * width;
            for pixel in &mut labels[row + *start as usize..row + *end as usize] {
                *pixel = if [BACKGROUND, label].contains(pixel) { label } else { VOID };
            }
        }
    }
    Ok(LabelMap::new(picture.size(), labels)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::tests::{instance, pets};

    #[test]
    fn classes_and_what_is_of_two() {
        let picture = pets("a");
        let map = labels(&picture).unwrap();
        let labels = map.labels();
        assert_eq!(labels[..6], [1, 1, 1, 0, 0, 1]);
        assert_eq!(labels[18..], [0, 0, 0, 2, 0, 0]);
        let both = vec![instance(254, "a", &["##."]), instance(1, "b", &[".##"]), instance(1, "b", &["..#"])];
        let both = Picture::new(1, "a", (3, 1), both).unwrap();
        assert_eq!(super::labels(&both).unwrap().labels(), [254, 255, 1]);
        for id in [0, 255, 300] {
            let one = Picture::new(1, "a", (1, 1), vec![instance(id, "a", &["#"])]).unwrap();
            assert!(matches!(super::labels(&one), Err(FormatError::Label { .. })));
        }
    }
}
