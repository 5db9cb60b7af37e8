//! Chooses the foreground among the grey levels or label numbers of a mask.

use super::rule::{Choice, Rule};
use super::table::{Entry, Table, flatness};
use super::warning::{MaskKind, MaskPart, MaskValue, MaskWarning};

/// A larger part between black and white is more than an edge.
const MOST_GREY: f64 = 0.05;
/// So is a larger part of the pixels that are not near black, if they have as few levels as classes have colours: a small
/// thing's edge has many.
const MOSTLY_GREY: f64 = 0.5;
const FEW_LEVELS: usize = 4;
/// Values with a larger part inside flat areas are labels, not edges or a photograph.
pub(super) const FLAT: f64 = 0.3;
/// Most values that are treated individually.
const MOST_AREAS: usize = 16;
/// Below this part of white, a brighter level may be noise of black.
const DIMMEST: f64 = 1.0 / 16.0;

/// Properties of a table's values.
#[derive(Clone, Copy)]
pub(super) struct Scale<'a> {
    /// The level of white; as a label number it means "ignored".
    pub white: u32,
    /// Whether the file's format is lossy, so that label numbers are unlikely.
    pub lossy: bool,
    /// Whether these are certainly label numbers, not levels.
    pub numbers: bool,
    /// Name of a value.
    pub name: &'a dyn Fn(u32) -> MaskValue,
}

impl Scale<'_> {
    fn near_black(&self, level: u32) -> bool {
        u64::from(level) * 8 < u64::from(self.white)
    }

    fn near_white(&self, level: u32) -> bool {
        u64::from(level) * 8 >= u64::from(self.white) * 7
    }

    /// The smallest level that is at least half of white.
    fn half(&self) -> u32 {
        self.white.div_ceil(2)
    }

    fn parts(&self, table: &Table, entries: &[Entry]) -> Vec<MaskPart> {
        let part = |e: &Entry| MaskPart { value: (self.name)(e.value), percent: table.percent(e.count) };
        entries.iter().map(part).collect()
    }

    fn chosen(&self, table: &Table, kind: MaskKind, [fore, back]: [&[Entry]; 2], ignored: Option<u32>) -> MaskWarning {
        MaskWarning::Chosen {
            kind,
            foreground: self.parts(table, fore),
            background: self.parts(table, back),
            ignored: ignored.map(self.name),
        }
    }
}

/// Chooses the foreground of a mask of these levels.
pub(super) fn choose(table: &Table, scale: Scale) -> Choice {
    if scale.lossy {
        return by_half(table, scale);
    }
    if let [a, b] = table.entries[..]
        && a.value > 0
    {
        // 1 and 255 may be a label and its ignored border.
        let doubtful = a.value < 16 && b.value == scale.white && scale.white == 255;
        if scale.near_black(a.value) && scale.near_white(b.value) && !doubtful {
            return Choice::silent(Rule::AtLeast(scale.half()));
        }
        let said = scale.chosen(table, MaskKind::Two, [&[b], &[a]], None);
        return Choice { rule: Rule::OneOf(vec![b.value]), said: Some(said) };
    }
    if let Some(choice) = labels(table, scale) {
        return choice;
    }
    let choice = by_half(table, scale);
    let only_white = !table.entries.iter().any(|e| scale.near_white(e.value) && e.value != scale.white);
    let odd = |e: &&Entry| match e.value {
        0 => false,
        level if scale.near_black(level) => only_white,
        level => !scale.near_white(level),
    };
    let areas: Vec<Entry> = table.entries.iter().filter(odd).copied().collect();
    let levels = table.entries.len();
    let few = choice.said.is_some() && levels <= 2 + FEW_LEVELS;
    if few || levels > 2 && levels <= MOST_AREAS && flatness(&areas) >= FLAT {
        let (fore, back): (Vec<Entry>, Vec<Entry>) = table.entries.iter().partition(|e| choice.rule.holds(e.value));
        let said = scale.chosen(table, MaskKind::Levels, [&fore, &back], None);
        return Choice { said: Some(said), ..choice };
    }
    choice
}

