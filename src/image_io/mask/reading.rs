//! Interpretation of a mask: by its kind, or by the user's choice.

use super::colours::{self, LOSSY};
use super::levels::{self, Scale};
use super::rule::{Choice, Rule, apart, unpack};
use super::stored::{OPAQUE, Stored, Values};
use super::table::{Entry, Table, flatness};
use super::warning::{MaskKind, MaskValue, MaskWarning};

/// The foreground of a mask's file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MaskSource {
    /// By the file's kind: white on black, the single label or colour on black, opaque pixels if the colours
    /// do not distinguish. Doubtful choices give a [`MaskWarning`].
    #[default]
    Auto,
    /// At least half of white's luma, regardless of alpha and kind: the rule of published evaluations.
    HalfOfWhite,
    /// This grey value or palette index, as the file stores it.
    Value(u16),
    /// This red, green and blue; within 32 per channel in lossy files.
    Color([u8; 3]),
    /// Pixels that are at least half opaque.
    Alpha,
}

/// How to read a mask's file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MaskReading {
    pub source: MaskSource,
    /// Whether to swap foreground and background.
    pub invert: bool,
}

/// A mask read from a file, in the file's orientation.
pub(super) struct ReadMask {
    pub foreground: Vec<bool>,
    pub said: Vec<MaskWarning>,
    /// The largest luma in percent, or the largest alpha of a mask drawn in `alpha`.
    pub brightest: f32,
    pub alpha: bool,
}

/// Why a mask cannot be read by the user's choice.
#[derive(Debug, PartialEq)]
pub(super) enum Refusal {
    NoAlpha,
    /// A label number was requested, but the file holds colours.
    NotNumbers,
    /// The value does not occur; holds the mask's values, the most frequent first.
    Absent(Vec<MaskValue>),
}

pub(super) fn read(stored: &Stored, source: MaskSource) -> Result<ReadMask, Refusal> {
    match source {
        MaskSource::Auto => Ok(auto(stored)),
        MaskSource::HalfOfWhite => Ok(half_of_white(stored)),
        MaskSource::Value(number) => {
            if matches!(stored.values, Values::Colour(_)) {
                return Err(Refusal::NotNumbers);
            }
            asked(stored, |i| stored.value(i), |value| value == u32::from(number), number_of)
        }
        MaskSource::Color(colour) => {
            let tolerance = if stored.lossy { LOSSY } else { 0 };
            let is = |value| apart(unpack(value), colour) <= tolerance;
            asked(stored, |i| stored.colour(i), is, colour_of)
        }
        MaskSource::Alpha if stored.alpha.is_some() => Ok(by_alpha(stored, OPAQUE, Vec::new())),
        MaskSource::Alpha => Err(Refusal::NoAlpha),
    }
}

fn number_of(value: u32) -> MaskValue {
    MaskValue::Number(value as u16)
}

fn colour_of(value: u32) -> MaskValue {
    MaskValue::Color(unpack(value))
}

/// The visible pixels with the requested value; an error if there are none.
fn asked(
    stored: &Stored,
    value: impl Fn(usize) -> u32,
    right: impl Fn(u32) -> bool,
    name: impl Fn(u32) -> MaskValue,
) -> Result<ReadMask, Refusal> {
    let visible = stored.visible();
    let foreground: Vec<bool> = (0..stored.len()).map(|i| right(value(i)) && visible(i)).collect();
    if !foreground.contains(&true) {
        let mut entries = stored.table(value).entries;
        entries.sort_by_key(|e| std::cmp::Reverse(e.count));
        return Err(Refusal::Absent(entries.iter().map(|e| name(e.value)).collect()));
    }
    Ok(ReadMask { foreground, said: Vec::new(), brightest: stored.brightest(), alpha: false })
}

/// The published evaluations' rule for black and white masks.
fn half_of_white(stored: &Stored) -> ReadMask {
    let table = Table::new(stored.width, stored.height, |i| stored.colour(i));
    let name = number_of;
    let scale = Scale { white: 255, lossy: true, numbers: false, name: &name };
    let grey = levels::choose(&colours::by_level(&table), scale).said;
    let said = grey.into_iter().filter(|s| matches!(s, MaskWarning::Grey { .. })).collect();
    let foreground = each(stored, |i| stored.colour(i), |value| Rule::Luma.holds(value));
    ReadMask { foreground, said, brightest: stored.brightest(), alpha: false }
}

