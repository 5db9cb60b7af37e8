//! Does this browser compute right on this GPU?

use crate::error::usage;
use crate::{gpu, model};
use diffews_wgpu::conformance::{Options, Seen, run_async};
use diffews_wgpu::gpu::{AdapterChoice, AdapterFacts};
use js_sys::{Function, Map};
use wasm_bindgen::prelude::*;

fn options(only: &str, full: bool) -> Result<Options, JsValue> {
    let only = match only {
        "" => None,
        only => Some(regex::Regex::new(only).map_err(|error| usage(&format!("the choice of cases: {error}")))?),
    };
    Ok(Options { only, full, ..Default::default() })
}

/// How many cases a choice has.
#[wasm_bindgen(js_name = countCases)]
pub fn count(only: &str, full: bool) -> Result<usize, JsValue> {
    Ok(diffews_wgpu::conformance::entries(&options(only, full)?).len())
}

/// Runs the cases whose titles or ids the regular expression `only` matches, and gives the report, as `conformance --json` of the command
/// does. `seen` hears each row as JSON, and ends the run by returning false. `adapter` and `driver` are the GPU and the browser in words, which
/// WebGPU does not tell a module.
#[wasm_bindgen]
pub async fn conformance(
    files: Map,
    only: String,
    full: bool,
    adapter: String,
    driver: String,
    seen: Function,
) -> Result<String, JsValue> {
    let options = Options { model: Some(model(&files)?), ..options(&only, full)? };
    let facts = gpu::request().await?.facts().clone();
    let facts = AdapterFacts { name: adapter, driver, ..facts };
    let mut told = |told: Seen| match told {
        Seen::Adapter(_) => true,
        Seen::Row(row) => {
            let row = serde_json::to_string(row).unwrap_or_default();
            !seen.call1(&JsValue::NULL, &row.into()).is_ok_and(|goes_on| goes_on.is_falsy())
        }
    };
    let report = run_async(&[facts], &AdapterChoice::default(), &options, &mut told).await;
    serde_json::to_string(&report).map_err(|error| usage(&format!("the report: {error}")))
}
