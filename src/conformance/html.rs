//! A report as one self-contained page.

use super::report::{Report, Row};
use serde_json::{Value, json};
use std::collections::HashMap;

/// The page for `report`, with `other`'s adapters beside it where there is one to compare with.
///
/// # Errors
/// None in practice: a report is plain data.
pub fn html(report: &Report, other: Option<&Report>) -> Result<String, serde_json::Error> {
    let mut strings = Strings::default();
    let reports: Vec<Value> = [Some(report), other].into_iter().flatten().map(|r| short(r, &mut strings)).collect();
    let data = serde_json::to_string(&json!({"strings": strings.all, "reports": reports}))?;
    // "<" would end the script element that holds the data; JSON knows another way to write it.
    Ok(include_str!("report.html").replace("REPORTS", &data.replace('<', "\\u003c")))
}

/// Every text once: the rows of several adapters have the same names.
#[derive(Default)]
struct Strings {
    all: Vec<String>,
    places: HashMap<String, usize>,
}

impl Strings {
    fn place(&mut self, text: &str) -> usize {
        if let Some(&place) = self.places.get(text) {
            return place;
        }
        self.all.push(text.into());
        self.places.insert(text.into(), self.all.len() - 1);
        self.all.len() - 1
    }
}

/// Each adapter with its rows, which are lists in the order of `FIELDS` in report.html.
fn short(report: &Report, strings: &mut Strings) -> Value {
    let mut adapters = Vec::new();
    for adapter in &report.adapters {
        let of = |r: &&Row| r.adapter == adapter.name && r.driver == adapter.driver;
        let rows = report.results.iter().filter(of).map(|r| {
            let [case, kernel, variant, storage, shape] =
                [&r.case, &r.kernel, &r.variant, &r.storage, &r.shape].map(|text| strings.place(text));
            let reason = r.reason.as_ref().map(|reason| strings.place(reason));
            json!([case, kernel, variant, storage, shape, r.status, r.ratio, r.error, r.bound, r.place, reason])
        });
        let rows: Vec<Value> = rows.collect();
        adapters.push(json!({"adapter": adapter, "rows": rows}));
    }
    json!({"summary": report.summary, "adapters": adapters})
}
