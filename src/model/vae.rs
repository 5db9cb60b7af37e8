//! diffusers `AutoencoderKL`: images to latents and back.

use super::config::VaeConfig;
use super::constants::{Constants, Windows};
use super::fold;
use super::layers::{Conv2d, GroupNorm, Source};
use super::resnet::{Norm, ResnetBlock2D, downsample, upsample};
use crate::kernels::attention::{self, KeyValue};
use crate::kernels::conv2d::{Epilogue, Geometry};
use crate::plan::{Channels, Recorder, Tensor};
use crate::weights::Scope;

/// diffusers' constant for every norm of the VAE.
const EPS: f64 = 1e-6;

/// One head over all positions. Tensor names are as published with SD 2.1, or as diffusers has renamed them since.
struct Attention {
    path: String,
    group_norm: GroupNorm,
    to_q: Conv2d,
    to_k: Conv2d,
    to_v: Conv2d,
    to_out: Conv2d,
}

impl Attention {
    fn load(c: &mut Constants, scope: &Scope, channels: &Channels, groups: usize) -> Self {
        let mut layer = |names: &[&str]| Conv2d::linear(c, &scope.pp_any(names), channels, channels, true);
        Attention {
            path: scope.path().into(),
            to_q: layer(&["to_q", "query"]),
            to_k: layer(&["to_k", "key"]),
            to_v: layer(&["to_v", "value"]),
            to_out: layer(&["to_out.0", "proj_attn"]),
            group_norm: GroupNorm::load(c, &scope.pp("group_norm"), channels, groups, EPS),
        }
    }

    fn forward(&self, r: &mut Recorder, x: &Tensor) -> Tensor {
        let h = self.group_norm.forward(r, x);
        let q = self.to_q.forward(r, &h);
        let own = KeyValue { k: self.to_k.forward(r, &h), v: self.to_v.forward(r, &h) };
        let h = attention::record(r, &self.path, &q, &own, &[]);
        let out = self.to_out.forward_with(r, &h, Epilogue::Residual(x));
        r.mark(&self.path, &out);
        out
    }
}

struct MidBlock {
    resnets: [ResnetBlock2D; 2],
    attention: Option<Attention>,
}

impl MidBlock {
    fn load(c: &mut Constants, scope: &Scope, channels: &Channels, config: &VaeConfig) -> Self {
        let norm = norm(config);
        let mut resnet =
            |i: usize| ResnetBlock2D::load(c, &scope.pp("resnets").pp(i), channels, None, channels, None, norm);
        let resnets = [resnet(0), resnet(1)];
        let attention = config
            .mid_block_add_attention
            .then(|| Attention::load(c, &scope.pp("attentions").pp(0), channels, config.norm_num_groups));
        MidBlock { resnets, attention }
    }

    fn forward(&self, r: &mut Recorder, x: &Tensor) -> Tensor {
        let mut x = self.resnets[0].forward(r, x, None);
        if let Some(attention) = &self.attention {
            x = attention.forward(r, &x);
        }
        self.resnets[1].forward(r, &x, None)
    }
}

fn norm(config: &VaeConfig) -> Norm {
    Norm { groups: config.norm_num_groups, eps: EPS }
}

fn widths(config: &VaeConfig) -> Vec<Channels> {
    config.block_out_channels.iter().map(|&w| Channels::one(w as u32)).collect()
}

const RGB: u32 = 3;

/// A level's resnets and its up- or downsampling.
struct Block {
    resnets: Vec<ResnetBlock2D>,
    resample: Option<Conv2d>,
}

impl Block {
    fn forward(&self, r: &mut Recorder, mut x: Tensor) -> Tensor {
        for resnet in &self.resnets {
            x = resnet.forward(r, &x, None);
        }
        self.resample.as_ref().map_or(x.clone(), |resample| resample.forward(r, &x))
    }
}

pub struct Encoder {
    conv_in: Conv2d,
    down_blocks: Vec<Block>,
    mid_block: MidBlock,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
}

impl Encoder {
    /// `root` is the VAE's scope, because `quant_conv` lies beside `encoder`.
    pub fn load(c: &mut Constants, root: &Scope, config: &VaeConfig) -> Self {
        let scope = root.pp("encoder");
        let widths = widths(config);
        let mut cin = widths[0].clone();
        let conv_in = Conv2d::load(c, &scope.pp("conv_in"), &Channels::one(RGB), &cin, Geometry::SAME);
        let mut down_blocks = Vec::new();
        for (level, width) in widths.iter().enumerate() {
            let block = scope.pp("down_blocks").pp(level);
            let mut resnets = Vec::new();
            for i in 0..config.layers_per_block {
                resnets.push(ResnetBlock2D::load(c, &block.pp("resnets").pp(i), &cin, None, width, None, norm(config)));
                cin = width.clone();
            }
            let resample = (level + 1 < widths.len()).then(|| downsample(c, &block, width, false));
            down_blocks.push(Block { resnets, resample });
        }
        Encoder {
            conv_in,
            down_blocks,
            mid_block: MidBlock::load(c, &scope.pp("mid_block"), &cin, config),
            conv_norm_out: GroupNorm::load(c, &scope.pp("conv_norm_out"), &cin, config.norm_num_groups, EPS),
            conv_out: encoder_conv_out(c, root, &cin, config),
        }
    }

