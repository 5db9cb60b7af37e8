//! Writes a report as JUnit XML, which every CI service can show.

use super::report::{Adapter, Report};
use super::status::Status;
use std::fmt::Write;

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // XML 1.0 cannot represent these.
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// The properties of an adapter that its results depend on.
fn properties(adapter: &Adapter) -> [(&'static str, String); 8] {
    let Adapter { name, driver, backend, machine, made, .. } = adapter;
    [
        ("adapter", name.clone()),
        ("driver", driver.clone()),
        ("backend", backend.clone()),
        ("device-id", adapter.device_id().unwrap_or_default()),
        ("machine", machine.clone()),
        ("seed", made.seed.to_string()),
        ("version", format!("{} {}", made.version, made.commit)),
        ("mode", if made.full { "full" } else { "quick" }.into()),
    ]
}

/// One test suite per adapter, and one test case per row. Known deviations and cases that were not run are skipped.
pub fn junit(report: &Report) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"conformance\">\n");
    for (adapter, rows) in report.by_adapter() {
        let count = |is: fn(Status) -> bool| rows.iter().filter(|r| is(r.status)).count();
        let name = escape(&format!("{} ({})", adapter.name, adapter.driver));
        let (tests, failed) = (rows.len(), count(Status::is_failure));
        let skipped = count(|s| s.is_known() || s == Status::NotRun);
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "<testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failed}\" errors=\"0\" skipped=\"{skipped}\">"
        );
        out.push_str("<properties>\n");
        for (name, value) in properties(adapter) {
            let _ = writeln!(out, "<property name=\"{name}\" value=\"{}\"/>", escape(&value));
        }
        out.push_str("</properties>\n");
        for row in rows {
            let (id, kernel, time) = (escape(&row.id), escape(&row.kernel), row.seconds);
            let _ = write!(out, "<testcase name=\"{id}\" classname=\"{kernel}\" time=\"{time:.3}\">");
            let title = escape(&row.case);
            let _ = write!(out, "<properties><property name=\"title\" value=\"{title}\"/></properties>");
            let reason = escape(row.reason.as_deref().unwrap_or("beyond the bound"));
            // Writing to a String cannot fail.
            let _ = if row.status.is_failure() {
                let kind = row.status.word();
                write!(out, "<failure type=\"{kind}\" message=\"{reason}\">{}</failure>", escape(&row.place))
            } else if matches!(row.status, Status::Passed | Status::Flake) {
                Ok(())
            } else {
                write!(out, "<skipped message=\"{reason}\"/>")
            };
            out.push_str("</testcase>\n");
        }
        out.push_str("</testsuite>\n");
    }
    out + "</testsuites>\n"
}
