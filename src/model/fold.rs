//! Every constant folding, in one place. Each is exact in real arithmetic, computed here in f64, and has an
//! equality test against the unfolded computation (`tests` below and `tests/parity.rs`).
//!
//! | fold | from | into |
//! |---|---|---|
//! | [`repack`] | `[Cout, Cin, kh, kw]` | `[kh * kw, Cin with padding, Cout]` |
//! | [`TimeEmbedding`] | timestep 1, two linear layers, each resnet's `time_emb_proj` | a bias of the resnet's `conv1` |
//! | [`TextGate`] | `attn2` over the prompt's two tokens | two thin linear layers and a tanh |
//! | [`compose_1x1`] | `quant_conv`'s mean half and the scaling factor | the encoder's `conv_out` |
//! | [`scale`] | x0 = -v and 1 / scaling factor | the UNet's `conv_out` |

use crate::model::config::UNetConfig;
use crate::weights::{Scope, TensorView, WeightsError};
use std::sync::{Arc, OnceLock};

/// `w` `[cout, cin, taps]` -> rows `[taps, padded cin]` of `cout` columns. Input channel `i` goes to row
/// `places[i]` of each tap; the other rows are zero.
pub fn repack(w: &[f32], cout: usize, taps: usize, places: &[u32], padded: usize) -> Vec<f32> {
    let cin = places.len();
    let mut out = vec![0.0; taps * padded * cout];
    // Blocks of columns keep both sides within a few cache lines.
    for first in (0..cout).step_by(16) {
        let end = (first + 16).min(cout);
        for (i, &place) in places.iter().enumerate() {
            for tap in 0..taps {
                let row = (tap * padded + place as usize) * cout;
                for o in first..end {
                    out[row + o] = w[(o * cin + i) * taps + tap];
                }
            }
        }
    }
    out
}

/// Every value times `factor`.
pub fn scale(values: Vec<f32>, factor: f64) -> Vec<f32> {
    values.into_iter().map(|v| (v as f64 * factor) as f32).collect()
}

/// The first `rows` outputs of a 1 x 1 convolution `q` `[2 rows, mid]` after a convolution `w` `[mid, n]`, times
/// `factor`: one weight `[rows, n]`. Exact at borders too, since nothing is padded between the two.
pub fn compose_1x1(q: &[f32], w: &[f32], rows: usize, mid: usize, factor: f64) -> Vec<f32> {
    let n = w.len() / mid;
    let mut out = Vec::with_capacity(rows * n);
    for r in 0..rows {
        for j in 0..n {
            let sum: f64 = (0..mid).map(|m| q[r * mid + m] as f64 * w[m * n + j] as f64).sum();
            out.push((sum * factor) as f32);
        }
    }
    out
}

/// `w` `[rows, x.len()]` times `x`, plus `b`.
fn linear(w: &[f32], b: Option<&[f32]>, x: &[f64]) -> Vec<f64> {
    let row = |(i, row): (usize, &[f32])| {
        row.iter().zip(x).map(|(&w, x)| w as f64 * x).sum::<f64>() + b.map_or(0.0, |b| b[i] as f64)
    };
    w.chunks_exact(x.len()).enumerate().map(row).collect()
}

fn silu(x: f64) -> f64 {
    x / (1.0 + (-x).exp())
}

/// The embedding of timestep 1, a constant of the checkpoint (diffusers `get_timestep_embedding`,
/// `TimestepEmbedding`). Computed when first asked for.
#[derive(Clone)]
pub struct TimeEmbedding(Arc<TimeParts>);

struct TimeParts {
    sinusoid: Vec<f64>,
    weights: [TensorView; 4],
    activated: OnceLock<Vec<f64>>,
}

impl TimeEmbedding {
    pub fn new(scope: &Scope, config: &UNetConfig) -> Self {
        let (dim, hidden) = (config.block_out_channels[0], config.time_embedding_dim);
        let weights = [
            scope.tensor("linear_1.weight", &[hidden, dim]),
            scope.tensor("linear_1.bias", &[hidden]),
            scope.tensor("linear_2.weight", &[hidden, hidden]),
            scope.tensor("linear_2.bias", &[hidden]),
        ];
        let sinusoid = sinusoid(1.0, dim, config.flip_sin_to_cos, config.freq_shift);
        TimeEmbedding(Arc::new(TimeParts { sinusoid, weights, activated: OnceLock::new() }))
    }

    /// Length of the embedding.
    pub fn width(&self) -> usize {
        self.0.weights[3].len()
    }

    /// SiLU of the embedding `[time_embedding_dim]`, as every resnet begins with it.
    fn activated(&self) -> Result<&[f64], WeightsError> {
        if let Some(done) = self.0.activated.get() {
            return Ok(done);
        }
        let [w1, b1, w2, b2] = &self.0.weights;
        let hidden = linear(&w1.to_f32()?, Some(&b1.to_f32()?), &self.0.sinusoid);
        let hidden: Vec<f64> = hidden.into_iter().map(silu).collect();
        let embedding = linear(&w2.to_f32()?, Some(&b2.to_f32()?), &hidden);
        Ok(self.0.activated.get_or_init(|| embedding.into_iter().map(silu).collect()))
    }

