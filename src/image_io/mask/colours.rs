//! Chooses the foreground colours of a mask.

use super::levels::{self, Scale};
use super::rule::{Choice, Rule, apart, luma, pack, unpack};
use super::table::{Entry, Table};
use super::warning::{MaskKind, MaskPart, MaskValue, MaskWarning};

/// Tolerance per channel within one colour: in lossy files, and in files with so many colours that they were lossy
/// before.
pub(super) const LOSSY: u8 = 32;
const BLURRED: u8 = 8;
const MANY_COLOURS: usize = 64;

/// A mask with a smaller part in flat areas is a photograph.
const MOSTLY_FLAT: f64 = 0.85;
const MOST_CLUSTERS: usize = 32;

/// PASCAL VOC's colour of ignored borders around objects.
const VOC_BORDER: [u8; 3] = [224, 224, 192];

/// A colour and all pixels that count as it.
struct Cluster {
    colour: [u8; 3],
    count: u64,
    inner: u64,
}

/// Chooses the foreground of a mask of these packed colours.
pub(super) fn choose(table: &Table, lossy: bool) -> Choice {
    let clusters = clusters(table, lossy);
    let covered: u64 = clusters.iter().map(|c| c.count).sum();
    if covered as f64 <= MOSTLY_FLAT * table.total as f64 {
        return by_luma(table, lossy);
    }
    let black = |c: &&Cluster| c.colour.iter().all(|&v| v <= if lossy { LOSSY / 2 } else { 8 });
    let dark = |c: &Cluster| c.colour.iter().all(|&v| v < 32);
    let white = |c: &Cluster| c.colour.iter().all(|&v| v >= 224);
    let part = |c: &&Cluster| MaskPart { value: MaskValue::Color(c.colour), percent: table.percent(c.count) };
    let parts = |list: &[&Cluster]| list.iter().map(part).collect();
    let ground = clusters.iter().find(black);
    match &clusters[..] {
        [] | [_] => by_luma(table, lossy),
        [a, b] if dark(a) && white(b) || dark(b) && white(a) => by_luma(table, lossy),
        [a, b] => {
            let (dim, bright) = if luma(a.colour) <= luma(b.colour) { (a, b) } else { (b, a) };
            let kind = if ground.is_some() { MaskKind::One } else { MaskKind::Two };
            let rule = Rule::Nearest(vec![(dim.colour, false), (bright.colour, true)]);
            let background = if ground.is_some() { vec![] } else { parts(&[dim]) };
            let said = MaskWarning::Chosen { kind, foreground: parts(&[bright]), background, ignored: None };
            // Half of white and more is foreground, as usual.
            let said = (kind == MaskKind::Two || !Rule::Luma.holds(pack(bright.colour))).then_some(said);
            Choice { rule, said }
        }
        _ => {
            let border = clusters.iter().find(|c| c.colour == VOC_BORDER && ground.is_some());
            let skipped = |c: &Cluster| ground.is_some_and(|g| g.colour == c.colour) || c.colour == VOC_BORDER;
            let of_black = ground.is_some() && !clusters.iter().any(white);
            let is_fore = |c: &Cluster| match of_black {
                true => !skipped(c),
                false => Rule::Luma.holds(pack(c.colour)),
            };
            let (fore, back): (Vec<&Cluster>, Vec<&Cluster>) = clusters.iter().partition(|c| is_fore(c));
            let kind = match (of_black, fore.len()) {
                (true, 1) => MaskKind::One,
                (true, _) => MaskKind::Several,
                _ => MaskKind::Levels,
            };
            let rule = Rule::Nearest(clusters.iter().map(|c| (c.colour, is_fore(c))).collect());
            let ignored = border.map(|c| MaskValue::Color(c.colour)).filter(|_| of_black);
            let background = if of_black { vec![] } else { parts(&back) };
            let said = MaskWarning::Chosen { kind, foreground: parts(&fore), background, ignored };
            Choice { rule, said: Some(said) }
        }
    }
}

