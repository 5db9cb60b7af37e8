//! The encoder against transformers in float64 (`tools/reference/make_text_fixture.py`), and its errors.

use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView as View, serialize};

use super::*;
use crate::weights::ConfigText;

struct Case {
    config: TextConfig,
    tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)>,
    /// [2, D]
    expected: Vec<f64>,
}

fn case(name: &str) -> Case {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/text");
    let file = format!("{name}.json");
    let text = std::fs::read_to_string(dir.join(&file)).unwrap();
    let config = TextConfig::parse(&ConfigText { file, text }, &mut Vec::new()).unwrap();
    let bytes = std::fs::read(dir.join(format!("{name}.safetensors"))).unwrap();
    let stored = SafeTensors::deserialize(&bytes).unwrap();
    let prefix = if stored.names().iter().any(|n| n.starts_with("text_model.")) { "text_model." } else { "" };
    let mut case = Case { config, tensors: Vec::new(), expected: Vec::new() };
    for (name, view) in stored.tensors() {
        let (dtype, data) = (view.dtype(), view.data().to_vec());
        match name.as_str() {
            "expected" => {
                case.expected = data.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect();
            }
            // The fixture keeps the two rows of the empty prompt. The others must not matter, so they are NaN.
            "token_embedding_tail" => {
                let width = config.hidden_size;
                let nan = if dtype == Dtype::F16 { vec![0x00, 0x7e] } else { f32::NAN.to_le_bytes().to_vec() };
                let table = [nan.repeat(width * (config.vocab_size - 2)), data].concat();
                let name = format!("{prefix}embeddings.token_embedding.weight");
                case.tensors.push((name, dtype, vec![config.vocab_size, width], table));
            }
            _ => case.tensors.push((name, dtype, view.shape().to_vec(), data)),
        }
    }
    case.tensors.push((format!("{prefix}embeddings.position_ids"), Dtype::I64, vec![1, 1], vec![0; 8]));
    case
}

impl Case {
    fn weights(&self) -> Weights {
        let views = self.tensors.iter().map(|(n, d, s, b)| (n.clone(), View::new(*d, s.clone(), b).unwrap()));
        Weights::from_bytes("model.safetensors", serialize(views, None).unwrap()).unwrap()
    }

    /// Largest error / bound. The bound is one f32 rounding of the result, plus 1e-12 for f64 sums of some 500 terms through three layers
    /// that keep values near 1 (500 * 2^-53 = 6e-14).
    fn worst(&self, config: &TextConfig) -> f64 {
        let got = encode_empty_prompt(&self.weights(), config).unwrap();
        assert_eq!(got.len(), self.expected.len());
        let ratio = |(&g, &e): (&f32, &f64)| (f64::from(g) - e).abs() / (e.abs() * 2f64.powi(-24) + 1e-12);
        got.iter().zip(&self.expected).map(ratio).fold(0.0, |a, b| if a.is_nan() || b <= a { a } else { b })
    }
}

#[test]
fn equals_transformers_in_float64() {
    for name in ["gelu", "quick_gelu_f16"] {
        let case = case(name);
        let worst = case.worst(&case.config);
        println!("{name}: error / bound = {worst:.3}");
        assert!(worst <= 1.0, "{name}: error / bound = {worst}");
        // Controls: the comparison detects a slightly wrong epsilon, the other activation, other heads, a missing layer.
        let c = case.config;
        let other = if c.hidden_act == Activation::Gelu { Activation::QuickGelu } else { Activation::Gelu };
        for wrong in [
            TextConfig { layer_norm_eps: c.layer_norm_eps * 1.001, ..c },
            TextConfig { hidden_act: other, ..c },
            TextConfig { num_attention_heads: 3, ..c },
            TextConfig { num_hidden_layers: 2, ..c },
        ] {
            let worst = case.worst(&wrong);
            println!("control: {worst:.1}");
            assert!(worst > 100.0, "{name}: {wrong:?} passes with {worst}");
        }
    }
}

