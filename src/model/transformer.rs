//! diffusers `Transformer2DModel` with its `BasicTransformerBlock`s, whose `attn1` writes or reads the KV bank.

use super::constants::{Constants, Windows};
use super::fold::{self, TextGate};
use super::layers::{Conv2d, GroupNorm, LayerNorm, Source, width};
use super::text_encoder::Prompt;
use crate::kernels::attention::{self, KeyValue};
use crate::kernels::conv2d::{Epilogue, Geometry};
use crate::plan::{Channels, Element, Recorder, Tensor};
use crate::weights::Scope;
use std::sync::Arc;

/// Keys and values of every `attn1`, in the order of a pass.
pub enum Bank<'a> {
    /// The support pass collects its own.
    Write(Vec<KeyValue>),
    /// The query pass attends over its own and these. A layer may have several pieces.
    Read(std::slice::Iter<'a, Vec<KeyValue>>),
}

/// Self-attention; in the query pass over the bank, too (DiffewS, section 3.2: key-value fusion).
struct SelfAttention {
    path: String,
    to_q: Conv2d,
    to_k: Conv2d,
    to_v: Conv2d,
    to_out: Conv2d,
}

impl SelfAttention {
    fn load(c: &mut Constants, scope: &Scope, channels: &Channels, heads: usize) -> Self {
        let split = Channels::heads(heads as u32, channels.logical() / heads as u32);
        SelfAttention {
            path: scope.path().into(),
            to_q: Conv2d::linear(c, &scope.pp("to_q"), channels, &split, false),
            to_k: Conv2d::linear(c, &scope.pp("to_k"), channels, &split, false),
            to_v: Conv2d::linear(c, &scope.pp("to_v"), channels, &split, false),
            to_out: Conv2d::linear(c, &scope.pp("to_out.0"), &split, channels, true),
        }
    }

    /// Returns the sum with `residual`.
    fn forward(&self, r: &mut Recorder, x: &Tensor, bank: &mut Bank, residual: &Tensor) -> Tensor {
        let own = KeyValue { k: self.to_k.forward(r, x), v: self.to_v.forward(r, x) };
        r.mark(&format!("{}.k", self.path), &own.k);
        r.mark(&format!("{}.v", self.path), &own.v);
        let q = self.to_q.forward(r, x);
        let banked = match bank {
            Bank::Write(written) => {
                written.push(own.clone());
                &[][..]
            }
            Bank::Read(rest) => rest.next().map_or(&[][..], Vec::as_slice),
        };
        let h = attention::record(r, &self.path, &q, &own, banked);
        self.to_out.forward_with(r, &h, Epilogue::Residual(residual))
    }
}

/// Cross-attention on the empty prompt, whose keys and values are constants of the checkpoint.
enum CrossAttention {
    /// On one or two tokens, folded: see [`TextGate`].
    Gate { scores: Conv2d, values: Conv2d },
    /// On more tokens.
    Tokens { path: String, to_q: Conv2d, prompt: KeyValue, to_out: Conv2d },
}

impl CrossAttention {
    fn load(c: &mut Constants, scope: &Scope, channels: &Channels, heads: usize, prompt: Arc<Prompt>) -> Self {
        if prompt.tokens() > TextGate::MOST_TOKENS {
            return Self::load_tokens(c, scope, channels, heads, prompt);
        }
        let gate = TextGate::new(scope, channels.logical() as usize, heads, prompt);
        let gates = Channels::one(heads as u32);
        let (g0, g1, g2) = (gate.clone(), gate.clone(), gate);
        let zeros = move || Ok(vec![0.0; heads]);
        let scores = Source { weight: Windows::all(move || g0.scores()), bias: zeros };
        let values = Source { weight: Windows::all(move || g1.values()), bias: move || g2.bias() };
        let name = |part: &str| format!("{}.{part}", scope.path());
        CrossAttention::Gate {
            scores: Conv2d::from(c, &name("scores"), channels, &gates, Geometry::LINEAR, scores),
            values: Conv2d::from(c, &name("values"), &gates, channels, Geometry::LINEAR, values),
        }
    }

    fn load_tokens(c: &mut Constants, scope: &Scope, channels: &Channels, heads: usize, prompt: Arc<Prompt>) -> Self {
        let split = Channels::heads(heads as u32, channels.logical() / heads as u32);
        let tokens = prompt.tokens() as u32;
        // In f32, because the UNet's plans store the values of attention so.
        let mut projected = |name: &str| {
            let (weight, prompt) =
                (scope.tensor(format!("{name}.weight"), &[width(channels), prompt.width]), prompt.clone());
            let name = format!("{}.{name} of the prompt", scope.path());
            c.add(&name, (1, tokens), split.clone(), Element::F32, move || fold::project(&weight, &prompt))
        };
        let prompt = KeyValue { k: projected("to_k"), v: projected("to_v") };
        CrossAttention::Tokens {
            path: scope.path().into(),
            to_q: Conv2d::linear(c, &scope.pp("to_q"), channels, &split, false),
            prompt,
            to_out: Conv2d::linear(c, &scope.pp("to_out.0"), &split, channels, true),
        }
    }

