//! Writes the small conformance cases as plain data, for implementations of WebGPU outside Rust (`tools/tint/run.mjs`):
//! `cargo run --release --example dump_cases -- DIR` leaves `DIR/cases.json` and, for all bytes in it, `DIR/cases.bin`.

use diffews_wgpu::check::bound::Approx;
use diffews_wgpu::check::{Case, Check, Recorded, STORAGES};
use diffews_wgpu::conformance::LANGUAGE;
use diffews_wgpu::kernels::ALL;
use diffews_wgpu::plan::{Limits, Storage, TensorId, layout};
use diffews_wgpu::shader::{Kernel, Tuning, preprocess};
use diffews_wgpu::twins;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

type Failure = Box<dyn std::error::Error>;

/// Cases with more bytes in all their tensors are left out.
const MOST_BYTES: u64 = 2 << 20;
/// And those with longer loops, which take minutes there: drivers run them.
const MOST_TURNS: u64 = 10_000;
const SEED: u64 = 20241;
/// WebGPU's own defaults.
const LIMITS: Limits = Limits {
    max_binding: 128 << 20,
    offset_alignment: 256,
    max_workgroups: 65_535,
    max_buffer: 256 << 20,
    max_flops: 4_000_000_000,
    max_turns: diffews_wgpu::plan::MAX_TURNS,
};

/// Appends bytes and says where they lie.
fn put(data: &mut Vec<u8>, bytes: &[u8]) -> Value {
    let at = data.len();
    data.extend_from_slice(bytes);
    // Float64Array wants its start aligned.
    data.resize(data.len().next_multiple_of(8), 0);
    json!([at, bytes.len()])
}

/// For every element that is compared: its place in the tensor's bytes, the exact value, the bound; three f64 each.
fn expected(check: &Check, storage: Storage) -> Vec<u8> {
    let places = check.tensor.channels.places();
    let bytes = check.tensor.vec4_bytes(storage) / 4;
    let row = check.tensor.channels.vec4s() as u64 * 4;
    let triple = |(i, exact): (usize, Approx)| {
        let (position, place) = ((i / places.len()) as u64, u64::from(places[i % places.len()]));
        [((position * row + place) * bytes) as f64, exact.value, exact.bound]
    };
    let triples: Vec<f64> = check.expected(storage).into_iter().flat_map(triple).collect();
    bytemuck::cast_slice(&triples).to_vec()
}

/// A kernel with its symbols and its storage.
fn variant(kernel: &str, defines: &[&str], storage: Storage) -> String {
    let defines: BTreeSet<_> = defines.iter().collect();
    let defines: String = defines.iter().map(|define| format!(" {define}")).collect();
    format!("{kernel}{defines} {}", storage.name())
}

/// None for a case that is too large. What it would run goes into `variants`, whatever its size.
fn dump(
    case: &Case,
    storage: Storage,
    tuning: Tuning,
    data: &mut Vec<u8>,
    variants: &mut BTreeSet<String>,
) -> Result<Option<Value>, Failure> {
    let Recorded { recording, inputs, checks } = case.record(storage, tuning, LIMITS, SEED)?;
    variants.extend(recording.dispatches.iter().map(|d| variant(d.kernel.name, &d.defines, storage)));
    // Every value has a buffer of its own here, by its number.
    let mut buffers = BTreeMap::new();
    let mut dispatches = Vec::new();
    for dispatch in &recording.dispatches {
        let mut bindings = Vec::new();
        for window in dispatch.inputs.iter().chain(&dispatch.outputs) {
            let TensorId::Value(v) = window.tensor.id else { return Err("a case with constants".into()) };
            buffers.insert(v, json!({ "bytes": window.tensor.bytes(storage).max(16) }));
            bindings.push(json!([v, window.offset, window.size]));
        }
        let defines: Vec<_> = dispatch.defines.iter().copied().chain(storage.define()).collect();
        let wgsl = preprocess(dispatch.kernel.source, &defines)?;
        let overrides: BTreeMap<_, _> = dispatch.overrides.iter().copied().collect();
        dispatches.push(json!({
            "variant": variant(dispatch.kernel.name, &dispatch.defines, storage), "wgsl": wgsl, "overrides": overrides, "bindings": bindings, "inputs": dispatch.inputs.len(), "params": dispatch.params,
            "workgroups": dispatch.workgroups,
        }));
    }
    let all: u64 = buffers.values().filter_map(|b| b["bytes"].as_u64()).sum();
    if all > MOST_BYTES || recording.dispatches.iter().any(|dispatch| dispatch.turns > MOST_TURNS) {
        return Ok(None);
    }
    for input in &inputs {
        if let TensorId::Value(v) = input.tensor.id
            && let Some(buffer) = buffers.get_mut(&v)
        {
            buffer["data"] = put(data, &layout::to_bytes(&input.tensor, storage, &input.values));
        }
    }
    let mut wanted = Vec::new();
    for check in &checks {
        let TensorId::Value(v) = check.tensor.id else { return Err("a constant is checked".into()) };
        wanted.push(json!({
            "buffer": v, "bytes": check.tensor.bytes(storage), "half": storage.is_half(check.tensor.element),
            // For the lanes that are padding, which hold zero.
            "row": check.tensor.channels.vec4s() * 4, "places": check.tensor.channels.places(),
            "expected": put(data, &expected(check, storage)),
        }));
    }
    Ok(Some(json!({
        "kernel": case.kernel.name, "case": case.name, "storage": storage.name(), "tuning": format!("{tuning:?}"),
        "buffers": buffers, "dispatches": dispatches, "checks": wanted,
    })))
}

fn main() -> Result<(), Failure> {
    let dir = std::path::PathBuf::from(std::env::args().nth(1).ok_or("usage: dump_cases DIR")?);
    std::fs::create_dir_all(&dir)?;
    let (mut cases, mut data, mut too_large) = (Vec::new(), Vec::new(), 0);
    // What has to run: all that the engine can record, and what the cases do.
    let declared = |kernel: &&'static Kernel| {
        let of =
            |storage: &Storage| kernel.variants.iter().map(|d| variant(kernel.name, d, *storage)).collect::<Vec<_>>();
        STORAGES.iter().flat_map(of).collect::<Vec<_>>()
    };
    let mut variants: BTreeSet<String> = ALL.iter().flat_map(declared).collect();
    for tested in LANGUAGE.iter().chain(&twins::ALL) {
        for case in (tested.cases)() {
            for &storage in case.storages {
                for &tuning in tested.kernel.tunings {
                    match dump(&case, storage, tuning, &mut data, &mut variants)? {
                        Some(value) => cases.push(value),
                        None => too_large += 1,
                    }
                }
            }
        }
    }
    println!("{} cases in {}, {too_large} too large for it", cases.len(), dir.display());
    let all = json!({ "cases": cases, "too_large": too_large, "most_bytes": MOST_BYTES, "variants": variants });
    std::fs::write(dir.join("cases.json"), serde_json::to_vec(&all)?)?;
    Ok(std::fs::write(dir.join("cases.bin"), data)?)
}
