//! Episodes as a table.

use super::Record;
use std::fmt::Write as _;

/// The episodes as a table for spreadsheets and scripts, in the episodes' order.
pub fn to_csv(records: &[Record]) -> String {
    let mut rows: Vec<&Record> = records.iter().collect();
    rows.sort_by_key(|r| r.episode);
    let mut csv = "episode,class,query,iou,intersection_background,intersection_foreground,union_background,\
                   union_foreground,error\n"
        .to_string();
    for record in rows {
        let counts = match &record.counts {
            Some(c) => {
                let ([ib, i], [ub, u]) = (c.intersection, c.union);
                format!("{:.6},{ib},{i},{ub},{u}", c.iou())
            }
            None => ",,,,".into(),
        };
        let (class, query) = (cell(&record.class), cell(&record.query));
        let error = cell(record.error.as_deref().unwrap_or_default());
        // Writing to a string cannot fail.
        let _ = writeln!(csv, "{},{class},{query},{counts},{error}", record.episode);
    }
    csv
}

/// A cell with any text, quoted by RFC 4180. Spreadsheets evaluate text that begins like a formula even in quotes, so it gets an
/// apostrophe. Control characters, which move the cursor on a terminal, are replaced.
fn cell(text: &str) -> String {
    let mut cell = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'".to_string() } else { String::new() };
    cell.extend(text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }));
    if cell.contains([',', '"']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::Counts;
    use std::collections::BTreeMap;

    fn record(episode: usize, class: &str, query: &str, error: Option<&str>) -> Record {
        let counts = Counts { intersection: [episode as u64, 2], union: [9, 3] };
        Record {
            episode,
            class: class.into(),
            query: query.into(),
            counts: error.is_none().then_some(counts),
            score: None,
            made_iou: None,
            error: error.map(Into::into),
            precision: None,
            seconds: BTreeMap::new(),
        }
    }

    #[test]
    fn tables_are_in_order_and_quoted() {
        let csv = to_csv(&[record(1, "a,b", "say \"x\"", Some("gone")), record(0, "a", "q", None)]);
        let lines: Vec<&str> = csv.lines().collect();
        assert_eq!(lines[0].split(',').count(), 9);
        assert_eq!(lines[1], "0,a,q,0.666667,0,2,9,3,");
        assert_eq!(lines[2], "1,\"a,b\",\"say \"\"x\"\"\",,,,,,gone");
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn names_are_neither_formulas_nor_commands() {
        let csv = to_csv(&[record(0, "=HYPERLINK(\"x\",\"y\")", "a\n\u{1b}[2J\tb", Some("-1"))]);
        let lines: Vec<&str> = csv.lines().collect();
        assert_eq!(lines[1], "0,\"'=HYPERLINK(\"\"x\"\",\"\"y\"\")\",a\u{fffd}\u{fffd}[2J\u{fffd}b,,,,,,'-1");
        assert_eq!(lines.len(), 2);
        for (text, want) in
            [("+1", "'+1"), ("@a", "'@a"), ("\t=1", "'\u{fffd}=1"), ("\r1", "'\u{fffd}1"), ("a=1", "a=1")]
        {
            assert_eq!(cell(text), want);
        }
    }
}
