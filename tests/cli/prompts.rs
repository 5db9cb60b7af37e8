//! `empty_prompt.safetensors` of any length: two tokens are folded into the weights, longer prompts are attended to.

use crate::command::{Place, lines};
use crate::weights::model;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::fs;

const FILE: &str = "m/empty_prompt.safetensors";

/// The embedded model's own, in f32: two tokens.
fn own(place: &Place) -> (Vec<f32>, usize) {
    let bytes = fs::read(place.path(FILE)).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = file.tensor("prompt_embeds").unwrap();
    let width = *tensor.shape().last().unwrap();
    let values: Vec<f32> = match tensor.dtype() {
        Dtype::F16 => tensor.data().chunks_exact(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
        _ => tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect(),
    };
    assert_eq!(values.len(), 2 * width);
    (values, width)
}

/// Replaces the model's tokens.
fn put(place: &Place, values: &[f32], shape: Vec<usize>) {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F32, shape, &bytes).unwrap();
    place.write(FILE, &safetensors::serialize([("prompt_embeds", view)], None).unwrap());
}

/// The map of the query.
fn map(place: &Place) -> Vec<f32> {
    let args = ["--query", "q.png", "--weights", "m", "--size", "64", "--probability", "p.npy", "--force", "-q"];
    let args = [&args[..], &["--precision", "f32"]].concat();
    place.infer(&args).expect(0, &[]);
    let bytes = fs::read(place.path("p.npy")).unwrap();
    let values = &bytes[bytes.len() - 64 * 64 * 4..];
    values.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

#[test]
fn the_77_tokens_of_the_published_training() {
    let place = model();
    let (two, width) = own(&place);
    let before = map(&place);
    // Each token occurs equally often, so the softmax weighs them as before (tests/parity.rs has more on that).
    put(&place, &two.repeat(38), vec![1, 76, width]);
    let off = before.iter().zip(map(&place)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(off <= 1e-4, "{off}");
    let mut rng = fastrand::Rng::with_seed(77);
    let tokens: Vec<f32> = two.iter().cycle().take(77 * width).map(|v| v * (0.5 + rng.f32())).collect();
    put(&place, &tokens, vec![77, width]);
    place.run(&["model", "verify", "--weights", "m"]).expect(0, &[]);
    let info = place.run(&["model", "info", "--weights", "m"]).expect(0, &[]).out;
    assert!(info.contains("77 embeddings"), "{info}");
    let full = map(&place);
    assert!(full.iter().all(|v| v.is_finite()) && full != before);
    // Conversion keeps them, and in 8 bits the model is nearly the same.
    place.run(&["model", "convert", "m", "-o", "eight", "--q8"]).expect(0, &[]);
    let args =
        ["--query", "q.png", "--weights", "eight", "--size", "64", "--json", "-q", "--force", "--precision", "q8"];
    let line = lines(&place.infer(&args).expect(0, &[]).out).remove(0);
    assert_eq!(line["precision"], "q8");
    let rest = fs::read(place.path("eight/empty_prompt.safetensors")).unwrap();
    let kept = SafeTensors::deserialize(&rest).unwrap();
    assert_eq!(kept.tensor("prompt_embeds").unwrap().shape(), [77, width]);
    for (shape, len) in [(vec![0, width], 0), (vec![4097, width], 4097 * width), (vec![77 * width], 77 * width)] {
        put(&place, &vec![0.5; len], shape);
        place.run(&["model", "verify", "--weights", "m"]).expect(3, &["prompt_embeds", "[n, D]"]);
    }
}