/// Chooses the foreground if the values are label numbers with 0 as background and white as ignored; `None` if they are not.
pub(super) fn labels(table: &Table, scale: Scale) -> Option<Choice> {
    let (first, rest) = table.entries.split_first()?;
    if first.value != 0 {
        return None;
    }
    let ignored = rest.last().filter(|e| e.value == scale.white).copied();
    let labels = &rest[..rest.len() - usize::from(ignored.is_some())];
    let low = labels.iter().all(|e| e.value < scale.half());
    let one = |label: Entry, ignored: Option<Entry>, kind, other: &[Entry]| {
        let said = scale.chosen(table, kind, [&[label], other], ignored.map(|e| e.value));
        Some(Choice { rule: Rule::OneOf(vec![label.value]), said: Some(said) })
    };
    match (labels, ignored) {
        ([], Some(label)) if scale.numbers => one(label, None, MaskKind::One, &[]),
        ([], _) => None,
        // Half of white and more is foreground anyway.
        ([label], None) if !low && !scale.numbers => Some(Choice::silent(Rule::OneOf(vec![label.value]))),
        ([label], None) => one(*label, None, MaskKind::One, &[]),
        ([label], Some(white)) if low || scale.numbers => {
            let larger = label.count >= white.count;
            let solid = 10 * label.inner >= label.count;
            if scale.numbers || scale.near_black(label.value) {
                // A few dark pixels in a black and white mask are hardly a label.
                match larger || solid {
                    true => one(*label, Some(white), MaskKind::One, &[]),
                    false => one(white, None, MaskKind::Ignored, &[*label]),
                }
            } else if flatness(&[*label]) < FLAT {
                None
            } else if larger {
                one(*label, Some(white), MaskKind::Ignored, &[white])
            } else {
                one(white, None, MaskKind::Ignored, &[*label])
            }
        }
        (several, _) if (low || scale.numbers) && flatness(several) >= FLAT => {
            if !scale.numbers
                && ignored.is_none()
                && let Some(choice) = dim(table, scale)
            {
                return Some(choice);
            }
            let said = scale.chosen(table, MaskKind::Several, [several, &[]], ignored.map(|e| e.value));
            Some(Choice { rule: Rule::OneOf(several.iter().map(|e| e.value).collect()), said: Some(said) })
        }
        _ => None,
    }
}

/// Chooses at least half of white, or of the brightest level if that is far from white.
fn by_half(table: &Table, scale: Scale) -> Choice {
    let rule = Rule::AtLeast(scale.half());
    if table.entries.last().is_none_or(|e| e.value < scale.half()) {
        return dim(table, scale).unwrap_or(Choice::silent(rule));
    }
    let sum =
        |of: &dyn Fn(u32) -> bool| table.entries.iter().filter(|e| of(e.value)).map(|e| e.count).sum::<u64>() as f64;
    let is_between = |level: u32| !scale.near_black(level) && !scale.near_white(level);
    let between = sum(&is_between);
    let few = table.entries.iter().filter(|e| is_between(e.value)).count() <= FEW_LEVELS;
    let most = few && between > MOSTLY_GREY * sum(&|level| !scale.near_black(level));
    let share = between / table.total.max(1) as f64;
    let grey = table.entries.len() > 2 && (share > MOST_GREY || most);
    let percent = (100.0 * share) as f32;
    Choice { rule, said: grey.then_some(MaskWarning::Grey { percent, alpha: false }) }
}