fn each(stored: &Stored, value: impl Fn(usize) -> u32, holds: impl Fn(u32) -> bool) -> Vec<bool> {
    let mut last = None;
    let pixel = |i| {
        let this = value(i);
        match last {
            Some((value, holds)) if value == this => holds,
            _ => last.insert((this, holds(this))).1,
        }
    };
    (0..stored.len()).map(pixel).collect()
}

/// Foreground is every pixel with at least `least` alpha.
fn by_alpha(stored: &Stored, least: u8, said: Vec<MaskWarning>) -> ReadMask {
    let alpha = stored.alpha.as_deref().unwrap_or(&[]);
    let brightest = 100.0 * f32::from(alpha.iter().copied().max().unwrap_or(255)) / 255.0;
    ReadMask { foreground: alpha.iter().map(|&a| a >= least).collect(), said, brightest, alpha: true }
}

/// More colours than this on transparent ground are a picture.
const MOST_COLOURS: usize = 16;

/// The values that a choice refers to.
#[derive(Clone, Copy)]
enum View {
    Value,
    Colour,
}

fn auto(stored: &Stored) -> ReadMask {
    let (choice, view) = by_values(stored);
    let value = |i| match view {
        View::Value => stored.value(i),
        View::Colour => stored.colour(i),
    };
    let visible = stored.visible();
    let by_colour = |said: Vec<MaskWarning>| {
        let mut foreground = each(stored, value, |v| choice.rule.holds(v));
        foreground.iter_mut().enumerate().for_each(|(i, fore)| *fore &= visible(i));
        ReadMask { foreground, said, brightest: stored.brightest(), alpha: false }
    };
    let Some(alpha) = stored.alpha.as_deref() else {
        return by_colour(choice.said.into_iter().collect());
    };
    if stored.is_invisible() {
        return by_colour([Some(MaskWarning::Invisible), choice.said].into_iter().flatten().collect());
    }
    let percent = |count: usize| (100.0 * count as f64 / stored.len().max(1) as f64) as f32;
    let opaque = alpha.iter().filter(|&&a| a >= OPAQUE).count();
    let varies = alpha.iter().any(|&a| a != alpha[0]);
    if varies && is_one_colour(stored) {
        return drawn_in_alpha(stored, alpha, percent(opaque));
    }
    let numbered = matches!((&stored.values, view), (Values::Palette { .. }, View::Value));
    if numbered || opaque == 0 || opaque == alpha.len() {
        // Label numbers decide, or alpha does not separate two parts.
        return by_colour(with_alpha(choice.said));
    }
    let table = stored.table(value);
    let held = table.entries.iter().filter(|e| choice.rule.holds(e.value)).count();
    let tells = held > 0 && held < table.entries.len();
    // A dark photograph may look like black and one more colour.
    let photo = matches!(stored.values, Values::Colour(_)) && table.entries.len() > MOST_COLOURS;
    let sure = !photo && matches!(choice.said, None | Some(MaskWarning::Chosen { kind: MaskKind::One, .. }));
    if !tells || !sure {
        return by_alpha(stored, OPAQUE, vec![MaskWarning::Cutout { percent: percent(opaque) }]);
    }
    let hidden = (0..stored.len()).any(|i| !visible(i) && choice.rule.holds(value(i)));
    let clear = MaskWarning::Transparent { percent: percent(alpha.len() - opaque), hidden };
    by_colour(choice.said.into_iter().chain([clear]).collect())
}

fn with_alpha(said: Option<MaskWarning>) -> Vec<MaskWarning> {
    let said = said.map(|s| match s {
        MaskWarning::Grey { percent, .. } => MaskWarning::Grey { percent, alpha: true },
        other => other,
    });
    said.into_iter().collect()
}

/// Whether all visible pixels have one colour, except for compression noise and edges.
fn is_one_colour(stored: &Stored) -> bool {
    const DRIFT: u8 = 8;
    const FEW_LABELS: usize = 4;
    let table = stored.table(|i| stored.colour(i));
    let tolerance = if stored.lossy { LOSSY } else { DRIFT };
    let main = table.entries.iter().max_by_key(|e| e.count);
    // Labels may be as close to each other, but fill areas.
    let others: Vec<Entry> = table.entries.iter().filter(|&e| Some(e) != main).copied().collect();
    if !stored.lossy && others.len() < FEW_LABELS && flatness(&others) >= levels::FLAT {
        return false;
    }
    main.is_some_and(|main| table.entries.iter().all(|e| apart(unpack(e.value), unpack(main.value)) <= tolerance))
}

