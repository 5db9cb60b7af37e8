//! The layers of all blocks: loaded from a [`Scope`], applied to a [`Recorder`].

use super::constants::{Constants, Windows};
use crate::kernels::conv2d::{self, Epilogue, Geometry, Normalized, Weights};
use crate::kernels::{affine, group_norm, group_stats, layer_norm};
use crate::plan::{Channels, Element, Recorder, Tensor};
use crate::weights::{Scope, TensorView, WeightsError};

/// Number of logical channels, as in the checkpoint's shapes.
pub fn width(channels: &Channels) -> usize {
    channels.logical() as usize
}

/// torch.nn.Conv2d or torch.nn.Linear, with folded constants.
#[derive(Clone)]
pub struct Conv2d {
    pub name: String,
    pub weights: Weights,
    pub geometry: Geometry,
}

/// The source of a layer's constants: `[cout, cin, taps]` and `[cout]`.
pub struct Source<B> {
    pub weight: Windows,
    pub bias: B,
}

impl Conv2d {
    /// A layer with values from `source`; `cin` and `cout` are the layouts of its input and output.
    pub fn from<B>(
        c: &mut Constants,
        name: &str,
        cin: &Channels,
        cout: &Channels,
        geometry: Geometry,
        source: Source<B>,
    ) -> Self
    where
        B: Fn() -> Result<Vec<f32>, WeightsError> + Send + Sync + 'static,
    {
        let taps = geometry.kernel * geometry.kernel;
        let weights = Weights {
            weight: c.weight(&format!("{name}.weight"), taps, cin.clone(), cout.clone(), source.weight),
            bias: c.add(&format!("{name}.bias"), (1, 1), cout.clone(), Element::F32, source.bias),
        };
        Conv2d { name: name.into(), weights, geometry }
    }

    /// `scope.weight` `[cout, cin, k, k]` and `scope.bias`.
    pub fn load(c: &mut Constants, scope: &Scope, cin: &Channels, cout: &Channels, geometry: Geometry) -> Self {
        let k = geometry.kernel as usize;
        let weight = scope.tensor("weight", &[width(cout), width(cin), k, k]);
        let bias = scope.tensor("bias", &[width(cout)]);
        let source = Source { weight: Windows::of(weight), bias: move || bias.to_f32() };
        Conv2d::from(c, scope.path(), cin, cout, geometry, source)
    }

    /// `scope.weight` `[cout, cin]` (or as a 1 x 1 convolution) and, with `bias`, `scope.bias`.
    pub fn linear(c: &mut Constants, scope: &Scope, cin: &Channels, cout: &Channels, bias: bool) -> Self {
        let (o, i) = (width(cout), width(cin));
        let weight = scope.tensor_any("weight", &[&[o, i], &[o, i, 1, 1]]);
        let bias = bias.then(|| scope.tensor("bias", &[o]));
        let bias = move || bias.as_ref().map_or_else(|| Ok(vec![0.0; o]), TensorView::to_f32);
        let source = Source { weight: Windows::of(weight), bias };
        Conv2d::from(c, scope.path(), cin, cout, Geometry::LINEAR, source)
    }

    /// A convolution of `[a | b]` as two: one of `a`, without bias, and one of `b`, which adds the first. This avoids writing the
    /// concatenation.
    pub fn load_pair(
        c: &mut Constants,
        scope: &Scope,
        a: &Channels,
        b: &Channels,
        cout: &Channels,
        geometry: Geometry,
    ) -> [Self; 2] {
        let k = geometry.kernel as usize;
        let (o, na, nb) = (width(cout), width(a), width(b));
        let weight = scope.tensor("weight", &[o, na + nb, k, k]);
        let bias = scope.tensor("bias", &[o]);
        let part = |weight: TensorView, from: usize, n: usize| {
            Windows::some(move |outputs| {
                let mut part = Vec::with_capacity(outputs.len() * n * k * k);
                // In small ranges, so that the unused channels are never in memory as a whole.
                for first in outputs.clone().step_by(64) {
                    let both = weight.rows_to_f32(first..(first + 64).min(outputs.end))?;
                    let rows = both.chunks_exact((na + nb) * k * k);
                    rows.for_each(|row| part.extend_from_slice(&row[from * k * k..(from + n) * k * k]));
                }
                Ok(part)
            })
        };
        let a_source = Source { weight: part(weight.clone(), 0, na), bias: move || Ok(vec![0.0; o]) };
        let b_source = Source { weight: part(weight, na, nb), bias: move || bias.to_f32() };
        [
            Conv2d::from(c, &format!("{}.a", scope.path()), a, cout, geometry, a_source),
            Conv2d::from(c, &format!("{}.b", scope.path()), b, cout, geometry, b_source),
        ]
    }

