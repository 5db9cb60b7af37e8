//! Measures the speed of kernels on an adapter, at shapes of SD 2.1 at 512 x 512, through the ordinary wrappers; and the adapter's peak
//! performance.

mod roof;

pub use roof::{Binds, Peak, Roof};

use crate::gpu::{Arena, Gpu, GpuError, Placed};
use crate::kernels::attention::KeyValue;
use crate::kernels::conv2d::{Epilogue, Geometry, Weights};
use crate::kernels::{affine, attention, conv2d, group_norm, group_stats, guided_filter, layer_norm};
use crate::plan::{Channels, Element, Param, PlanError, Policy, Recorder, Schedule, Tensor, layout};
use crate::settings::GuidedFilter;
use crate::shader::Kernel;
use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

/// Shorter measurements are repeated within one run, to make the cost of submission negligible.
const LEAST_SECONDS: f64 = 0.02;
/// Most repetitions within one run.
const MOST_COPIES: usize = 32;
/// Limit on the bytes of all repetitions' outputs.
const MOST_BYTES: u64 = 1 << 30;

/// A kernel at a shape.
pub struct Shape {
    pub kernel: &'static Kernel,
    pub name: &'static str,
    /// Multiplications and additions, counted separately, of the operation itself (by the textbook definition, whatever the kernel does); 0
    /// if memory is the limit.
    pub flops: u64,
    record: fn(&mut Recorder) -> Tensor,
}

/// A measurement.
#[derive(Clone, Debug)]
pub struct Timing {
    /// Seconds per application of the kernel: median, least and most.
    pub median: f64,
    pub least: f64,
    pub most: f64,
    /// Applications per timed run.
    pub copies: usize,
    /// Operations of one application in its form, without padding.
    pub flops: u64,
    /// Minimum bytes that one application moves: inputs, weights as packed, and outputs, each once.
    pub bytes: u64,
    /// The forms that ran, as in `conv2d=tiled-64`; empty if there is only one.
    pub forms: BTreeSet<String>,
}

/// The plan cannot be recorded, or the device fails.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Gpu(#[from] GpuError),
}

/// A convolution of `[h, w, cin]` with `cout` filters; with `geglu`, `cout` for each half.
fn conv(r: &mut Recorder, (h, w): (u32, u32), cin: u32, cout: u32, geometry: Geometry, geglu: bool) -> Tensor {
    let x = r.input("x", h, w, Channels::one(cin));
    let channels = if geglu { Channels::heads(2, cout) } else { Channels::one(cout) };
    let taps = geometry.kernel * geometry.kernel;
    let weight = Param { id: 0, name: "weight".into(), taps, inputs: Channels::one(cin), outputs: channels.clone() };
    let bias = r.input_of("bias", 1, 1, channels, Element::F32);
    let epilogue = if geglu { Epilogue::Geglu } else { Epilogue::None };
    conv2d::record(r, "out", &x, &Weights { weight, bias }, geometry, epilogue)
}

fn attend(r: &mut Recorder, rows: u32, heads: u32, head_dim: u32) -> Tensor {
    let channels = Channels::heads(heads, head_dim);
    let mut input = |name: &str| r.input(name, 1, rows, channels.clone());
    let [q, k, v, bank_k, bank_v] = ["q", "own.k", "own.v", "bank.k", "bank.v"].map(&mut input);
    attention::record(r, "out", &q, &KeyValue { k, v }, &[KeyValue { k: bank_k, v: bank_v }])
}