/// Chooses at least half of white, and warns if much lies between black and white.
fn by_luma(table: &Table, lossy: bool) -> Choice {
    let name = |_| MaskValue::Color([0; 3]);
    let scale = Scale { white: 255, lossy: true, numbers: false, name: &name };
    let choice = levels::choose(&by_level(table), scale);
    match choice.said {
        // That rule applies to levels, and these values are colours.
        Some(MaskWarning::Dim { .. }) if lossy => Choice::silent(Rule::Luma),
        said => Choice { rule: Rule::Luma, said: said.filter(|s| matches!(s, MaskWarning::Grey { .. })) },
    }
}

/// The table of the colours' lumas, from 0 to 255.
pub(super) fn by_level(table: &Table) -> Table {
    let mut levels = [Entry { value: 0, count: 0, inner: 0 }; 256];
    for entry in &table.entries {
        let level = luma(unpack(entry.value)) / 1000;
        let into = &mut levels[level as usize];
        *into = Entry { value: level, count: into.count + entry.count, inner: into.inner + entry.inner };
    }
    // Values beyond the table's limit are left out of the total.
    let entries: Vec<Entry> = levels.into_iter().filter(|e| e.count > 0).collect();
    let total = entries.iter().map(|e| e.count).sum();
    Table { entries, total }
}

/// Colours of flat areas, the largest first.
fn clusters(table: &Table, lossy: bool) -> Vec<Cluster> {
    let mut entries = table.entries.clone();
    entries.sort_by_key(|e| std::cmp::Reverse((e.inner, e.count)));
    let tolerance = match entries.len() {
        _ if lossy => LOSSY,
        MANY_COLOURS.. => BLURRED,
        _ => 0,
    };
    let mut clusters: Vec<Cluster> = Vec::new();
    for entry in &entries {
        let colour = unpack(entry.value);
        let area = entry.inner > 0 && entry.inner * 10 >= entry.count;
        if let Some(cluster) = clusters.iter_mut().find(|c| apart(c.colour, colour) <= tolerance) {
            cluster.count += entry.count;
            cluster.inner += entry.inner;
        } else if clusters.len() < MOST_CLUSTERS && (area || thin(&clusters, colour, entries.len())) {
            clusters.push(Cluster { colour, count: entry.count, inner: entry.inner });
        }
    }
    if tolerance > 0 && clusters.len() > 2 {
        // Noise fills small areas, too.
        let least = clusters.iter().map(|c| c.inner).nth(1).unwrap_or(0) / 20;
        clusters.retain(|c| c.inner >= least);
    }
    if let [only] = &clusters[..] {
        // A thin shape has no inner pixels.
        let thin = entries.iter().filter(|e| apart(only.colour, unpack(e.value)) > tolerance).max_by_key(|e| e.count);
        if let Some(thin) = thin.filter(|_| !lossy) {
            clusters.push(Cluster { colour: unpack(thin.value), count: thin.count, inner: thin.inner });
        }
    }
    clusters
}