#[test]
fn lists_what_is_missing_and_what_is_unused() {
    let mut case = case("gelu");
    let weights = case.weights();
    encode_empty_prompt(&weights, &case.config).unwrap();
    assert_eq!(weights.unused(), [""; 0]);
    case.tensors.retain(|(name, ..)| !name.ends_with("1.mlp.fc2.bias") && !name.ends_with("0.self_attn.k_proj.weight"));
    case.config.intermediate_size += 1;
    let text = encode_empty_prompt(&case.weights(), &case.config).unwrap_err().to_string();
    for part in [
        "missing: `text_model.encoder.layers.1.mlp.fc2.bias`",
        "layers.0.self_attn.k_proj.weight",
        "shape: `text_model.encoder.layers.2.mlp.fc1",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn damaged_weights_are_named() {
    let mut case = case("gelu");
    let norm = case.tensors.iter_mut().find(|(name, ..)| name.ends_with("final_layer_norm.bias")).unwrap();
    norm.3[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    let error = encode_empty_prompt(&case.weights(), &case.config).unwrap_err();
    assert!(matches!(error, WeightsError::Invalid { .. }) && error.to_string().contains("model.safetensors"));
}

/// Time and memory of the text encoder of SD 2.x (ViT-H/14, 23 layers, 1.3 GB of f32): `cargo test --release -- --ignored vit_h`.
#[test]
#[ignore = "builds a checkpoint of 1.3 GB in memory"]
fn vit_h_takes_seconds() {
    let (d, inner, vocab, places) = (1024, 4096, 49_408, 77);
    let config = TextConfig {
        hidden_size: d,
        intermediate_size: inner,
        num_hidden_layers: 23,
        num_attention_heads: 16,
        hidden_act: Activation::Gelu,
        layer_norm_eps: 1e-5,
        vocab_size: vocab,
        max_position_embeddings: places,
    };
    let mut shapes = vec![
        ("embeddings.token_embedding.weight".to_owned(), vec![vocab, d]),
        ("embeddings.position_embedding.weight".to_owned(), vec![places, d]),
        ("final_layer_norm.weight".to_owned(), vec![d]),
        ("final_layer_norm.bias".to_owned(), vec![d]),
    ];
    for i in 0..config.num_hidden_layers {
        let mut layer =
            |name: &str, shape: &[usize]| shapes.push((format!("encoder.layers.{i}.{name}"), shape.to_vec()));
        for norm in ["layer_norm1", "layer_norm2"] {
            layer(&format!("{norm}.weight"), &[d]);
            layer(&format!("{norm}.bias"), &[d]);
        }
        for (name, o, k) in [
            ("self_attn.q_proj", d, d),
            ("self_attn.k_proj", d, d),
            ("self_attn.v_proj", d, d),
            ("self_attn.out_proj", d, d),
            ("mlp.fc1", inner, d),
            ("mlp.fc2", d, inner),
        ] {
            layer(&format!("{name}.weight"), &[o, k]);
            layer(&format!("{name}.bias"), &[o]);
        }
    }
    let mut state = 1u32;
    let longest = vocab * d;
    let noise: Vec<u8> = (0..longest)
        .flat_map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 8) as f32 / (1 << 24) as f32 * 0.1 - 0.05).to_le_bytes()
        })
        .collect();
    let views = shapes.iter().map(|(name, shape)| {
        let bytes = 4 * shape.iter().product::<usize>();
        (name.clone(), View::new(Dtype::F32, shape.clone(), &noise[..bytes]).unwrap())
    });
    let file = tempfile::NamedTempFile::new().unwrap();
    safetensors::tensor::serialize_to_file(views, None, file.path()).unwrap();
    let weights = Weights::open_file(file.path()).unwrap();
    let start = std::time::Instant::now();
    let out = encode_empty_prompt(&weights, &config).unwrap();
    let seconds = start.elapsed().as_secs_f64();
    println!("ViT-H/14 text encoder: {seconds:.2} s");
    assert_eq!(out.len(), 2 * d);
}
