//! Does this browser compute right on this GPU?

use crate::callback::Callback;
use crate::error::usage;
use crate::{gpu, model};
use diffews_wgpu::conformance::{Options, Seen, entries, run_async};
use diffews_wgpu::gpu::{AdapterChoice, AdapterFacts};
use js_sys::{Function, Map};
use regex::Regex;
use wasm_bindgen::prelude::*;

fn pattern(text: &str) -> Result<Option<Regex>, JsValue> {
    let wrong = |error: regex::Error| usage(&format!("the choice of cases: {error}"));
    (!text.is_empty()).then(|| Regex::new(text).map_err(wrong)).transpose()
}

fn options(only: &str, skip: &str, full: bool) -> Result<Options, JsValue> {
    let options = Options { only: pattern(only)?, full, ..Default::default() };
    let cases = pattern(skip)?.map(|skip| {
        let kept =
            entries(&options).into_iter().filter(|entry| !skip.is_match(&entry.id) && !skip.is_match(&entry.title));
        kept.map(|entry| entry.id).collect()
    });
    Ok(Options { cases, ..options })
}

/// How many cases a choice has.
#[wasm_bindgen(js_name = countCases)]
pub fn count(only: &str, skip: &str, full: bool) -> Result<usize, JsValue> {
    Ok(entries(&options(only, skip, full)?).len())
}

/// Runs the cases whose titles or ids the regular expression `only` matches, and `skip` does not, and gives the report, as `conformance --json` of the command
/// does. `seen` hears each row as JSON, and ends the run by returning false or by throwing. `adapter` and `driver` are the GPU and the browser in words, which
/// WebGPU does not tell a module.
#[wasm_bindgen]
pub async fn conformance(
    files: Map,
    only: String,
    skip: String,
    full: bool,
    adapter: String,
    driver: String,
    seen: Function,
) -> Result<String, JsValue> {
    let options = Options { model: Some(model(&files)?), ..options(&only, &skip, full)? };
    let facts = gpu::request().await?.facts().clone();
    let facts = AdapterFacts { name: adapter, driver, ..facts };
    let seen = Callback::new(seen);
    let mut told = |told: Seen| match told {
        Seen::Adapter(_) => true,
        Seen::Row(row) => {
            let row = serde_json::to_string(row).unwrap_or_default();
            seen.hears(&[row.into()])
        }
    };
    let report = run_async(&[facts], &AdapterChoice::default(), &options, &mut told).await;
    let report = seen.outcome(Ok(report))?;
    serde_json::to_string(&report).map_err(|error| usage(&format!("the report: {error}")))
}
