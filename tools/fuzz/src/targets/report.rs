//! Conformance reports, read and written as by `conformance --from A --compare B`.

use super::{Ran, Runner, seeds};
use crate::mutate::{self, Source};
use diffews_wgpu::conformance::{Report, compare, html, junit, read_report};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::path::Path;

const GZIP: [u8; 2] = [0x1f, 0x8b];
/// The same limit as in the command.
const LONGEST: u64 = 1 << 24;

fn unpacked(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    GzDecoder::new(bytes).take(LONGEST).read_to_end(&mut out).is_ok().then_some(out)
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing to memory cannot fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

pub fn mutate(input: &mut Vec<u8>, source: &mut Source) {
    match unpacked(input).filter(|_| input.starts_with(&GZIP) && !source.once_in(4)) {
        Some(mut text) => {
            mutate::json::mutate(&mut text, source);
            *input = packed(&text);
        }
        None => mutate::json::mutate(input, source),
    }
}

/// A few rows of a report in the repository.
fn rows(count: usize, driver: &str) -> Vec<u8> {
    let text = unpacked(&seeds::read("docs/results/conformance/lavapipe@128.json.gz")).unwrap_or_default();
    let mut report: Value = serde_json::from_slice(&text).unwrap_or_default();
    report["adapters"][0]["driver"] = json!(driver);
    if let Some(rows) = report["results"].as_array_mut() {
        rows.truncate(count);
        rows.iter_mut().for_each(|row| row["driver"] = json!(driver));
    }
    report.to_string().into_bytes()
}

pub fn seeds() -> Vec<Vec<u8>> {
    vec![rows(1, "one"), rows(6, "one"), packed(&rows(6, "one"))]
}

pub fn open(dir: &Path) -> Runner {
    let beside = dir.join("beside.json");
    seeds::write(&beside, &rows(6, "two"));
    Box::new(move |_, file| {
        let (Ok(report), Ok(beside)) = (read_report(file), read_report(&beside)) else { return Ran::new(false) };
        let text = report.json().unwrap_or_default();
        let again = serde_json::from_str::<Report>(&text).map(|r| r.results.len());
        assert!(again.is_ok_and(|n| n == report.results.len()), "a written report can be read again");
        let page = html(&report, Some(&beside), None);
        let scripts = |page: &str| page.to_lowercase().matches("</script").count();
        let plain = html(&beside, None, None).map_or(0, |page| scripts(&page));
        assert!(page.is_ok_and(|page| scripts(&page) == plain), "no text of a report can end its script");
        assert!(junit(&report).ends_with("</testsuites>\n"));
        let told =
            compare(&report, &beside, &mut |line| if line.contains('\n') { Err(line.to_string()) } else { Ok(()) });
        assert_eq!(told, Ok(()), "a comparison consists of lines");
        report.gone();
        let allowed = 256 * text.len();
        Ran { accepted: Report::joined(vec![report, beside]).is_ok(), allowed }
    })
}