/// A mask of black and one level below half of white, with soft edges.
fn dim(table: &Table, scale: Scale) -> Option<Choice> {
    let brightest = table.entries.last()?.value;
    let level = table.entries.iter().filter(|e| 2 * e.value >= brightest).max_by_key(|e| e.count)?.value;
    if f64::from(level) < DIMMEST * f64::from(scale.white) {
        return None;
    }
    let own = Scale { white: level, ..scale };
    let count = |of: &dyn Fn(u32) -> bool| table.entries.iter().filter(|e| of(e.value)).map(|e| e.count).sum::<u64>();
    let between = count(&|level| !own.near_black(level) && !own.near_white(level));
    let rest: Vec<Entry> = table.entries.iter().filter(|e| e.value != 0 && e.value != level).copied().collect();
    let edges = scale.lossy || flatness(&rest) < FLAT;
    if count(&|level| own.near_black(level)) == 0 || between as f64 > MOST_GREY * table.total as f64 || !edges {
        return None;
    }
    let brightest = 100.0 * level as f32 / scale.white as f32;
    Some(Choice { rule: Rule::AtLeast(own.half()), said: Some(MaskWarning::Dim { brightest }) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(value: u32) -> MaskValue {
        MaskValue::Number(value as u16)
    }

    const GREY: Scale = Scale { white: 255, lossy: false, numbers: false, name: &number };

    /// The foreground and the warning for adjacent squares of 20 x 20 pixels with these values.
    fn of_squares(values: &[u32], scale: Scale) -> (Vec<u32>, Option<MaskKind>) {
        let width = 20 * values.len();
        let table = Table::new(width, 20, |i| values[i % width / 20]);
        of(&table, scale)
    }

    fn of(table: &Table, scale: Scale) -> (Vec<u32>, Option<MaskKind>) {
        let choice = choose(table, scale);
        let kind = match choice.said {
            Some(MaskWarning::Chosen { kind, .. }) => Some(kind),
            None => None,
            Some(other) => panic!("{other}"),
        };
        let mut held: Vec<u32> = table.entries.iter().map(|e| e.value).filter(|&v| choice.rule.holds(v)).collect();
        held.dedup();
        (held, kind)
    }

    #[test]
    fn black_and_white_need_no_word() {
        for (values, white, fore) in [
            (vec![0, 255], 255, vec![255]),
            (vec![16, 235], 255, vec![235]),
            (vec![0, 128], 255, vec![128]),
            (vec![0, 3, 250, 255], 255, vec![250, 255]),
            (vec![0, 1], 1, vec![1]),
            (vec![0, 65535], 65535, vec![65535]),
            (vec![0, 255], 255, vec![255]),
        ] {
            assert_eq!(of_squares(&values, Scale { white, ..GREY }), (fore, None), "{values:?} of {white}");
        }
    }

    #[test]
    fn one_label_is_foreground_and_white_beside_it_ignored() {
        use MaskKind::*;
        for (values, white, fore) in [
            (vec![0, 1], 255, vec![1]),
            (vec![0, 15], 255, vec![15]),
            (vec![0, 1, 255], 255, vec![1]),
            (vec![0, 31, 255], 255, vec![31]),
            (vec![0, 1], 65535, vec![1]),
            (vec![0, 300], 65535, vec![300]),
            (vec![0, 7, 65535], 65535, vec![7]),
            (vec![0, 1], 3, vec![1]),
            (vec![0, 1, 15], 15, vec![1]),
        ] {
            assert_eq!(of_squares(&values, Scale { white, ..GREY }), (fore, Some(One)), "{values:?} of {white}");
        }
        // As palette indices, any label is possible.
        let numbers = Scale { numbers: true, ..GREY };
        assert_eq!(of_squares(&[0, 200, 255], numbers), (vec![200], Some(One)));
        assert_eq!(of_squares(&[0, 255], numbers), (vec![255], Some(One)));
    }

    #[test]
    fn what_is_in_doubt_is_said() {
        use MaskKind::*;
        assert_eq!(of_squares(&[0, 1, 2, 255], GREY), (vec![1, 2], Some(Several)));
        assert_eq!(of_squares(&[0, 1, 15, 20], GREY), (vec![1, 15, 20], Some(Several)));
        assert_eq!(of_squares(&[0, 100, 90], GREY), (vec![90, 100], Some(Several)));
        // A trimap, or a label of 64 with its border ignored: the larger part.
        assert_eq!(of_squares(&[0, 64, 255, 255], GREY), (vec![255], Some(Ignored)));
        assert_eq!(of_squares(&[0, 64, 64, 255], GREY), (vec![64], Some(Ignored)));
        assert_eq!(of_squares(&[0, 128, 255], GREY), (vec![128, 255], Some(Levels)));
        assert_eq!(of_squares(&[0, 85, 170, 255], GREY), (vec![170, 255], Some(Levels)));
        assert_eq!(of_squares(&[1, 2, 3], GREY), (vec![], Some(Levels)));
        for (values, fore) in [([60, 200], 200), ([1, 2], 2), ([100, 255], 255), ([1, 255], 255), ([20, 200], 200)] {
            assert_eq!(of_squares(&values, GREY), (vec![fore], Some(Two)), "{values:?}");
        }
    }

    #[test]
    fn a_few_dark_pixels_beside_white_are_no_label() {
        let table = Table::new(40, 40, |i| match i {
            _ if i % 97 == 5 => 1,
            _ => 255 * u32::from(i % 40 < 20),
        });
        assert_eq!(of(&table, GREY), (vec![255], Some(MaskKind::Ignored)));
    }

    fn row(values: &[u32], scale: Scale) -> Choice {
        choose(&Table::new(values.len(), 1, |i| values[i]), scale)
    }

    #[test]
    fn soft_edges_and_photographs() {
        let said = |values: Vec<u32>| row(&values, GREY).said;
        assert_eq!(said([vec![0; 60], vec![90, 160, 250], vec![255; 37]].concat()), None);
        assert_eq!(
            said([vec![0; 990], vec![90, 160, 250], vec![255; 7]].concat()),
            None,
            "a small thing with its edge"
        );
        assert_eq!(said([vec![0; 990], vec![60, 90, 120, 150, 180], vec![255; 3]].concat()), None, "hardly more");
        let ramp: Vec<u32> = (0..=255).collect();
        assert_eq!(said(ramp), Some(MaskWarning::Grey { percent: 75.0, alpha: false }));
        // Levels of a lossy file are not labels.
        let lossy = Scale { lossy: true, ..GREY };
        let values = [vec![0; 50], vec![1; 20], vec![255; 30]].concat();
        assert_eq!(row(&values, lossy), Choice::silent(Rule::AtLeast(128)));
    }

    #[test]
    fn a_dim_mask_is_halved_at_its_own_white() {
        let values = [vec![0; 60], vec![20, 50, 80], vec![100; 37]].concat();
        let dim = |brightest| Some(MaskWarning::Dim { brightest });
        for lossy in [false, true] {
            let choice = row(&values, Scale { lossy, ..GREY });
            assert_eq!((choice.rule, choice.said), (Rule::AtLeast(50), dim(100.0 * 100.0 / 255.0)));
        }
        // Black with noise is not.
        let noise = row(&[0, 1, 2, 3, 2, 1, 0, 4, 0], Scale { lossy: true, ..GREY });
        assert_eq!(noise, Choice::silent(Rule::AtLeast(128)));
    }
}
