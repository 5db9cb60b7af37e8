//! Cross-attention on prompts of several lengths, on a device, against softmax attention in f64.

use super::*;
use crate::environment;
use crate::gpu::{Arena, Gpu, Placed};
use crate::model::fold::tests::{checkpoint, random, times};
use crate::plan::{Policy, Schedule, TensorId};
use crate::weights::WeightsError;
use std::collections::HashMap;

const WIDTH: usize = 5;
const POSITIONS: usize = 19;

struct Shape {
    tokens: usize,
    heads: usize,
    size: usize,
}

/// The layer's output for `x`, without the residual; `storage` is that of the UNet's plans.
fn on_the_device(gpu: &Gpu, scope: &Scope, shape: &Shape, prompt: &Prompt, x: &[f32], storage: Policy) -> Vec<f32> {
    let mut c = Constants::default();
    let channels = Channels::one((shape.heads * shape.size) as u32);
    let layer = CrossAttention::load(&mut c, scope, &channels, shape.heads, Arc::new(prompt.clone()));
    let mut r = Recorder::new(storage, gpu.forms.clone(), gpu.limits());
    let mut input = |name: &str| r.input(name, 1, POSITIONS as u32, channels.clone());
    let (input_x, residual) = (input("x"), input("residual"));
    let out = layer.forward(&mut r, &input_x, &residual);
    r.output(&out);
    let schedule = Schedule::new(r.finish().expect("records"));
    let upload = |(id, tensor): (TensorId, Tensor)| {
        let buffer = gpu.buffer("constant", tensor.bytes()).expect("a buffer");
        let upload = &mut |at: u64, bytes: &[u8]| {
            gpu.upload(&buffer, at, bytes).expect("uploads");
            Ok::<(), WeightsError>(())
        };
        c.give(&tensor, upload).expect("folds");
        (id, Placed { buffer, offset: 0 })
    };
    let constants = schedule.constants().into_iter().map(upload).collect();
    let arena = Arena::new(gpu, &Arena::sizes([&schedule])).expect("memory");
    let plan = gpu.bind("test", &schedule, &arena, &constants, HashMap::new()).expect("binds");
    for (tensor, values) in [(&input_x, x), (&residual, &vec![0.0; x.len()][..])] {
        gpu.write(&gpu.port(&plan, tensor).expect("an input"), values).expect("uploads");
    }
    gpu.run(&plan, &mut |_| true).expect("runs");
    let [values] = gpu.read([&gpu.port(&plan, &out).expect("an output")]).expect("downloads");
    values
}

/// diffusers' attention, head by head.
fn in_f64(scope: &Scope, shape: &Shape, prompt: &Prompt, x: &[f32]) -> Vec<f64> {
    let dim = shape.heads * shape.size;
    let read = |name: &str, shape: &[usize]| scope.tensor(name, shape).to_f32().expect("reads");
    let wide = |values: &[f32]| values.iter().map(|&v| v as f64).collect::<Vec<f64>>();
    let project = |name: &str| -> Vec<Vec<f64>> {
        let w = read(name, &[dim, WIDTH]);
        prompt.values.chunks_exact(WIDTH).map(|token| times(&w, &wide(token))).collect()
    };
    let (k, v) = (project("to_k.weight"), project("to_v.weight"));
    let (wq, wo) = (read("to_q.weight", &[dim, dim]), read("to_out.0.weight", &[dim, dim]));
    let bias = read("to_out.0.bias", &[dim]);
    let position = |x: &[f32]| {
        let q = times(&wq, &wide(x));
        let mut attended = vec![0.0; dim];
        for head in 0..shape.heads {
            let range = head * shape.size..(head + 1) * shape.size;
            let score = |k: &Vec<f64>| range.clone().map(|i| q[i] * k[i]).sum::<f64>() / (shape.size as f64).sqrt();
            let weights: Vec<f64> = k.iter().map(|k| score(k).exp()).collect();
            let total: f64 = weights.iter().sum();
            range
                .clone()
                .for_each(|i| attended[i] = weights.iter().zip(&v).map(|(w, v)| w * v[i]).sum::<f64>() / total);
        }
        times(&wo, &attended).into_iter().zip(&bias).map(|(v, &b)| v + b as f64).collect::<Vec<f64>>()
    };
    x.chunks_exact(dim).flat_map(position).collect()
}

#[test]
fn prompts_of_any_length_are_attended_to() {
    let gpu = Gpu::new(&environment::choice(None, None).unwrap()).expect("an adapter is present");
    for (tokens, heads, size) in [(1, 3, 4), (2, 3, 4), (3, 3, 4), (5, 2, 6), (77, 2, 16), (78, 1, 40)] {
        let shape = Shape { tokens, heads, size };
        let dim = heads * size;
        let scope = checkpoint(&[
            ("to_q.weight", vec![dim, dim]),
            ("to_k.weight", vec![dim, WIDTH]),
            ("to_v.weight", vec![dim, WIDTH]),
            ("to_out.0.weight", vec![dim, dim]),
            ("to_out.0.bias", vec![dim]),
        ]);
        let prompt = Prompt { width: WIDTH, values: random(7, shape.tokens * WIDTH) };
        let x = random(8, POSITIONS * dim);
        let exact = in_f64(&scope, &shape, &prompt, &x);
        for (storage, bound) in [(Policy::F32, 2e-6), (Policy::MIXED, 2e-3)] {
            let got = on_the_device(&gpu, &scope, &shape, &prompt, &x, storage);
            let square = |it: &mut dyn Iterator<Item = f64>| it.map(|v| v * v).sum::<f64>();
            let off = square(&mut got.iter().zip(&exact).map(|(&g, e)| g as f64 - e));
            let error = (off / square(&mut exact.iter().copied())).sqrt();
            println!("{tokens} tokens, {heads} heads of {size}, {storage:?}: {error:.2e}");
            assert!(got.len() == exact.len() && error <= bound, "{tokens} tokens, {storage:?}: {error:.2e}");
        }
    }
}
