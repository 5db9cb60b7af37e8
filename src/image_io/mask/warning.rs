//! Warnings about masks.

use std::fmt;

use super::Mask;

/// The value of a class in a mask's file. `Display` gives it as users write it: `15`, `200,171,44`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaskValue {
    /// A grey value or palette index, as stored.
    Number(u16),
    /// Red, green and blue.
    Color([u8; 3]),
}

impl fmt::Display for MaskValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Color([r, g, b]) => write!(f, "{r},{g},{b}"),
        }
    }
}

/// A value of a mask, and its part of the pixels in percent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MaskPart {
    pub value: MaskValue,
    pub percent: f32,
}

/// How a mask with other values than black and white was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MaskKind {
    /// A single label, colour or level on black: no doubt.
    One,
    /// Several labels or colours on black: all were taken.
    Several,
    /// A label besides 255, which means ignored or foreground.
    Ignored,
    /// Two values, neither of them black.
    Two,
    /// Areas of black, white and levels between: at least half of white was taken.
    Levels,
}

/// A warning that a mask may not be what its user meant, or a note about how it was read
/// ([`MaskWarning::is_note`]). `Display` gives one line without the file's name.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum MaskWarning {
    /// No foreground. `brightest` is the largest luma in percent of white, such as 15 in a mask painted
    /// dark red; for a mask drawn in `alpha`, the largest alpha.
    NoForeground { brightest: f32, alpha: bool },
    /// Everything is foreground.
    NoBackground,
    /// Everything was foreground, and inversion left nothing.
    InvertedAway,
    /// Many pixels are neither near black nor near white, as in a photograph or a soft mask: `percent` of the
    /// pixels. `alpha`: parts of the file are transparent.
    Grey { percent: f32, alpha: bool },
    /// Other values than black and white: which were taken as foreground, background and ignored.
    Chosen { kind: MaskKind, foreground: Vec<MaskPart>, background: Vec<MaskPart>, ignored: Option<MaskValue> },
    /// Black and grey levels up to `brightest` percent of white: at least half of that was taken.
    Dim { brightest: f32 },
    /// A coloured picture on transparent ground: the opaque `percent` of the pixels were taken.
    Cutout { percent: f32 },
    /// A coloured mask with `percent` transparent pixels, which are background. `hidden`: some of them have the foreground's
    /// colour.
    Transparent { percent: f32, hidden: bool },
    /// Opaque black on transparent pixels with hidden white: the opaque `percent` were taken.
    Hidden { percent: f32 },
    /// All pixels are transparent: the hidden colours were taken.
    Invisible,
    /// The foreground touches all borders and covers most of the picture. `asked`: the user requested inversion.
    Inverted { percent: f32, asked: bool },
    /// The mask has the size of the stored picture and was turned by the picture's orientation.
    Turned,
    /// The picture has an orientation, the mask has none, and its size fits both ways: it was taken
    /// as a mask of the displayed picture.
    NotTurned,
    /// A warning about the mask before the requested inversion.
    BeforeInversion(Box<MaskWarning>),
    /// No pixel has the requested class number.
    NoClass { number: u8 },
    /// The foreground vanishes at the model's `size`.
    Lost { size: u32 },
}

impl MaskWarning {
    /// The warning for `mask` if a model sees it as `seen`.
    pub fn between(mask: &Mask, seen: &Mask) -> Option<MaskWarning> {
        let any = |m: &Mask| m.foreground.contains(&true);
        (any(mask) && !any(seen)).then_some(MaskWarning::Lost { size: seen.width })
    }

    /// The warning after a requested inversion; warnings that it resolves are dropped.
    pub(super) fn inverted(self) -> Option<MaskWarning> {
        match self {
            Self::Chosen { kind: MaskKind::Two, .. } | Self::Hidden { .. } => None,
            said => Some(Self::BeforeInversion(Box::new(said))),
        }
    }

    /// Whether this is only a note: the mask was read without doubt.
    pub fn is_note(&self) -> bool {
        matches!(
            self,
            Self::BeforeInversion(said) if said.is_note()
        ) || matches!(
            self,
            Self::Chosen { kind: MaskKind::One, .. }
                | Self::Transparent { hidden: false, .. }
                | Self::Dim { .. }
                | Self::Turned
                | Self::NotTurned
        )
    }
}