    /// `conv1`'s bias with the projected embedding added: `[Cout]`.
    pub fn bias(&self, conv: &TensorView, weight: &TensorView, bias: &TensorView) -> Result<Vec<f32>, WeightsError> {
        let projected = linear(&weight.to_f32()?, Some(&bias.to_f32()?), self.activated()?);
        Ok(conv.to_f32()?.iter().zip(projected).map(|(&b, p)| (b as f64 + p) as f32).collect())
    }
}

/// sin and cos of the timestep at `dim / 2` frequencies; an odd `dim` ends in a zero.
fn sinusoid(timestep: f64, dim: usize, flip_sin_to_cos: bool, freq_shift: f64) -> Vec<f64> {
    let half = dim / 2;
    let frequency = |i: usize| (-(10_000f64.ln()) * i as f64 / (half as f64 - freq_shift)).exp() * timestep;
    let sin = (0..half).map(|i| frequency(i).sin());
    let cos = (0..half).map(|i| frequency(i).cos());
    let mut all: Vec<f64> = if flip_sin_to_cos { cos.chain(sin).collect() } else { sin.chain(cos).collect() };
    all.resize(dim, 0.0);
    all
}

/// `attn2` over two text tokens. A softmax over two scores is a sigmoid of their difference, so per head
/// out = v1 + sigmoid(q . (k0 - k1) / sqrt(d)) (v0 - v1): linear before the sigmoid and after it. Written with
/// sigmoid(z) = (1 + tanh(z / 2)) / 2, whose zero keeps padding lanes zero.
#[derive(Clone)]
pub struct TextGate(Arc<GateParts>);

struct GateParts {
    heads: usize,
    dim: usize,
    prompt: Arc<Vec<f32>>,
    q: TensorView,
    k: TensorView,
    v: TensorView,
    out: TensorView,
    bias: TensorView,
}

impl TextGate {
    /// `dim` channels in `heads` heads over `prompt` `[2, context]`.
    pub fn new(scope: &Scope, dim: usize, heads: usize, prompt: Arc<Vec<f32>>) -> Self {
        let context = prompt.len() / 2;
        TextGate(Arc::new(GateParts {
            heads,
            dim,
            q: scope.tensor("to_q.weight", &[dim, dim]),
            k: scope.tensor("to_k.weight", &[dim, context]),
            v: scope.tensor("to_v.weight", &[dim, context]),
            out: scope.tensor("to_out.0.weight", &[dim, dim]),
            bias: scope.tensor("to_out.0.bias", &[dim]),
            prompt,
        }))
    }

    /// Keys or values of both tokens, `[dim]` each.
    fn project(&self, w: &TensorView) -> Result<[Vec<f64>; 2], WeightsError> {
        let w = w.to_f32()?;
        let (first, second) = self.0.prompt.split_at(self.0.prompt.len() / 2);
        let token = |t: &[f32]| linear(&w, None, &t.iter().map(|&v| v as f64).collect::<Vec<_>>());
        Ok([token(first), token(second)])
    }

    /// `[heads, dim]`: a token's channels -> half the difference of a head's two scores.
    pub fn scores(&self) -> Result<Vec<f32>, WeightsError> {
        let GateParts { heads, dim, q, k, .. } = &*self.0;
        let size = dim / heads;
        let (q, [k0, k1]) = (q.to_f32()?, self.project(k)?);
        let half = 0.5 / (size as f64).sqrt();
        let mut out = vec![0f64; heads * dim];
        for (row, q) in q.chunks_exact(*dim).enumerate() {
            let key = (k0[row] - k1[row]) * half;
            let head = &mut out[row / size * dim..][..*dim];
            head.iter_mut().zip(q).for_each(|(o, &q)| *o += key * q as f64);
        }
        Ok(out.into_iter().map(|v| v as f32).collect())
    }

    /// `[dim, heads]`: tanh of the half differences -> the layer's output.
    pub fn values(&self) -> Result<Vec<f32>, WeightsError> {
        let GateParts { heads, dim, v, out, .. } = &*self.0;
        let size = dim / heads;
        let (out, [v0, v1]) = (out.to_f32()?, self.project(v)?);
        let head = |w: &[f32], h: usize| {
            (h * size..(h + 1) * size).map(|j| w[j] as f64 * 0.5 * (v0[j] - v1[j])).sum::<f64>() as f32
        };
        Ok(out.chunks_exact(*dim).flat_map(|w| (0..*heads).map(move |h| (w, h))).map(|(w, h)| head(w, h)).collect())
    }

    /// `[dim]`: the output where both tokens weigh the same.
    pub fn bias(&self) -> Result<Vec<f32>, WeightsError> {
        let [v0, v1] = self.project(&self.0.v)?;
        let mean: Vec<f64> = v0.iter().zip(&v1).map(|(a, b)| 0.5 * (a + b)).collect();
        let out = linear(&self.0.out.to_f32()?, Some(&self.0.bias.to_f32()?), &mean);
        Ok(out.into_iter().map(|v| v as f32).collect())
    }
}
