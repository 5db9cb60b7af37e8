//! Rules for the foreground values of a mask.

use super::warning::MaskWarning;

/// White in the luma of [`luma`].
pub(super) const WHITE: u32 = 255_000;

/// A rule that classifies pixel values as foreground.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Rule {
    /// At least this value.
    AtLeast(u32),
    /// One of these values.
    OneOf(Vec<u32>),
    /// Colours with at least half of white's luma.
    Luma,
    /// Colours whose nearest one of these is marked as foreground.
    Nearest(Vec<([u8; 3], bool)>),
}

/// A rule and its warning.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Choice {
    pub rule: Rule,
    pub said: Option<MaskWarning>,
}

impl Choice {
    pub fn silent(rule: Rule) -> Choice {
        Choice { rule, said: None }
    }
}

impl Rule {
    pub fn holds(&self, value: u32) -> bool {
        match self {
            Self::AtLeast(least) => value >= *least,
            Self::OneOf(values) => values.contains(&value),
            Self::Luma => 2 * luma(unpack(value)) >= WHITE,
            Self::Nearest(colours) => {
                let this = unpack(value);
                colours.iter().min_by_key(|(colour, _)| distance(this, *colour)).is_some_and(|&(_, fore)| fore)
            }
        }
    }
}

/// A colour as a value.
pub(super) fn pack([r, g, b]: [u8; 3]) -> u32 {
    u32::from_be_bytes([0, r, g, b])
}

pub(super) fn unpack(value: u32) -> [u8; 3] {
    let [_, r, g, b] = value.to_be_bytes();
    [r, g, b]
}

/// 0.299 R + 0.587 G + 0.114 B, in thousandths.
pub(super) fn luma([r, g, b]: [u8; 3]) -> u32 {
    299 * u32::from(r) + 587 * u32::from(g) + 114 * u32::from(b)
}

/// Squared distance of two colours.
fn distance(a: [u8; 3], b: [u8; 3]) -> u32 {
    a.iter().zip(b).map(|(&a, b)| u32::from(a.abs_diff(b)).pow(2)).sum()
}

/// The largest difference in a channel.
pub(super) fn apart(a: [u8; 3], b: [u8; 3]) -> u8 {
    a.iter().zip(b).map(|(&a, b)| a.abs_diff(b)).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules() {
        let holds = |rule: &Rule, colour| rule.holds(pack(colour));
        // Green alone is 58.7 % of white, red and blue together 41.3 %; 128 grey is just over half.
        let of_luma = [[0, 255, 0], [255, 0, 255], [128; 3], [127; 3]].map(|c| holds(&Rule::Luma, c));
        assert_eq!(of_luma, [true, false, true, false]);
        let nearest = Rule::Nearest(vec![([0; 3], false), ([128, 0, 0], true)]);
        assert_eq!([[63, 0, 0], [65, 0, 0], [255, 0, 0]].map(|c| holds(&nearest, c)), [false, true, true]);
        assert!(Rule::AtLeast(3).holds(3) && !Rule::AtLeast(3).holds(2));
        assert!(Rule::OneOf(vec![1, 9]).holds(9) && !Rule::OneOf(vec![1, 9]).holds(255));
        assert_eq!(unpack(pack([1, 2, 3])), [1, 2, 3]);
    }
}