/// Whether a colour without inner pixels is a class of its own, not an edge between two others: one of very few colours, or VOC's border.
fn thin(clusters: &[Cluster], colour: [u8; 3], colours: usize) -> bool {
    const FEW: usize = 4;
    let between = |a: [u8; 3], b: [u8; 3]| {
        (1..16).any(|t| {
            let mix = |i: usize| ((u16::from(a[i]) * t + u16::from(b[i]) * (16 - t)) / 16) as u8;
            apart([mix(0), mix(1), mix(2)], colour) <= BLURRED
        })
    };
    let edge = clusters.iter().any(|a| clusters.iter().any(|b| a.colour != b.colour && between(a.colour, b.colour)));
    colour == VOC_BORDER || colours <= 2 || colours <= FEW && !edge
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLACK: [u8; 3] = [0; 3];
    const WHITE: [u8; 3] = [255; 3];
    const RED: [u8; 3] = [128, 0, 0];
    const GREEN: [u8; 3] = [0, 128, 0];

    /// The foreground and the warning for adjacent squares of 20 x 20 pixels of these colours.
    fn of_squares(colours: &[[u8; 3]]) -> (Vec<[u8; 3]>, Option<MaskKind>) {
        let width = 20 * colours.len();
        let table = Table::new(width, 20, |i| pack(colours[i % width / 20]));
        let choice = choose(&table, false);
        let kind = match choice.said {
            Some(MaskWarning::Chosen { kind, .. }) => Some(kind),
            None => None,
            Some(other) => panic!("{other}"),
        };
        (colours.iter().filter(|&&c| choice.rule.holds(pack(c))).copied().collect(), kind)
    }

    #[test]
    fn what_is_not_black_is_foreground() {
        use MaskKind::*;
        assert_eq!(of_squares(&[BLACK, WHITE]), (vec![WHITE], None));
        assert_eq!(of_squares(&[[20, 9, 9], [230, 250, 240]]), (vec![[230, 250, 240]], None));
        assert_eq!(of_squares(&[BLACK, RED]), (vec![RED], Some(One)));
        assert_eq!(of_squares(&[BLACK, [255, 255, 0]]), (vec![[255, 255, 0]], None));
        assert_eq!(of_squares(&[BLACK, RED, VOC_BORDER]), (vec![RED], Some(One)));
        assert_eq!(of_squares(&[BLACK, RED, GREEN, VOC_BORDER]), (vec![RED, GREEN], Some(Several)));
        assert_eq!(of_squares(&[BLACK, RED, GREEN]), (vec![RED, GREEN], Some(Several)));
    }

    #[test]
    fn what_is_in_doubt_is_said() {
        use MaskKind::*;
        let (dark, bright) = ([17, 39, 0], [200, 171, 44]);
        assert_eq!(of_squares(&[dark, bright]), (vec![bright], Some(Two)));
        assert_eq!(of_squares(&[RED, [0, 0, 200]]), (vec![RED], Some(Two)));
        assert_eq!(of_squares(&[WHITE, RED]), (vec![WHITE], Some(Two)));
        assert_eq!(of_squares(&[BLACK, WHITE, RED]), (vec![WHITE], Some(Levels)));
        assert_eq!(of_squares(&[GREEN, WHITE, RED]), (vec![WHITE], Some(Levels)));
    }

    #[test]
    fn edges_noise_and_photographs() {
        // Red on black with a soft edge of many colours.
        let soft = |i: usize| pack([(i % 100).saturating_sub(45).min(10) as u8 * 20, 0, 0]);
        let choice = choose(&Table::new(100, 30, soft), false);
        assert_eq!(choice.rule, Rule::Nearest(vec![(BLACK, false), ([200, 0, 0], true)]));
        assert!(choice.said.is_some_and(|s| s.is_note()));
        // The same with the noise of a JPEG.
        let noise = |i: usize| (i.wrapping_mul(2_654_435_761) >> 7) as u8 % 9;
        let noisy = |i: usize| {
            pack(if i % 100 < 50 || i % 3 == 1 && i % 100 < 52 { [noise(i); 3] } else { [190 + noise(i), 3, 4] })
        };
        let table = Table::new(100, 30, |i| {
            if i / 100 < 20 { pack(if i % 100 < 50 { BLACK } else { [196, 3, 4] }) } else { noisy(i) }
        });
        let choice = choose(&table, true);
        assert!(choice.rule.holds(pack([190, 3, 4])) && !choice.rule.holds(pack([9, 9, 9])), "{choice:?}");
        // Every pixel has another colour.
        let photo = Table::new(64, 64, |i| pack([(i * 5) as u8, (i * 7) as u8, (i / 64 * 4) as u8]));
        let choice = choose(&photo, false);
        assert_eq!(choice.rule, Rule::Luma);
        assert!(matches!(choice.said, Some(MaskWarning::Grey { .. })), "{choice:?}");
        // A thin line has no inner pixels.
        let line = Table::new(64, 64, |i| pack(if i / 64 == 20 { RED } else { BLACK }));
        assert!(choose(&line, false).rule.holds(pack(RED)));
    }
}