    /// `[S, S, 3]` in [-1, 1] -> the latent's mean times the scaling factor, `[S / f, S / f, latent]`.
    pub fn forward(&self, r: &mut Recorder, image: &Tensor) -> Tensor {
        let mut x = self.conv_in.forward(r, image);
        r.mark("encoder.conv_in", &x);
        for block in &self.down_blocks {
            x = block.forward(r, x);
        }
        let x = self.mid_block.forward(r, &x);
        let latent = self.conv_out.forward_normalized(r, &self.conv_norm_out, &x, None, Epilogue::None);
        r.mark("encoder.latent", &latent);
        latent
    }
}

/// `conv_out` with `quant_conv`'s mean half and the scaling factor folded in.
fn encoder_conv_out(c: &mut Constants, root: &Scope, cin: &Channels, config: &VaeConfig) -> Conv2d {
    let scope = root.pp("encoder.conv_out");
    let latent = config.latent_channels;
    let (both, m) = (2 * latent, cin.logical() as usize);
    let weight = scope.tensor("weight", &[both, m, 3, 3]);
    let bias = scope.tensor("bias", &[both]);
    let factor = config.scaling_factor;
    let out = Channels::one(latent as u32);
    if !config.use_quant_conv {
        let mean = move |values: Vec<f32>| fold::scale(values[..values.len() / 2].to_vec(), factor);
        let weight = Windows::all(move || Ok(mean(weight.to_f32()?)));
        let source = Source { weight, bias: move || Ok(mean(bias.to_f32()?)) };
        return Conv2d::from(c, scope.path(), cin, &out, Geometry::SAME, source);
    }
    let quant = root.pp("quant_conv");
    let quant_weight = quant.tensor("weight", &[both, both, 1, 1]);
    let quant_bias = quant.tensor("bias", &[both]);
    let quant_weight_2 = quant_weight.clone();
    let source = Source {
        weight: Windows::all(move || {
            Ok(fold::compose_1x1(&quant_weight.to_f32()?, &weight.to_f32()?, latent, both, factor))
        }),
        bias: move || {
            let through = fold::compose_1x1(&quant_weight_2.to_f32()?, &bias.to_f32()?, latent, both, factor);
            let own = fold::scale(quant_bias.to_f32()?, factor);
            Ok(through.iter().zip(own).map(|(a, b)| a + b).collect())
        },
    };
    Conv2d::from(c, scope.path(), cin, &out, Geometry::SAME, source)
}

pub struct Decoder {
    post_quant_conv: Option<Conv2d>,
    conv_in: Conv2d,
    mid_block: MidBlock,
    up_blocks: Vec<Block>,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
}

impl Decoder {
    pub fn load(c: &mut Constants, root: &Scope, config: &VaeConfig) -> Self {
        let scope = root.pp("decoder");
        let latent = Channels::one(config.latent_channels as u32);
        let mut widths = widths(config);
        widths.reverse();
        let mut cin = widths[0].clone();
        let post_quant_conv =
            config.use_post_quant_conv.then(|| Conv2d::linear(c, &root.pp("post_quant_conv"), &latent, &latent, true));
        let conv_in = Conv2d::load(c, &scope.pp("conv_in"), &latent, &cin, Geometry::SAME);
        let mid_block = MidBlock::load(c, &scope.pp("mid_block"), &cin, config);
        let mut up_blocks = Vec::new();
        for (level, width) in widths.iter().enumerate() {
            let block = scope.pp("up_blocks").pp(level);
            let mut resnets = Vec::new();
            for i in 0..config.layers_per_block + 1 {
                resnets.push(ResnetBlock2D::load(c, &block.pp("resnets").pp(i), &cin, None, width, None, norm(config)));
                cin = width.clone();
            }
            let resample = (level + 1 < widths.len()).then(|| upsample(c, &block, width));
            up_blocks.push(Block { resnets, resample });
        }
        Decoder {
            post_quant_conv,
            conv_in,
            mid_block,
            up_blocks,
            conv_norm_out: GroupNorm::load(c, &scope.pp("conv_norm_out"), &cin, config.norm_num_groups, EPS),
            conv_out: Conv2d::load(c, &scope.pp("conv_out"), &cin, &Channels::one(RGB), Geometry::SAME),
        }
    }

    /// A latent already divided by the scaling factor -> `[S, S, 3]`.
    pub fn forward(&self, r: &mut Recorder, latent: &Tensor) -> Tensor {
        let x = self.post_quant_conv.as_ref().map_or(latent.clone(), |conv| conv.forward(r, latent));
        let x = self.conv_in.forward(r, &x);
        r.mark("decoder.conv_in", &x);
        let mut x = self.mid_block.forward(r, &x);
        for block in &self.up_blocks {
            x = block.forward(r, x);
        }
        let out = self.conv_out.forward_normalized(r, &self.conv_norm_out, &x, None, Epilogue::None);
        r.mark("decoder.conv_out", &out);
        out
    }
}
