//! GoogleTest's protocol, which deqp-runner's `gtest-runner` and others use.

use crate::cli::{print_raw, progress, tell};
use anyhow::anyhow;
use diffews_wgpu::conformance::{Entry, Options, Report, Row, Seen, Status, Suite, run_by};
use diffews_wgpu::gpu::{AdapterChoice, AdapterFacts};

/// `--gtest_list_tests`: the part of an id before its last dot as the suite, the rest as the case.
pub fn list(entries: &[Entry]) -> anyhow::Result<()> {
    let split = |entry: &Entry| entry.id.rsplit_once('.').map(|(suite, test)| (suite.to_owned(), test.to_owned()));
    let mut names: Vec<(String, String)> = entries.iter().filter_map(split).collect();
    // The sort is stable: cases keep their order within a suite.
    names.sort_by(|a, b| a.0.cmp(&b.0));
    for suite in names.chunk_by(|a, b| a.0 == b.0) {
        print_raw(&format!("{}.", suite[0].0))?;
        suite.iter().try_for_each(|(_, test)| print_raw(&format!("  {test}")))?;
    }
    Ok(())
}

/// Whether `--gtest_filter` selects this id. Patterns have `*` and `?` and are separated by colons. A pattern that begins with `-` and
/// those after it exclude; elsewhere a hyphen is part of an id.
pub fn selects(filter: &str, id: &str) -> bool {
    let patterns: Vec<&str> = filter.split(':').collect();
    let without = patterns.iter().position(|p| p.starts_with('-')).unwrap_or(patterns.len());
    let (with, without) = patterns.split_at(without);
    let any = |patterns: &[&str]| patterns.iter().any(|p| matches(p.trim_start_matches('-').as_bytes(), id.as_bytes()));
    (with.is_empty() || any(with)) && !any(without)
}

fn matches(pattern: &[u8], text: &[u8]) -> bool {
    // Position of the last star, and how much it has matched.
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&c) if c == b'?' || c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match &mut star {
                Some((at, taken)) => {
                    *taken += 1;
                    (p, t) = (*at + 1, *taken);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

/// Runs the cases of `options` and prints GoogleTest's lines. Everything else goes to stderr.
pub fn run(adapter: AdapterFacts, choice: &AdapterChoice, options: &Options) -> anyhow::Result<Report> {
    let entries = diffews_wgpu::conformance::entries(options);
    let mut suite = Suite::new(options);
    let mut on = suite.on(adapter.clone(), choice);
    let mut printed = Ok(());
    let mut one = |_: &AdapterFacts, entry: usize| {
        if let Err(error) = print_raw(&format!("[ RUN      ] {}", entries[entry].id)) {
            return Row { status: Status::Failed, reason: Some(error.to_string()), ..entries[entry].row(&adapter) };
        }
        suite.run(&mut on, entry)
    };
    let adapters = [adapter.clone()];
    let report = run_by(&adapters, options, &entries, &mut one, &mut |seen| {
        if let Seen::Row(row) = seen {
            printed = end(row);
        }
        printed.is_ok() && !progress::interrupted()
    });
    printed?;
    let s = report.summary;
    print_raw(&format!("[==========] {} tests ran.", s.cases))?;
    print_raw(&format!("[  PASSED  ] {} tests.", s.passed))?;
    if s.known + s.not_run > 0 {
        print_raw(&format!("[  SKIPPED ] {} tests.", s.known + s.not_run))?;
    }
    if s.failed > 0 {
        print_raw(&format!("[  FAILED  ] {} tests.", s.failed))?;
    }
    Ok(report)
}

fn end(row: &Row) -> anyhow::Result<()> {
    let word = match row.status {
        status if status.is_failure() => "[  FAILED  ]",
        Status::Passed | Status::Flake => "[       OK ]",
        _ => "[  SKIPPED ]",
    };
    if row.status != Status::Passed {
        tell(&super::reports::line(row));
    }
    print_raw(&format!("{word} {} ({:.0} ms)", row.id, row.seconds * 1e3)).map_err(|e| anyhow!(e))
}

#[cfg(test)]
mod tests {
    use super::selects;

    #[test]
    fn filters_select_as_those_of_googletest() {
        let id = "kernels.conv2d.tiled-64.f32.1x1x7-9";
        for filter in
            [id, "*", "", "kernels.*", "a.b:kernels.conv2d.*f32*", "*.1x?x7-9", "*:-language.*", "-language.*"]
        {
            assert_eq!(selects(filter, id), !filter.is_empty(), "{filter}");
        }
        for filter in ["kernels", "*f16*", "*:-kernels.*", "-*conv2d*", "*.1x?x7", "*:-a:kernels.*"] {
            assert!(!selects(filter, id), "{filter}");
        }
    }
}