/// The shapes where SD 2.1 spends its time, and the common yardstick of a 1024-cubed product.
pub fn shapes() -> Vec<Shape> {
    let gemm = 2 * 1024 * 1024 * 1024;
    vec![
        Shape {
            kernel: &conv2d::KERNEL,
            name: "GEMM 1024 x 1024 x 1024",
            flops: gemm,
            record: |r| conv(r, (1, 1024), 1024, 1024, Geometry::LINEAR, false),
        },
        Shape {
            kernel: &conv2d::KERNEL,
            name: "3x3 64x64 320 -> 320",
            flops: 2 * 9 * 64 * 64 * 320 * 320,
            record: |r| conv(r, (64, 64), 320, 320, Geometry::SAME, false),
        },
        Shape {
            kernel: &conv2d::KERNEL,
            name: "3x3 128x128 256 -> 256",
            flops: 2 * 9 * 128 * 128 * 256 * 256,
            record: |r| conv(r, (128, 128), 256, 256, Geometry::SAME, false),
        },
        Shape {
            kernel: &conv2d::KERNEL,
            name: "3x3 512x512 128 -> 128",
            flops: 2 * 9 * 512 * 512 * 128 * 128,
            record: |r| conv(r, (512, 512), 128, 128, Geometry::SAME, false),
        },
        Shape {
            kernel: &conv2d::KERNEL,
            name: "GEGLU 4096 x 320 -> 1280",
            flops: 2 * 4096 * 320 * 2560,
            record: |r| conv(r, (1, 4096), 320, 1280, Geometry::LINEAR, true),
        },
        Shape {
            kernel: &attention::KERNEL,
            name: "4096 x (4096 + 4096), 5 heads of 64",
            flops: 4 * 4096 * 8192 * 5 * 64,
            record: |r| attend(r, 4096, 5, 64),
        },
        Shape {
            kernel: &affine::KERNEL,
            name: "SiLU 64x64 x 320",
            flops: 0,
            record: |r| {
                let x = r.input("x", 64, 64, Channels::one(320));
                let scales = r.input_of("affine", 1, 2, Channels::one(320), Element::F32);
                affine::record(r, &x, None, &scales, true)
            },
        },
        Shape {
            kernel: &group_stats::KERNEL,
            name: "64x64 x 320",
            flops: 0,
            record: |r| {
                let x = r.input("x", 64, 64, Channels::one(320));
                let len = group_stats::chunk_len(r, x.positions(), 10);
                group_stats::record(r, &x, len).values
            },
        },
        Shape {
            // The whole of GroupNorm as a model has it, with the subsequent activation.
            kernel: &group_norm::KERNEL,
            name: "64x64 x 320, 32 groups, activated",
            flops: 0,
            record: |r| {
                let x = r.input("x", 64, 64, Channels::one(320));
                let weight = r.input_of("weight", 1, 1, Channels::one(320), Element::F32);
                let bias = r.input_of("bias", 1, 1, Channels::one(320), Element::F32);
                let len = group_stats::chunk_len(r, x.positions(), 10);
                let stats = group_stats::record(r, &x, len);
                let scales = group_norm::record(r, (&x, &stats), None, &weight, &bias, 32, 1e-5);
                affine::record(r, &x, None, &scales, true)
            },
        },
        Shape {
            kernel: &layer_norm::KERNEL,
            name: "4096 x 320",
            flops: 0,
            record: |r| {
                let x = r.input("x", 1, 4096, Channels::one(320));
                let weight = r.input_of("weight", 1, 1, Channels::one(320), Element::F32);
                let bias = r.input_of("bias", 1, 1, Channels::one(320), Element::F32);
                layer_norm::record(r, &x, &weight, &bias, 1e-5)
            },
        },
        Shape {
            kernel: &guided_filter::KERNEL,
            name: "512x512, radius 8",
            flops: 17 * (38 + 35 + 4 + 4) * 512 * 512,
            record: |r| {
                let drawn = r.input("drawn", 512, 512, Channels::one(3));
                let guide = r.input_of("guide", 512, 512, Channels::one(3), Element::F32);
                guided_filter::record(r, &drawn, &guide, GuidedFilter { radius: 8, epsilon: 1e-5 })
            },
        },
    ]
}

/// Runs `shape` on `gpu`: once to build and warm up, once to estimate its time, then `repetitions` timed runs.
///
/// # Errors
/// The shape exceeds the adapter's limits, or the device reports an error.
pub fn measure(gpu: &Gpu, shape: &Shape, storage: Policy, repetitions: usize) -> Result<Timing, BenchError> {
    let (schedule, bytes) = build(shape, gpu, storage, 1)?;
    let first = run(gpu, shape, storage, 1, 1)?[0];
    let room = (MOST_BYTES / bytes.max(1)) as usize;
    let copies = ((LEAST_SECONDS / first).ceil() as usize).clamp(1, MOST_COPIES.min(room.max(1)));
    let mut seconds = run(gpu, shape, storage, copies, repetitions)?;
    seconds.sort_by(f64::total_cmp);
    let forms = schedule.forms();
    let (flops, bytes) = (schedule.flops(), moved(&schedule));
    let (least, most) = (seconds[0], seconds[seconds.len() - 1]);
    Ok(Timing { median: median(&seconds), least, most, copies, flops, bytes, forms })
}

