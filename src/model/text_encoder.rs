//! The CLIP text encoder on the host, for the empty prompt only: two tokens, a constant of the checkpoint.
//!
//! Transformers' `CLIPTextModel`: token and position embeddings, pre-norm layers with a causal mask, a final layer norm. All sums are in
//! f64. Weights are decoded a few rows at a time, so that half a gigabyte of them needs only kilobytes of memory.

use super::config::{Activation, ConfigError, ModelConfig, TextConfig};
use super::fold::dot;
use crate::weights::{ModelFiles, Scope, TensorView, TextSource, Weights, WeightsError};
use std::sync::{Mutex, PoisonError};
use std::thread::Builder;

/// The empty prompt: start of text, end of text.
pub const EMPTY_PROMPT: [usize; 2] = [49_406, 49_407];
const TOKENS: usize = EMPTY_PROMPT.len();
/// Rows of a weight that are decoded at once.
const ROWS: usize = 32;
const THREADS: usize = 2;

/// The embeddings of a prompt, `[tokens, width]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Prompt {
    pub width: usize,
    /// Row-major, one or more whole tokens.
    pub values: Vec<f32>,
}

impl Prompt {
    pub fn tokens(&self) -> usize {
        self.values.len() / self.width
    }
}

/// One vector per token.
type Tokens = [Vec<f64>; TOKENS];

/// The embeddings of the empty prompt: those in the model, or the text encoder's two.
///
/// # Errors
/// As for [`encode_empty_prompt`].
pub fn prompt_embeds(files: &ModelFiles, config: &ModelConfig) -> Result<Prompt, ConfigError> {
    match &files.text {
        TextSource::Embeds { values, width, .. } => Ok(Prompt { width: *width, values: values.clone() }),
        TextSource::Encoder { weights, config: text } => {
            // `ModelConfig::read` has parsed it already, but a configuration from elsewhere may lack it.
            let parsed = config.text.map_or_else(|| TextConfig::parse(text, &mut Vec::new()), Ok)?;
            Ok(Prompt { width: parsed.hidden_size, values: encode_empty_prompt(weights, &parsed)? })
        }
    }
}

/// Runs the encoder: [2, D] row-major, final layer norm applied. Tensor names may begin with `text_model.`.
///
/// # Errors
/// [`WeightsError::Mismatch`] lists every tensor that is missing or has another shape than `config` says; [`WeightsError::Invalid`] if the
/// result is not finite.
pub fn encode_empty_prompt(weights: &Weights, config: &TextConfig) -> Result<Vec<f32>, WeightsError> {
    let root = weights.root();
    let inner = root.pp("text_model");
    let scope = if inner.has("final_layer_norm.weight") { inner } else { root };
    // A buffer in older exports: 0, 1, 2...
    weights.ignore(scope.pp("embeddings").pp("position_ids").path());
    let encoder = Encoder::load(&scope, config);
    weights.finish()?;
    let hidden = encoder.forward()?;
    let out: Vec<f32> = hidden.iter().flatten().map(|&v| v as f32).collect();
    if !out.iter().all(|v| v.is_finite()) {
        let reason = "the text encoder gives NaN or infinity: its weights are damaged".to_owned();
        return Err(WeightsError::Invalid { file: weights.name().to_owned(), reason });
    }
    Ok(out)
}

struct Encoder {
    token_embedding: TensorView,
    position_embedding: TensorView,
    layers: Vec<Layer>,
    final_layer_norm: LayerNorm,
    width: usize,
}

struct Layer {
    layer_norm1: LayerNorm,
    self_attn: Attention,
    layer_norm2: LayerNorm,
    fc1: Linear,
    act: Activation,
    fc2: Linear,
}

struct Attention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    out_proj: Linear,
    heads: usize,
}

struct LayerNorm {
    weight: TensorView,
    bias: TensorView,
    eps: f64,
}

struct Linear {
    /// [outputs, inputs]
    weight: TensorView,
    /// [outputs]
    bias: TensorView,
    inputs: usize,
}

impl Encoder {
    fn load(scope: &Scope, c: &TextConfig) -> Encoder {
        let embeddings = scope.pp("embeddings");
        let layers = scope.pp("encoder").pp("layers");
        Encoder {
            token_embedding: embeddings.tensor("token_embedding.weight", &[c.vocab_size, c.hidden_size]),
            position_embedding: embeddings
                .tensor("position_embedding.weight", &[c.max_position_embeddings, c.hidden_size]),
            layers: (0..c.num_hidden_layers).map(|i| Layer::load(&layers.pp(i), c)).collect(),
            final_layer_norm: LayerNorm::load(&scope.pp("final_layer_norm"), c),
            width: c.hidden_size,
        }
    }

    fn forward(&self) -> Result<Tokens, WeightsError> {
        let mut x: Tokens = Default::default();
        for (position, token) in EMPTY_PROMPT.into_iter().enumerate() {
            let row = |table: &TensorView, i: usize| table.to_f32_range(i * self.width..(i + 1) * self.width);
            let (token, place) = (row(&self.token_embedding, token)?, row(&self.position_embedding, position)?);
            x[position] = token.iter().zip(&place).map(|(&t, &p)| f64::from(t) + f64::from(p)).collect();
        }
        for layer in &self.layers {
            x = layer.forward(x)?;
        }
        self.final_layer_norm.forward(&x)
    }
}

impl Layer {
    fn load(scope: &Scope, c: &TextConfig) -> Layer {
        let mlp = scope.pp("mlp");
        Layer {
            layer_norm1: LayerNorm::load(&scope.pp("layer_norm1"), c),
            self_attn: Attention::load(&scope.pp("self_attn"), c),
            layer_norm2: LayerNorm::load(&scope.pp("layer_norm2"), c),
            fc1: Linear::load(&mlp.pp("fc1"), c.intermediate_size, c.hidden_size),
            act: c.hidden_act,
            fc2: Linear::load(&mlp.pp("fc2"), c.hidden_size, c.intermediate_size),
        }
    }

