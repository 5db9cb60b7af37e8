//! All constant folding. Each fold is exact in real arithmetic, computed here in f64, and has a test of equality with the unfolded
//! computation (`tests` below and `tests/parity.rs`).
//!
//! | fold | from | into |
//! |---|---|---|
//! | [`TimeEmbedding`] | timestep 1, two linear layers, each resnet's `time_emb_proj` | a bias of the resnet's `conv1` |
//! | [`TextGate`] | `attn2` over a prompt of one or two tokens | two thin linear layers and a tanh |
//! | [`project`] | `attn2`'s keys and values of a longer prompt | constants that attention reads |
//! | [`compose_1x1`] | `quant_conv`'s mean half and the scaling factor | the encoder's `conv_out` |
//! | [`scale`] | x0 = -v and 1 / scaling factor | the UNet's `conv_out` |

use crate::model::config::UNetConfig;
use crate::model::text_encoder::Prompt;
use crate::weights::{Scope, TensorView, WeightsError};
use std::sync::{Arc, OnceLock};

/// Every value times `factor`.
pub fn scale(values: Vec<f32>, factor: f64) -> Vec<f32> {
    values.into_iter().map(|v| (v as f64 * factor) as f32).collect()
}

/// The first `rows` outputs of a 1 x 1 convolution `q` `[2 rows, mid]` after a convolution `w` `[mid, n]`, times `factor`, as one weight
/// `[rows, n]`. Exact at borders too, since nothing is padded between the two.
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
    let row = |(i, row): (usize, &[f32])| dot(row, x) + b.map_or(0.0, |b| b[i] as f64);
    w.chunks_exact(x.len()).enumerate().map(row).collect()
}

/// Eight partial sums, so that the compiler can vectorize.
pub fn dot(w: &[f32], x: &[f64]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0.0; LANES];
    let (w, x) = (w.chunks(LANES), x.chunks(LANES));
    for (w, x) in w.zip(x) {
        for ((sum, &w), &x) in sums.iter_mut().zip(w).zip(x) {
            *sum += f64::from(w) * x;
        }
    }
    sums.iter().sum()
}

fn silu(x: f64) -> f64 {
    x / (1.0 + (-x).exp())
}

/// The embedding of timestep 1, a constant of the checkpoint (diffusers `get_timestep_embedding`, `TimestepEmbedding`). Computed on first
/// use.
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

    /// SiLU of the embedding, `[time_embedding_dim]`, which is the first step of every resnet's projection.
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

    /// `conv1`'s bias plus the projected embedding: `[Cout]`.
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

/// `attn2` over two text tokens. A softmax over two scores is a sigmoid of their difference, so per head out = v1 + sigmoid(q . (k0 - k1) /
/// sqrt(d)) (v0 - v1): linear before the sigmoid and after it. It is written with sigmoid(z) = (1 + tanh(z / 2)) / 2, because tanh(0) = 0
/// keeps padding lanes zero. A single token is used twice, which gives its value.
#[derive(Clone)]
pub struct TextGate(Arc<GateParts>);

struct GateParts {
    heads: usize,
    dim: usize,
    prompt: Arc<Prompt>,
    q: TensorView,
    k: TensorView,
    v: TensorView,
    out: TensorView,
    bias: TensorView,
}

impl TextGate {
    /// Longest prompt that this fold supports.
    pub const MOST_TOKENS: usize = 2;