/// Bytes of its inputs, constants and outputs.
fn moved(schedule: &Schedule) -> u64 {
    let recording = &schedule.recording;
    let constants: u64 = schedule.constants().values().map(Tensor::bytes).sum();
    constants + recording.inputs.iter().chain(&recording.outputs).map(Tensor::bytes).sum::<u64>()
}

/// The median of sorted values.
pub fn median(sorted: &[f64]) -> f64 {
    let n = sorted.len();
    if n == 0 { f64::NAN } else { (sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0 }
}

/// Records `copies` independent applications. Also returns the bytes that one writes.
fn build(shape: &Shape, gpu: &Gpu, storage: Policy, copies: usize) -> Result<(Schedule, u64), BenchError> {
    let mut recorder = Recorder::new(storage, gpu.forms.clone(), gpu.limits());
    let mut bytes = 0;
    for _ in 0..copies {
        let out = (shape.record)(&mut recorder);
        // Outputs are not pruned.
        recorder.output(&out);
        bytes = out.bytes();
    }
    Ok((Schedule::new(recorder.finish()?), bytes))
}

/// Seconds per application in each of `repetitions` runs, after a warm-up.
fn run(gpu: &Gpu, shape: &Shape, storage: Policy, copies: usize, repetitions: usize) -> Result<Vec<f64>, BenchError> {
    let (schedule, _) = build(shape, gpu, storage, copies)?;
    let arena = Arena::new(gpu, &Arena::sizes([&schedule]))?;
    let mut rng = fastrand::Rng::with_seed(1);
    // Small enough that no sum leaves the f16 range.
    let mut values = |tensor: &Tensor| -> Vec<f32> {
        let n = tensor.positions() as usize * tensor.channels.logical() as usize;
        (0..n).map(|_| rng.f32() - 0.5).collect()
    };
    let mut constants = HashMap::new();
    for (id, tensor) in schedule.constants() {
        let bytes = layout::to_bytes(&tensor, &values(&tensor));
        let buffer = gpu.buffer(&tensor.name, bytes.len() as u64)?;
        gpu.upload(&buffer, 0, &bytes)?;
        constants.insert(id, Placed { buffer, offset: 0 });
    }
    let plan = gpu.bind(shape.name, &schedule, &arena, &constants, HashMap::new())?;
    for tensor in &schedule.recording.inputs {
        gpu.write(&gpu.port(&plan, tensor)?, &values(tensor))?;
    }
    let mut seconds = Vec::with_capacity(repetitions);
    for repetition in 0..=repetitions {
        let started = Instant::now();
        gpu.run(&plan, &mut |_| true)?;
        if repetition > 0 {
            seconds.push(started.elapsed().as_secs_f64() / copies as f64);
        }
    }
    Ok(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Forms, Limits};
    use crate::shader::Facts;

    #[test]
    fn every_shape_records_what_it_says() {
        let limits = Limits { max_buffer: 1 << 30, ..Limits::WEBGPU };
        for shape in shapes() {
            let mut r = Recorder::new(Policy::F32, Forms::first(Facts::LEAST), limits.clone());
            let out = (shape.record)(&mut r);
            r.output(&out);
            let recorded = r.finish().unwrap();
            let flops: u64 = recorded.dispatches.iter().map(|d| d.flops).sum();
            let (own, all) =
                (recorded.dispatches.iter().filter(|d| d.kernel.name == shape.kernel.name), &recorded.dispatches);
            // GroupNorm includes the kernels that it consists of.
            assert_eq!(own.count(), if shape.kernel.name == "group_norm" { 1 } else { all.len() }, "{}", shape.name);
            // The recorder's count controls submissions and may include a kernel's extra work, so it is at least as large.
            assert!(flops >= shape.flops && flops > 0, "{}", shape.name);
            let bytes = moved(&Schedule::new(recorded));
            let least = out.bytes() * if shape.flops == 0 && shape.kernel.name != "group_stats" { 2 } else { 1 };
            assert!(bytes >= least, "{}: {bytes} bytes", shape.name);
        }
    }

    #[test]
    fn medians() {
        assert_eq!((median(&[3.0]), median(&[1.0, 2.0]), median(&[1.0, 2.0, 9.0])), (3.0, 1.5, 2.0));
        assert!(median(&[]).is_nan());
    }
}
