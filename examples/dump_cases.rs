//! Writes the small conformance cases as plain data, for implementations of WebGPU outside Rust (`tools/tint/run.mjs`):
//! `cargo run --release --example dump_cases -- DIR` leaves `DIR/cases.json` and, for all bytes in it, `DIR/cases.bin`.

use diffews_wgpu::conformance::{Case, Recorded};
use diffews_wgpu::gpu::preprocess;
use diffews_wgpu::kernels::ALL;
use diffews_wgpu::layout;
use diffews_wgpu::plan::{Element, Limits, Storage, Tensor, TensorId, Tuning};
use serde_json::{Value, json};
use std::collections::BTreeMap;

type Failure = Box<dyn std::error::Error>;

/// Cases with more bytes in all their tensors are left out.
const MOST_BYTES: u64 = 512 * 1024;
const SEED: u64 = 20241;
/// WebGPU's own defaults.
const LIMITS: Limits = Limits {
    max_binding: 128 << 20,
    offset_alignment: 256,
    max_workgroups: 65_535,
    max_buffer: 256 << 20,
    max_flops: 4_000_000_000,
};

/// Appends bytes and says where they lie.
fn put(data: &mut Vec<u8>, bytes: &[u8]) -> Value {
    let at = data.len();
    data.extend_from_slice(bytes);
    // Float64Array wants its start aligned.
    data.resize(data.len().next_multiple_of(8), 0);
    json!([at, bytes.len()])
}

/// For every element: its place in the tensor's bytes, the exact value, the bound; three f64 each.
fn expected(tensor: &Tensor, storage: Storage, twin: impl Fn(usize, usize) -> (f64, f64)) -> Vec<u8> {
    let places = tensor.channels.places();
    let bytes = tensor.vec4_bytes(storage) / 4;
    let row = tensor.channels.vec4s() as u64 * 4;
    let mut triples = Vec::new();
    for p in 0..tensor.positions() as usize {
        for (c, &place) in places.iter().enumerate() {
            let (value, bound) = twin(p, c);
            triples.extend([((p as u64 * row + place as u64) * bytes) as f64, value, bound]);
        }
    }
    bytemuck::cast_slice(&triples).to_vec()
}

fn dump(case: &Case, storage: Storage, tuning: Tuning, data: &mut Vec<u8>) -> Result<Option<Value>, Failure> {
    let Recorded { recording, inputs, checks } = case.record(storage, tuning, LIMITS, SEED)?;
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
            "wgsl": wgsl, "overrides": overrides, "bindings": bindings, "params": dispatch.params,
            "workgroups": dispatch.workgroups,
        }));
    }
    let all: u64 = buffers.values().filter_map(|b| b["bytes"].as_u64()).sum();
    if all > MOST_BYTES {
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
        let half = check.tensor.element == Element::Stored && storage != Storage::F32;
        let twin = |p, c| {
            let exact = (check.twin)(p, c);
            let exact = if half { exact.stored_as_half() } else { exact };
            (exact.value, exact.bound)
        };
        wanted
            .push(json!({ "buffer": v, "half": half, "expected": put(data, &expected(&check.tensor, storage, twin)) }));
    }
    Ok(Some(json!({
        "kernel": case.kernel.name, "case": case.name, "storage": storage.name(), "tuning": format!("{tuning:?}"),
        "buffers": buffers, "dispatches": dispatches, "checks": wanted,
    })))
}

fn main() -> Result<(), Failure> {
    let dir = std::path::PathBuf::from(std::env::args().nth(1).ok_or("usage: dump_cases DIR")?);
    std::fs::create_dir_all(&dir)?;
    let (mut cases, mut data, mut left_out) = (Vec::new(), Vec::new(), 0);
    for kernel in ALL {
        for case in (kernel.cases)() {
            for storage in [Storage::F32, Storage::Packed, Storage::F16] {
                for &tuning in kernel.tunings {
                    match dump(&case, storage, tuning, &mut data)? {
                        Some(value) => cases.push(value),
                        None => left_out += 1,
                    }
                }
            }
        }
    }
    println!("{} cases in {}, {left_out} too large for it", cases.len(), dir.display());
    std::fs::write(dir.join("cases.json"), serde_json::to_vec(&cases)?)?;
    Ok(std::fs::write(dir.join("cases.bin"), data)?)
}