    /// `dim` channels in `heads` heads over `prompt`.
    pub fn new(scope: &Scope, dim: usize, heads: usize, prompt: Arc<Prompt>) -> Self {
        let context = prompt.width;
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
        let Prompt { width, values } = &*self.0.prompt;
        let w = w.to_f32()?;
        let token = |t: &[f32]| linear(&w, None, &t.iter().map(|&v| v as f64).collect::<Vec<_>>());
        Ok([token(&values[..*width]), token(&values[values.len() - width..])])
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

    /// `[dim]`: the output for equal weights of both tokens.
    pub fn bias(&self) -> Result<Vec<f32>, WeightsError> {
        let [v0, v1] = self.project(&self.0.v)?;
        let mean: Vec<f64> = v0.iter().zip(&v1).map(|(a, b)| 0.5 * (a + b)).collect();
        let out = linear(&self.0.out.to_f32()?, Some(&self.0.bias.to_f32()?), &mean);
        Ok(out.into_iter().map(|v| v as f32).collect())
    }
}

/// `w` `[dim, width]` times each token of `prompt`: keys or values `[tokens, dim]`.
pub fn project(w: &TensorView, prompt: &Prompt) -> Result<Vec<f32>, WeightsError> {
    let w = w.to_f32()?;
    let token = |t: &[f32]| linear(&w, None, &t.iter().map(|&v| v as f64).collect::<Vec<_>>());
    Ok(prompt.values.chunks_exact(prompt.width).flat_map(token).map(|v| v as f32).collect())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::weights::Weights;
    use safetensors::tensor::{Dtype, TensorView as View};

    pub fn random(seed: u64, n: usize) -> Vec<f32> {
        let mut rng = fastrand::Rng::with_seed(seed);
        (0..n).map(|_| rng.f32() * 2.0 - 1.0).collect()
    }

    pub fn checkpoint(tensors: &[(&str, Vec<usize>)]) -> Scope {
        let data: Vec<Vec<u8>> = tensors
            .iter()
            .enumerate()
            .map(|(i, (_, shape))| bytemuck::cast_slice(&random(i as u64 + 1, shape.iter().product())).to_vec())
            .collect();
        let views = tensors
            .iter()
            .zip(&data)
            .map(|((name, shape), data)| (*name, View::new(Dtype::F32, shape.clone(), data).expect("a sound tensor")));
        let bytes = safetensors::serialize(views, None).expect("serializes");
        Weights::from_bytes("test", bytes).expect("opens").root()
    }

    fn close(got: f64, expected: f64) {
        assert!((got - expected).abs() <= 1e-6 * (1.0 + expected.abs()), "got {got}, expected {expected}");
    }

    /// `w` `[rows, x.len()]` times `x`.
    pub fn times(w: &[f32], x: &[f64]) -> Vec<f64> {
        w.chunks_exact(x.len()).map(|row| row.iter().zip(x).map(|(&a, b)| a as f64 * b).sum()).collect()
    }

    #[test]
    fn composed_convolutions_equal_one_after_the_other() {
        let (rows, mid, n) = (2, 4, 5);
        let (q, w, x) = (random(1, 2 * rows * mid), random(2, mid * n), random(3, n));
        let x: Vec<f64> = x.into_iter().map(f64::from).collect();
        let unfolded = times(&q, &times(&w, &x));
        let folded = times(&compose_1x1(&q, &w, rows, mid, 0.18215), &x);
        assert_eq!(folded.len(), rows);
        folded.iter().zip(&unfolded).for_each(|(&got, &exact)| close(got, 0.18215 * exact));
    }

    #[test]
    fn the_scaled_output_is_minus_v_over_the_factor() {
        let (w, x) = (random(1, 12), random(2, 4));
        let x: Vec<f64> = x.into_iter().map(f64::from).collect();
        let v = times(&w, &x);
        times(&scale(w, -1.0 / 0.18215), &x).iter().zip(v).for_each(|(&got, v)| close(got, -v / 0.18215));
    }

    #[test]
    fn the_text_gate_equals_attention_over_two_tokens() {
        [1, 2].into_iter().for_each(gate_equals_attention);
    }

    /// Softmax attention over the tokens, computed as in the paper's network, against the two layers and the tanh.
    fn gate_equals_attention(tokens: usize) {
        let (dim, heads, context) = (12, 3, 5);
        let size = dim / heads;
        let scope = checkpoint(&[
            ("to_q.weight", vec![dim, dim]),
            ("to_k.weight", vec![dim, context]),
            ("to_v.weight", vec![dim, context]),
            ("to_out.0.weight", vec![dim, dim]),
            ("to_out.0.bias", vec![dim]),
        ]);
        let prompt = Arc::new(Prompt { width: context, values: random(99, tokens * context) });
        let gate = TextGate::new(&scope, dim, heads, prompt.clone());
        let read = |name: &str, shape: &[usize]| scope.tensor(name, shape).to_f32().expect("reads");
        let project = |name: &str, token: usize| {
            let token: Vec<f64> = prompt.values[token * context..][..context].iter().map(|&v| v as f64).collect();
            times(&read(name, &[dim, context]), &token)
        };
        let all = |name: &str| (0..tokens).map(|t| project(name, t)).collect::<Vec<_>>();
        let (k, v) = (all("to_k.weight"), all("to_v.weight"));
        let projected = super::project(&scope.tensor("to_k.weight", &[dim, context]), &prompt).expect("reads");
        projected.iter().zip(k.iter().flatten()).for_each(|(&got, &exact)| close(got as f64, exact));
        assert_eq!(projected.len(), tokens * dim);
        for seed in 0..5 {
            let x: Vec<f64> = random(200 + seed, dim).into_iter().map(|v| 3.0 * v as f64).collect();
            let q = times(&read("to_q.weight", &[dim, dim]), &x);
            let mut attended = vec![0.0; dim];
            for head in 0..heads {
                let range = head * size..(head + 1) * size;
                let score = |t: usize| range.clone().map(|i| q[i] * k[t][i]).sum::<f64>() / (size as f64).sqrt();
                let e: Vec<f64> = (0..tokens).map(|t| score(t).exp()).collect();
                let total: f64 = e.iter().sum();
                range.for_each(|i| attended[i] = e.iter().zip(&v).map(|(e, v)| e * v[i]).sum::<f64>() / total);
            }
            let unfolded = times(&read("to_out.0.weight", &[dim, dim]), &attended);
            let bias = read("to_out.0.bias", &[dim]);

            let gates: Vec<f64> = times(&gate.scores().expect("folds"), &x).into_iter().map(f64::tanh).collect();
            let folded = times(&gate.values().expect("folds"), &gates);
            let folded_bias = gate.bias().expect("folds");
            for i in 0..dim {
                close(folded[i] + folded_bias[i] as f64, unfolded[i] + bias[i] as f64);
            }
        }
    }

    #[test]
    fn the_time_embedding_enters_the_bias_as_it_would_be_added() {
        let (dim, hidden, cout) = (7, 6, 4);
        let scope = checkpoint(&[
            ("linear_1.weight", vec![hidden, dim]),
            ("linear_1.bias", vec![hidden]),
            ("linear_2.weight", vec![hidden, hidden]),
            ("linear_2.bias", vec![hidden]),
            ("proj.weight", vec![cout, hidden]),
            ("proj.bias", vec![cout]),
            ("conv.bias", vec![cout]),
        ]);
        let read = |name: &str, shape: &[usize]| scope.tensor(name, shape).to_f32().expect("reads");
        let weights = ["linear_1", "linear_2"].map(|layer| {
            let dim = if layer == "linear_1" { dim } else { hidden };
            (scope.tensor(format!("{layer}.weight"), &[hidden, dim]), scope.tensor(format!("{layer}.bias"), &[hidden]))
        });
        let [(w1, b1), (w2, b2)] = weights;
        let sinusoid = sinusoid(1.0, dim, true, 0.0);
        let parts = TimeParts { sinusoid: sinusoid.clone(), weights: [w1, b1, w2, b2], activated: OnceLock::new() };
        let time = TimeEmbedding(Arc::new(parts));
        let bias = |name: &str| scope.tensor(format!("{name}.bias"), &[cout]);
        let folded =
            time.bias(&bias("conv"), &scope.tensor("proj.weight", &[cout, hidden]), &bias("proj")).expect("folds");

        let add = |a: Vec<f64>, b: Vec<f32>| a.into_iter().zip(b).map(|(a, b)| a + b as f64).collect::<Vec<_>>();
        let activate = |v: Vec<f64>| v.into_iter().map(|x| x * (1.0 / (1.0 + (-x).exp()))).collect::<Vec<_>>();
        let h = add(times(&read("linear_1.weight", &[hidden, dim]), &sinusoid), read("linear_1.bias", &[hidden]));
        let h = add(times(&read("linear_2.weight", &[hidden, hidden]), &activate(h)), read("linear_2.bias", &[hidden]));
        let h = add(times(&read("proj.weight", &[cout, hidden]), &activate(h)), read("proj.bias", &[cout]));
        let unfolded = add(h, read("conv.bias", &[cout]));
        folded.iter().zip(unfolded).for_each(|(&got, exact)| close(got as f64, exact));

        // cos first, then sin; timestep 1 at frequency 1; an odd length ends in a zero.
        close(sinusoid[0], 1f64.cos());
        close(sinusoid[3], 1f64.sin());
        assert_eq!(sinusoid[6], 0.0);
    }
}