    /// Returns the sum with `residual`.
    fn forward(&self, r: &mut Recorder, x: &Tensor, residual: &Tensor) -> Tensor {
        match self {
            CrossAttention::Gate { scores, values } => {
                let gates = scores.forward_with(r, x, Epilogue::Tanh);
                values.forward_with(r, &gates, Epilogue::Residual(residual))
            }
            CrossAttention::Tokens { path, to_q, prompt, to_out } => {
                let as_values = r.storage.values == Element::F32;
                r.check(as_values, || format!("{path}: keys of the prompt are f32, values of this plan are halves"));
                let q = to_q.forward(r, x);
                let h = attention::record(r, path, &q, prompt, &[]);
                to_out.forward_with(r, &h, Epilogue::Residual(residual))
            }
        }
    }
}

struct BasicTransformerBlock {
    path: String,
    norm1: LayerNorm,
    attn1: SelfAttention,
    norm2: LayerNorm,
    attn2: CrossAttention,
    norm3: LayerNorm,
    ff_proj: Conv2d,
    ff_out: Conv2d,
}

impl BasicTransformerBlock {
    fn load(c: &mut Constants, scope: &Scope, channels: &Channels, heads: usize, prompt: Arc<Prompt>) -> Self {
        let hidden = Channels::one(channels.logical() * 4);
        BasicTransformerBlock {
            path: scope.path().into(),
            norm1: LayerNorm::load(c, &scope.pp("norm1"), channels),
            attn1: SelfAttention::load(c, &scope.pp("attn1"), channels, heads),
            norm2: LayerNorm::load(c, &scope.pp("norm2"), channels),
            attn2: CrossAttention::load(c, &scope.pp("attn2"), channels, heads, prompt),
            norm3: LayerNorm::load(c, &scope.pp("norm3"), channels),
            ff_proj: Conv2d::linear(c, &scope.pp("ff.net.0.proj"), channels, &hidden.concat(&hidden), true),
            ff_out: Conv2d::linear(c, &scope.pp("ff.net.2"), &hidden, channels, true),
        }
    }

    fn forward(&self, r: &mut Recorder, x: &Tensor, bank: &mut Bank) -> Tensor {
        let h = self.norm1.forward(r, x);
        let x = self.attn1.forward(r, &h, bank, x);
        let h = self.norm2.forward(r, &x);
        let x = self.attn2.forward(r, &h, &x);
        let h = self.norm3.forward(r, &x);
        let h = self.ff_proj.forward_with(r, &h, Epilogue::Geglu);
        let out = self.ff_out.forward_with(r, &h, Epilogue::Residual(&x));
        r.mark(&self.path, &out);
        out
    }
}

pub struct Transformer2DModel {
    path: String,
    norm: GroupNorm,
    proj_in: Conv2d,
    transformer_blocks: Vec<BasicTransformerBlock>,
    proj_out: Conv2d,
}

impl Transformer2DModel {
    /// diffusers' constant, for this norm only.
    const EPS: f64 = 1e-6;

    pub fn load(
        c: &mut Constants,
        scope: &Scope,
        channels: &Channels,
        heads: usize,
        layers: usize,
        groups: usize,
        prompt: &Arc<Prompt>,
    ) -> Self {
        let block = |c: &mut Constants, i: usize| {
            BasicTransformerBlock::load(c, &scope.pp("transformer_blocks").pp(i), channels, heads, prompt.clone())
        };
        Transformer2DModel {
            path: scope.path().into(),
            norm: GroupNorm::load(c, &scope.pp("norm"), channels, groups, Self::EPS),
            // A linear layer, or an equivalent 1 x 1 convolution if use_linear_projection is false.
            proj_in: Conv2d::linear(c, &scope.pp("proj_in"), channels, channels, true),
            transformer_blocks: (0..layers).map(|i| block(c, i)).collect(),
            proj_out: Conv2d::linear(c, &scope.pp("proj_out"), channels, channels, true),
        }
    }

    /// `[H, W, C]` -> the same.
    pub fn forward(&self, r: &mut Recorder, x: &Tensor, bank: &mut Bank) -> Tensor {
        let h = self.norm.forward(r, x);
        let mut h = self.proj_in.forward(r, &h);
        for block in &self.transformer_blocks {
            h = block.forward(r, &h, bank);
        }
        let out = self.proj_out.forward_with(r, &h, Epilogue::Residual(x));
        r.mark(&self.path, &out);
        out
    }
}

#[cfg(test)]
#[path = "transformer_tests.rs"]
mod tests;
