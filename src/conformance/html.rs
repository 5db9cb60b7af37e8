//! A report as one self-contained page.

use super::compiled::Compiled;
use super::report::{Adapter, Report};
use serde_json::{Value, json};
use std::collections::HashMap;

/// The page for `report`, optionally beside the adapters of `other` for comparison, and optionally with the compilers' figures below.
///
/// # Errors
/// None in practice, because a report is plain data.
pub fn html(report: &Report, other: Option<&Report>, compiled: Option<&Compiled>) -> Result<String, serde_json::Error> {
    let mut strings = Strings::default();
    let reports: Vec<Value> = [Some(report), other].into_iter().flatten().map(|r| short(r, &mut strings)).collect();
    let compiled = compiled.map(|compiled| &compiled.0);
    let data = serde_json::to_string(&json!({"strings": strings.all, "reports": reports, "compiled": compiled}))?;
    // "<" could end the script element that holds the data; JSON permits an escape.
    Ok(include_str!("report.html").replace("REPORTS", &data.replace('<', "\\u003c")))
}

/// Stores every text once: the rows of several adapters share names.
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

/// Each adapter with its rows, as lists in the order of `FIELDS` in report.html.
fn short(report: &Report, strings: &mut Strings) -> Value {
    let mut adapters = Vec::new();
    for (adapter, rows) in report.by_adapter() {
        let rows = rows.into_iter().map(|r| {
            let [id, case, kernel, variant, storage, shape] =
                [&r.id, &r.case, &r.kernel, &r.variant, &r.storage, &r.shape].map(|text| strings.place(text));
            let reason = r.reason.as_ref().map(|reason| strings.place(reason));
            json!([id, case, kernel, variant, storage, shape, r.status, r.ratio, r.error, r.bound, r.place, reason])
        });
        let rows: Vec<Value> = rows.collect();
        let Adapter { name, driver, backend, machine, made, facts } = adapter;
        let head = json!({
            "name": name, "driver": driver, "backend": backend, "machine": machine, "made": made,
            "facts": shown(facts.get()),
        });
        adapters.push(json!({"adapter": head, "rows": rows}));
    }
    json!({"summary": report.summary, "adapters": adapters})
}

/// The facts that the page shows, null where missing or of the wrong type: the file is untrusted.
fn shown(facts: &str) -> Value {
    let all: Value = serde_json::from_str(facts).unwrap_or_default();
    let number = |key: &str| all[key].as_u64();
    let sizes = all["subgroup_sizes"].as_array().and_then(|s| s.iter().map(Value::as_u64).collect::<Option<Vec<_>>>());
    json!({
        "device_type": all["device_type"].as_str(),
        "shader_f16": all["shader_f16"].as_bool(),
        "subgroup_sizes": sizes,
        "max_binding_bytes": number("max_binding_bytes"),
        "workgroup_invocations": number("workgroup_invocations"),
        "workgroup_memory_bytes": number("workgroup_memory_bytes"),
    })
}