    /// `[H, W, cin]` -> `[H', W', cout]`.
    pub fn forward(&self, r: &mut Recorder, x: &Tensor) -> Tensor {
        self.forward_with(r, x, Epilogue::None)
    }

    pub fn forward_with(&self, r: &mut Recorder, x: &Tensor, epilogue: Epilogue) -> Tensor {
        conv2d::record(r, &self.name, x, &self.weights, self.geometry, epilogue)
    }

    /// Applies it to SiLU of `norm` over `[a | b]`.
    pub fn forward_normalized(
        &self,
        r: &mut Recorder,
        norm: &GroupNorm,
        a: &Tensor,
        b: Option<&Tensor>,
        epilogue: Epilogue,
    ) -> Tensor {
        let scale_shift = &norm.scale_shift(r, a, b);
        let x = Normalized { a, b, scale_shift };
        conv2d::record_normalized(r, &self.name, x, &self.weights, self.geometry, epilogue)
    }
}

fn vector(c: &mut Constants, scope: &Scope, name: &str, channels: &Channels) -> Tensor {
    let view = scope.tensor(name, &[width(channels)]);
    let path = format!("{}.{name}", scope.path());
    c.add(&path, (1, 1), channels.clone(), Element::F32, move || view.to_f32())
}

/// torch.nn.GroupNorm over one tensor, or two concatenated ones.
#[derive(Clone)]
pub struct GroupNorm {
    weight: Tensor,
    bias: Tensor,
    groups: u32,
    eps: f32,
}

impl GroupNorm {
    pub fn load(c: &mut Constants, scope: &Scope, channels: &Channels, groups: usize, eps: f64) -> Self {
        GroupNorm {
            weight: vector(c, scope, "weight", channels),
            bias: vector(c, scope, "bias", channels),
            groups: groups as u32,
            eps: eps as f32,
        }
    }

    /// `[H, W, C]` -> `[H, W, C]`.
    pub fn forward(&self, r: &mut Recorder, x: &Tensor) -> Tensor {
        let scale_shift = self.scale_shift(r, x, None);
        affine::record(r, x, None, &scale_shift, false)
    }

    /// For `a` `[H, W, Ca]` and `b` `[H, W, Cb]`: factor and offset of each channel.
    fn scale_shift(&self, r: &mut Recorder, a: &Tensor, b: Option<&Tensor>) -> Tensor {
        let channels = a.channels.logical() + b.map_or(0, |b| b.channels.logical());
        let len = group_stats::chunk_len(r, a.positions(), channels / self.groups.max(1));
        let stats_a = group_stats::record(r, a, len);
        let stats_b = b.map(|b| group_stats::record(r, b, len));
        let second = b.zip(stats_b.as_ref());
        group_norm::record(r, (a, &stats_a), second, &self.weight, &self.bias, self.groups, self.eps)
    }
}

/// torch.nn.LayerNorm over a token's channels.
#[derive(Clone)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
}

impl LayerNorm {
    /// diffusers' default, which no config changes.
    const EPS: f32 = 1e-5;

    pub fn load(c: &mut Constants, scope: &Scope, channels: &Channels) -> Self {
        LayerNorm { weight: vector(c, scope, "weight", channels), bias: vector(c, scope, "bias", channels) }
    }

    pub fn forward(&self, r: &mut Recorder, x: &Tensor) -> Tensor {
        layer_norm::record(r, x, &self.weight, &self.bias, Self::EPS)
    }
}