impl fmt::Display for MaskWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoForeground { brightest, alpha: true } => write!(
                f,
                "the mask has no foreground: it is drawn in alpha, where pixels of at least 50 % are foreground, and the \
                 most opaque here has {brightest:.1} %"
            ),
            Self::NoForeground { brightest, .. } if *brightest > 0.0 => write!(
                f,
                "the mask has no foreground: pixels of at least 50 % of white are foreground, the brightest here \
                 has {brightest:.1} %"
            ),
            Self::NoForeground { .. } => f.write_str("the mask has no foreground: it is black all over"),
            Self::NoBackground => f.write_str(
                "the mask has no background: all of its pixels are foreground",
            ),
            Self::InvertedAway => {
                f.write_str("the mask has no foreground once it is inverted, for all of it was")
            }
            Self::Grey { percent, .. } => write!(
                f,
                "{percent:.2} % of the mask's pixels are neither near black nor near white; at least 50 % of white was taken \
                 as foreground, which colours of classes or a photograph do not tell"
            ),
            Self::Chosen { kind, foreground, background, ignored } => chosen(f, *kind, foreground, background, *ignored),
            Self::Dim { brightest } => write!(
                f,
                "the mask's brightest level has {brightest:.1} % of white; what has at least half of that was taken as \
                 foreground"
            ),
            Self::Cutout { percent } => write!(
                f,
                "the mask is a cut-out, whose colours tell no foreground: what is opaque in its alpha ({percent:.1} %) was \
                 taken as foreground"
            ),
            Self::Transparent { percent, hidden } => {
                let though = if *hidden { ", though colours of the foreground are hidden there" } else { "" };
                write!(
                    f,
                    "{percent:.1} % of the mask's pixels are transparent and were taken as background{though}"
                )
            }
            Self::Hidden { percent } => write!(
                f,
                "the mask is drawn in alpha: what is opaque ({percent:.1} %) was taken as foreground, though it is black \
                 and what is transparent has white hidden under it"
            ),
            Self::Invisible => f.write_str(
                "the mask is transparent all over; the colours hidden there were read; save it without alpha if that is \
                 right",
            ),
            Self::Inverted { percent, .. } => write!(
                f,
                "the mask's foreground is {percent:.1} % of the picture and touches all four borders; is it inverted?"
            ),
            Self::Turned => f.write_str(
                "the mask has the size of its picture as stored, not as displayed; it was turned as the picture's EXIF \
                 orientation says",
            ),
            Self::NotTurned => f.write_str(
                "its picture is turned or mirrored by its EXIF orientation, the mask has none: it was taken as a mask of \
                 the picture as displayed",
            ),
            Self::BeforeInversion(said) => write!(f, "before its inversion: {said}"),
            Self::NoClass { number } => {
                write!(f, "no pixel of the mask has the class number {number} (\"value\" of the episode)")
            }
            Self::Lost { size } => write!(
                f,
                "the mask's foreground is too small: nothing of it is left at the model's {size} x {size} pixels; crop \
                 the picture and its mask around it"
            ),
        }
    }
}

fn chosen(
    f: &mut fmt::Formatter<'_>,
    kind: MaskKind,
    foreground: &[MaskPart],
    background: &[MaskPart],
    ignored: Option<MaskValue>,
) -> fmt::Result {
    let value = foreground.first().or(background.first()).map(|part| part.value);
    let what = match value {
        Some(MaskValue::Color(_)) => "colour",
        _ => "value",
    };
    let (taken, left) = (parts(foreground), parts(background));
    let skipped = ignored.map_or(String::new(), |value| format!(", {value} as ignored, which is background here"));
    match kind {
        MaskKind::One => {
            write!(f, "the mask's one {what} beside black is not white: {taken} was taken as foreground{skipped}")
        }
        MaskKind::Several => {
            write!(f, "the mask has several {what}s beside black: {taken} were taken as foreground together{skipped}")
        }
        MaskKind::Ignored => write!(
            f,
            "the mask has one {what} beside black and white, so that white may be foreground or mean ignored: {taken} was \
             taken as foreground, {left} was not"
        ),
        MaskKind::Two => write!(
            f,
            "of the mask's two {what}s none is black: {taken}, the brighter, was taken as foreground, {left} as background"
        ),
        MaskKind::Levels => write!(
            f,
            "the mask has areas of more {what}s than black and white: {taken} (at least 50 % of white) were taken as \
             foreground, {left} as background"
        ),
    }
}

/// Values with their percentages, shortened if there are many.
fn parts(parts: &[MaskPart]) -> String {
    const MOST: usize = 8;
    let mut list: Vec<String> =
        parts.iter().take(MOST).map(|part| format!("{} ({:.1} %)", part.value, part.percent)).collect();
    if list.is_empty() {
        return "nothing".to_owned();
    }
    if let Some(more @ 1..) = parts.len().checked_sub(MOST) {
        list.push(format!("{more} more"));
    }
    list.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_is_named() {
        let part = |value| MaskPart { value: MaskValue::Number(value), percent: 2.5 };
        let told = |kind, foreground: Vec<MaskPart>, background: Vec<MaskPart>, ignored| {
            let warning = MaskWarning::Chosen { kind, foreground, background, ignored };
            let text = warning.to_string();
            assert_eq!(text.lines().count(), 1);
            (text, warning.is_note())
        };
        let (text, note) = told(MaskKind::One, vec![part(1)], vec![], Some(MaskValue::Number(255)));
        assert!(note && text.contains("1 (2.5 %) was taken as foreground, 255 as ignored"), "{text}");
        let many = (1..=20).map(part).collect();
        let (text, note) = told(MaskKind::Several, many, vec![], None);
        assert!(!note && text.contains("8 (2.5 %), 12 more were taken"), "{text}");
        let colour = MaskPart { value: MaskValue::Color([200, 171, 44]), percent: 94.8 };
        let (text, note) = told(MaskKind::Two, vec![colour], vec![], None);
        assert!(!note && text.contains("200,171,44 (94.8 %)") && text.contains("nothing as background"), "{text}");
    }
}
