//! safetensors files and the indices of shards.

use super::{Ran, Runner, seeds};
use diffews_wgpu::weights::Weights;
use serde_json::{Map, Value, json};
use std::path::Path;

pub fn open(_: &Path) -> Runner {
    Box::new(|_, file| {
        let Ok(weights) = Weights::open_file(file) else { return Ran::new(false) };
        Ran::new(all(&weights))
    })
}

/// Decodes every tensor; returns whether all succeeded.
fn all(weights: &Weights) -> bool {
    weights.count();
    weights.dtypes();
    let mut sound = true;
    for name in weights.unused() {
        let Some(shape) = weights.shape(&name).map(<[usize]>::to_vec) else { continue };
        let view = weights.root().tensor(&name, &shape);
        let Ok(values) = view.to_f32() else {
            sound = false;
            continue;
        };
        assert_eq!(values.len(), view.len(), "as many values as the shape says");
        let half = view.len() / 2;
        let part = view.to_f32_range(half..view.len()).map(|v| v.len());
        assert!(part.is_ok_and(|n| n == view.len() - half), "a part of a readable tensor is readable");
    }
    weights.finish().is_ok() && sound
}

const SHARDS: [&str; 2] =
    ["diffusion_pytorch_model-00001-of-00002.safetensors", "diffusion_pytorch_model-00002-of-00002.safetensors"];
const INDEX: &str = "diffusion_pytorch_model.safetensors.index.json";

/// A whole index, and one of a few tensors.
pub fn index_seeds() -> Vec<Vec<u8>> {
    let of = |count: usize| {
        let map: Map<String, Value> = (0..count).map(|i| (format!("t{i}"), json!(SHARDS[i % 2]))).collect();
        json!({"metadata": {"total_size": 160}, "weight_map": map}).to_string().into_bytes()
    };
    [1, 2, 6, 40].map(of).to_vec()
}

pub fn open_shards(dir: &Path) -> Runner {
    let dir = dir.join("shards");
    for (shard, name) in SHARDS.iter().enumerate() {
        let tensors = (shard..40).step_by(2).enumerate();
        let entries = tensors
            .map(|(n, i)| (format!("t{i}"), json!({"dtype": "F32", "shape": [1], "data_offsets": [4 * n, 4 * n + 4]})));
        let header: Map<String, Value> = entries.collect();
        let file = crate::mutate::safetensors::join(Value::Object(header).to_string().as_bytes(), &[0; 80]);
        seeds::write(&dir.join(name), &file);
    }
    Box::new(move |bytes, _| {
        seeds::write(&dir.join(INDEX), bytes);
        let Ok(weights) = Weights::open_dir(&dir, "unet") else { return Ran::new(false) };
        Ran::new(all(&weights))
    })
}