    fn forward(&self, x: Tokens) -> Result<Tokens, WeightsError> {
        let attended = self.self_attn.forward(&self.layer_norm1.forward(&x)?)?;
        let x = add(x, &attended);
        let mut inner = self.fc1.forward(&self.layer_norm2.forward(&x)?)?;
        inner.iter_mut().flatten().for_each(|v| *v = activate(self.act, *v));
        Ok(add(x, &self.fc2.forward(&inner)?))
    }
}

impl Attention {
    fn load(scope: &Scope, c: &TextConfig) -> Attention {
        let linear = |name: &str| Linear::load(&scope.pp(name), c.hidden_size, c.hidden_size);
        Attention {
            q_proj: linear("q_proj"),
            k_proj: linear("k_proj"),
            v_proj: linear("v_proj"),
            out_proj: linear("out_proj"),
            heads: c.num_attention_heads,
        }
    }

    /// Causal: the first token attends only to itself, the second to both.
    fn forward(&self, x: &Tokens) -> Result<Tokens, WeightsError> {
        let (q, k, mut v) = (self.q_proj.forward(x)?, self.k_proj.forward(x)?, self.v_proj.forward(x)?);
        let size = v[0].len() / self.heads;
        for head in 0..self.heads {
            let h = head * size..(head + 1) * size;
            let score = |token: usize| -> f64 {
                let products = q[1][h.clone()].iter().zip(&k[token][h.clone()]).map(|(a, b)| a * b);
                products.sum::<f64>() / (size as f64).sqrt()
            };
            // Softmax over two keys is a sigmoid of their difference.
            let first = 1.0 / (1.0 + (score(1) - score(0)).exp());
            let (v0, v1) = v.split_at_mut(1);
            for (own, &other) in v1[0][h.clone()].iter_mut().zip(&v0[0][h]) {
                *own = first * other + (1.0 - first) * *own;
            }
        }
        self.out_proj.forward(&v)
    }
}

impl LayerNorm {
    fn load(scope: &Scope, c: &TextConfig) -> LayerNorm {
        let vector = |name: &str| scope.tensor(name, &[c.hidden_size]);
        LayerNorm { weight: vector("weight"), bias: vector("bias"), eps: c.layer_norm_eps }
    }

    fn forward(&self, x: &Tokens) -> Result<Tokens, WeightsError> {
        let (weight, bias) = (self.weight.to_f32()?, self.bias.to_f32()?);
        Ok(std::array::from_fn(|t| {
            let n = x[t].len() as f64;
            let mean = x[t].iter().sum::<f64>() / n;
            let variance = x[t].iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n;
            let scale = 1.0 / (variance + self.eps).sqrt();
            let affine = weight.iter().zip(&bias);
            x[t].iter().zip(affine).map(|(v, (&w, &b))| (v - mean) * scale * f64::from(w) + f64::from(b)).collect()
        }))
    }
}

impl Linear {
    fn load(scope: &Scope, outputs: usize, inputs: usize) -> Linear {
        Linear { weight: scope.tensor("weight", &[outputs, inputs]), bias: scope.tensor("bias", &[outputs]), inputs }
    }

    fn forward(&self, x: &Tokens) -> Result<Tokens, WeightsError> {
        let bias = self.bias.to_f32()?;
        let mut out: Vec<[f64; TOKENS]> = bias.iter().map(|&b| [f64::from(b); TOKENS]).collect();
        let share = out.len().div_ceil(THREADS).max(ROWS);
        let chunks = Mutex::new(out.chunks_mut(share).enumerate());
        let worker = || {
            loop {
                let next = chunks.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some((i, rows)) = next else { return Ok(()) };
                self.add_rows(i * share, rows, x)?;
            }
        };
        std::thread::scope(|threads| {
            // Failing to start a thread is harmless, because this thread works, too.
            let start = |_| Builder::new().spawn_scoped(threads, worker).ok();
            let others: Vec<_> = (1..THREADS).map_while(start).collect();
            let all = others.into_iter().map(|w| w.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            all.fold(worker(), Result::and)
        })?;
        Ok(std::array::from_fn(|t| out.iter().map(|row| row[t]).collect()))
    }

    /// Adds weight rows `first..` times `x` to `out`.
    fn add_rows(&self, first: usize, out: &mut [[f64; TOKENS]], x: &Tokens) -> Result<(), WeightsError> {
        for (block, out) in out.chunks_mut(ROWS).enumerate() {
            let start = (first + block * ROWS) * self.inputs;
            let rows = self.weight.to_f32_range(start..start + out.len() * self.inputs)?;
            for (row, out) in rows.chunks_exact(self.inputs).zip(out) {
                for (sum, x) in out.iter_mut().zip(x) {
                    *sum += dot(row, x);
                }
            }
        }
        Ok(())
    }
}

fn add(mut x: Tokens, y: &Tokens) -> Tokens {
    x.iter_mut().flatten().zip(y.iter().flatten()).for_each(|(x, y)| *x += y);
    x
}

fn activate(act: Activation, x: f64) -> f64 {
    match act {
        Activation::Gelu => 0.5 * x * (1.0 + libm::erf(x * std::f64::consts::FRAC_1_SQRT_2)),
        Activation::QuickGelu => x / (1.0 + (-1.702 * x).exp()),
    }
}

#[cfg(test)]
#[path = "text_encoder_tests.rs"]
mod tests;