/// A mask of one colour, drawn in alpha.
fn drawn_in_alpha(stored: &Stored, alpha: &[u8], percent: f32) -> ReadMask {
    let table = Table::new(stored.width, stored.height, |i| u32::from(alpha[i]));
    if table.entries.last().is_none_or(|e| e.value < u32::from(OPAQUE)) {
        // Faint everywhere: maybe labels, or levels of few bits.
        let name = number_of;
        let choice = levels::choose(&table, Scale { white: 255, lossy: stored.lossy, numbers: false, name: &name });
        let mut found = by_alpha(stored, OPAQUE, Vec::new());
        found.foreground = alpha.iter().map(|&a| choice.rule.holds(u32::from(a))).collect();
        return found;
    }
    let level = |i: usize| colours_level(stored, i);
    let black = (0..stored.len()).any(|i| alpha[i] >= OPAQUE && level(i) < 32);
    let (clear, white) = (0..stored.len()).filter(|&i| alpha[i] == 0).fold((0_usize, 0_usize), |(clear, white), i| {
        let is = level(i) >= 224;
        (clear + 1, white + usize::from(is))
    });
    let hidden = black && clear > 0 && white * 10 >= clear * 9;
    by_alpha(stored, OPAQUE, if hidden { vec![MaskWarning::Hidden { percent }] } else { Vec::new() })
}

/// A pixel's luma from 0 to 255.
fn colours_level(stored: &Stored, i: usize) -> u32 {
    super::rule::luma(unpack(stored.colour(i))) / 1000
}

/// A choice by the values alone.
fn by_values(stored: &Stored) -> (Choice, View) {
    let lossy = stored.lossy;
    match &stored.values {
        Values::Grey { white, .. } => {
            let table = stored.table(|i| stored.value(i));
            let (full, used) = (u32::from(*white), white_in_use(&table, u32::from(*white)));
            let mut choice = levels::choose(&table, Scale { white: used, lossy, numbers: false, name: &number_of });
            if used < full && choice.said.is_none() {
                choice.said = Some(MaskWarning::Dim { brightest: 100.0 * used as f32 / full as f32 });
            }
            (choice, View::Value)
        }
        Values::Palette { colours, .. } => palette(stored, colours),
        Values::Colour(_) => (colours::choose(&stored.table(|i| stored.colour(i)), lossy), View::Colour),
    }
}

/// White of 16-bit levels that use fewer bits, if they are levels and not labels.
fn white_in_use(table: &Table, white: u32) -> u32 {
    const MOST_LABELS: usize = 16;
    let most = table.entries.last().map_or(0, |e| e.value);
    match white {
        65535 if table.entries.len() > MOST_LABELS && most < 32768 => (most + 1).next_power_of_two() - 1,
        white => white,
    }
}

/// A palette of black and white or grey is read by its colours. Otherwise its indices are label
/// numbers if 0 is black or transparent and they fill areas.
fn palette(stored: &Stored, palette: &[[u8; 3]]) -> (Choice, View) {
    let all = Table::new(stored.width, stored.height, |i| stored.value(i));
    let used = || all.entries.iter().map(|e| (e.value, palette[e.value as usize]));
    let alike = used().all(|(_, colour)| Some(colour) == used().next().map(|(_, first)| first));
    let is_grey = used().all(|(_, [r, g, b])| r == g && g == b);
    let by_number = used().all(|(number, colour)| colour == [number as u8; 3]);
    if is_grey && (!alike || all.entries.len() == 1) {
        let table = stored.table(|i| stored.colour(i) & 0xff);
        let name = move |level: u32| if by_number { number_of(level) } else { MaskValue::Color([level as u8; 3]) };
        let choice = levels::choose(&table, Scale { white: 255, lossy: false, numbers: false, name: &name });
        // The rule applies to levels; grey colours hold the level three times.
        return (of_grey(choice, &table), View::Colour);
    }
    let clear = |number: u32| {
        let at = (0..stored.len()).find(|&i| stored.value(i) == number);
        at.zip(stored.alpha.as_ref()).is_some_and(|(at, alpha)| alpha[at] < OPAQUE)
    };
    let ground = alike || palette.first().is_some_and(|&black| black == [0; 3]) || clear(0);
    let scale = Scale { white: 255, lossy: false, numbers: true, name: &number_of };
    if ground && let Some(choice) = levels::labels(&all, scale) {
        return (choice, View::Value);
    }
    (colours::choose(&stored.table(|i| stored.colour(i)), false), View::Colour)
}

/// Converts a choice of grey levels to colours.
fn of_grey(choice: Choice, table: &Table) -> Choice {
    let held = table.entries.iter().filter(|e| choice.rule.holds(e.value));
    Choice { rule: Rule::OneOf(held.map(|e| e.value * 0x01_0101).collect()), ..choice }
}
