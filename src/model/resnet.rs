//! diffusers `ResnetBlock2D`, `Downsample2D`, `Upsample2D`.

use super::constants::{Constants, Windows};
use super::fold::TimeEmbedding;
use super::layers::{Conv2d, GroupNorm, Source, width};
use crate::kernels::conv2d::{Epilogue, Geometry};
use crate::plan::{Channels, Recorder, Tensor};
use crate::weights::Scope;

/// GroupNorm's groups and eps, the same in all resnets of a network.
#[derive(Clone, Copy)]
pub struct Norm {
    pub groups: usize,
    pub eps: f64,
}

/// How the input reaches the final sum.
enum Shortcut {
    Identity,
    Conv(Conv2d),
    /// Of `[hidden | skip]`, as two layers.
    Pair([Conv2d; 2]),
}

pub struct ResnetBlock2D {
    path: String,
    norm1: GroupNorm,
    conv1: Conv2d,
    norm2: GroupNorm,
    conv2: Conv2d,
    conv_shortcut: Shortcut,
}

impl ResnetBlock2D {
    /// `skip`: channels of the skip connection that the up path concatenates to the input.
    pub fn load(
        c: &mut Constants,
        scope: &Scope,
        cin: &Channels,
        skip: Option<&Channels>,
        cout: &Channels,
        time: Option<&TimeEmbedding>,
        norm: Norm,
    ) -> Self {
        let input = skip.map_or(cin.clone(), |s| cin.concat(s));
        let shortcut = scope.pp("conv_shortcut");
        let conv_shortcut = match skip {
            Some(skip) => Shortcut::Pair(Conv2d::load_pair(c, &shortcut, cin, skip, cout, Geometry::LINEAR)),
            None if cin != cout => Shortcut::Conv(Conv2d::linear(c, &shortcut, cin, cout, true)),
            None => Shortcut::Identity,
        };
        ResnetBlock2D {
            path: scope.path().into(),
            norm1: GroupNorm::load(c, &scope.pp("norm1"), &input, norm.groups, norm.eps),
            conv1: conv1(c, scope, &input, cout, time),
            norm2: GroupNorm::load(c, &scope.pp("norm2"), cout, norm.groups, norm.eps),
            conv2: Conv2d::load(c, &scope.pp("conv2"), cout, cout, Geometry::SAME),
            conv_shortcut,
        }
    }

    /// `x` `[H, W, Cin]` (and `skip`) -> `[H, W, Cout]`.
    pub fn forward(&self, r: &mut Recorder, x: &Tensor, skip: Option<&Tensor>) -> Tensor {
        let h = self.conv1.forward_normalized(r, &self.norm1, x, skip, Epilogue::None);
        let input = match (&self.conv_shortcut, skip) {
            (Shortcut::Conv(conv), _) => conv.forward(r, x),
            (Shortcut::Pair([a, b]), Some(skip)) => {
                let part = a.forward(r, x);
                b.forward_with(r, skip, Epilogue::Residual(&part))
            }
            (Shortcut::Identity | Shortcut::Pair(_), _) => x.clone(),
        };
        let out = self.conv2.forward_normalized(r, &self.norm2, &h, None, Epilogue::Residual(&input));
        r.mark(&self.path, &out);
        out
    }
}

/// `conv1`, with the projected time embedding folded into its bias.
fn conv1(c: &mut Constants, scope: &Scope, cin: &Channels, cout: &Channels, time: Option<&TimeEmbedding>) -> Conv2d {
    let Some(time) = time.cloned() else {
        return Conv2d::load(c, &scope.pp("conv1"), cin, cout, Geometry::SAME);
    };
    let conv = scope.pp("conv1");
    let weight = conv.tensor("weight", &[width(cout), width(cin), 3, 3]);
    let bias = conv.tensor("bias", &[width(cout)]);
    let projection = scope.pp("time_emb_proj");
    let projection_weight = projection.tensor("weight", &[width(cout), time.width()]);
    let projection_bias = projection.tensor("bias", &[width(cout)]);
    let source =
        Source { weight: Windows::of(weight), bias: move || time.bias(&bias, &projection_weight, &projection_bias) };
    Conv2d::from(c, conv.path(), cin, cout, Geometry::SAME, source)
}

/// A convolution of stride 2. `symmetric`: padded on all sides (UNet), or only on the right and bottom (VAE).
pub fn downsample(c: &mut Constants, scope: &Scope, channels: &Channels, symmetric: bool) -> Conv2d {
    let pad = if symmetric { (1, 1) } else { (0, 1) };
    let geometry = Geometry { kernel: 3, stride: 2, pad, upsample: false };
    Conv2d::load(c, &scope.pp("downsamplers.0.conv"), channels, channels, geometry)
}

/// Nearest upsampling by two, then a convolution. The convolution's index does the upsampling.
pub fn upsample(c: &mut Constants, scope: &Scope, channels: &Channels) -> Conv2d {
    let geometry = Geometry { upsample: true, ..Geometry::SAME };
    Conv2d::load(c, &scope.pp("upsamplers.0.conv"), channels, channels, geometry)
}
