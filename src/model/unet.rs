//! diffusers `UNet2DConditionModel` with DiffewS's additional input layer, `conv_in_ref`.

use super::config::UNetConfig;
use super::constants::{Constants, Windows};
use super::fold::{self, TimeEmbedding};
use super::layers::{Conv2d, GroupNorm, Source};
use super::resnet::{Norm, ResnetBlock2D, downsample, upsample};
use super::text_encoder::Prompt;
use super::transformer::{Bank, Transformer2DModel};
use crate::kernels::attention::KeyValue;
use crate::kernels::conv2d::{Epilogue, Geometry};
use crate::plan::{Channels, Recorder, Tensor};
use crate::weights::Scope;
use std::sync::Arc;

struct DownBlock {
    resnets: Vec<ResnetBlock2D>,
    attentions: Vec<Transformer2DModel>,
    downsampler: Option<Conv2d>,
}

struct MidBlock {
    resnets: [ResnetBlock2D; 2],
    attention: Transformer2DModel,
}

struct UpBlock {
    resnets: Vec<ResnetBlock2D>,
    attentions: Vec<Transformer2DModel>,
    upsampler: Option<Conv2d>,
}

pub struct UNet {
    conv_in: Conv2d,
    conv_in_ref: [Conv2d; 2],
    down_blocks: Vec<DownBlock>,
    mid_block: MidBlock,
    up_blocks: Vec<UpBlock>,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
}

impl UNet {
    /// `prompt`: the text embeddings, of width `cross_attention_dim`. `scaling_factor`: the VAE's.
    pub fn load(
        c: &mut Constants,
        scope: &Scope,
        config: &UNetConfig,
        prompt: &Arc<Prompt>,
        scaling_factor: f64,
    ) -> Self {
        let time = TimeEmbedding::new(&scope.pp("time_embedding"), config);
        let norm = Norm { groups: config.norm_num_groups, eps: config.norm_eps };
        let latent = Channels::one(config.in_channels as u32);
        let width = |level: usize| Channels::one(config.block_out_channels[level] as u32);
        let levels = config.levels();
        let last = levels - 1;
        let transformer = |c: &mut Constants, scope: Scope, level: usize| {
            let (heads, layers) = (config.num_heads[level], config.transformer_layers_per_block[level]);
            Transformer2DModel::load(c, &scope, &width(level), heads, layers, norm.groups, prompt)
        };

        let conv_in = Conv2d::load(c, &scope.pp("conv_in"), &latent, &width(0), Geometry::SAME);
        let conv_in_ref = Conv2d::load_pair(c, &scope.pp("conv_in_ref"), &latent, &latent, &width(0), Geometry::SAME);

        // Channels of every skip connection, in the order in which the down path makes them.
        let mut skips = vec![width(0)];
        let mut down_blocks = Vec::new();
        for level in 0..levels {
            let block = scope.pp("down_blocks").pp(level);
            let mut resnets = Vec::new();
            let mut attentions = Vec::new();
            for i in 0..config.layers_per_block[level] {
                let cin = if i == 0 { width(level.saturating_sub(1)) } else { width(level) };
                resnets.push(ResnetBlock2D::load(
                    c,
                    &block.pp("resnets").pp(i),
                    &cin,
                    None,
                    &width(level),
                    Some(&time),
                    norm,
                ));
                if config.down_attention[level] {
                    attentions.push(transformer(c, block.pp("attentions").pp(i), level));
                }
                skips.push(width(level));
            }
            let downsampler = (level < last).then(|| {
                skips.push(width(level));
                downsample(c, &block, &width(level), config.downsample_padding == 1)
            });
            down_blocks.push(DownBlock { resnets, attentions, downsampler });
        }

        let mid = scope.pp("mid_block");
        let mid_resnet = |c: &mut Constants, i: usize| {
            ResnetBlock2D::load(c, &mid.pp("resnets").pp(i), &width(last), None, &width(last), Some(&time), norm)
        };
        let mid_block = MidBlock {
            resnets: [mid_resnet(c, 0), mid_resnet(c, 1)],
            attention: transformer(c, mid.pp("attentions").pp(0), last),
        };

        let mut up_blocks = Vec::new();
        let mut cin = width(last);
        for i in 0..levels {
            let level = last - i;
            let block = scope.pp("up_blocks").pp(i);
            let mut resnets = Vec::new();
            let mut attentions = Vec::new();
            for j in 0..config.layers_per_block[level] + 1 {
                let skip = skips.pop();
                let scope = block.pp("resnets").pp(j);
                resnets.push(ResnetBlock2D::load(c, &scope, &cin, skip.as_ref(), &width(level), Some(&time), norm));
                cin = width(level);
                if config.up_attention[i] {
                    attentions.push(transformer(c, block.pp("attentions").pp(j), level));
                }
            }
            let upsampler = (level > 0).then(|| upsample(c, &block, &width(level)));
            up_blocks.push(UpBlock { resnets, attentions, upsampler });
        }

        UNet {
            conv_in,
            conv_in_ref,
            down_blocks,
            mid_block,
            up_blocks,
            conv_norm_out: GroupNorm::load(c, &scope.pp("conv_norm_out"), &width(0), norm.groups, norm.eps),
            conv_out: conv_out(c, &scope.pp("conv_out"), &width(0), &latent, scaling_factor),
        }
    }

    /// The support pass: latents of a support image and its mask, `[h, w, latent]` each -> K and V of every `attn1`.
    pub fn support(&self, r: &mut Recorder, image: &Tensor, mask: &Tensor) -> Vec<KeyValue> {
        let [of_image, of_mask] = &self.conv_in_ref;
        let part = of_image.forward(r, image);
        let x = of_mask.forward_with(r, mask, Epilogue::Residual(&part));
        r.mark("conv_in_ref", &x);
        let mut bank = Bank::Write(Vec::new());
        self.blocks(r, x, &mut bank);
        match bank {
            Bank::Write(written) => written,
            Bank::Read(_) => Vec::new(),
        }
    }

    /// The query pass: latent `[h, w, latent]` and the bank, with one or more pieces per layer -> -v / scaling_factor, the decoder's input.
    pub fn query(&self, r: &mut Recorder, latent: &Tensor, bank: &[Vec<KeyValue>]) -> Tensor {
        let x = self.conv_in.forward(r, latent);
        r.mark("conv_in", &x);
        let mut bank = Bank::Read(bank.iter());
        let x = self.blocks(r, x, &mut bank);
        let out = self.conv_out.forward_normalized(r, &self.conv_norm_out, &x, None, Epilogue::None);
        r.mark("predicted", &out);
        out
    }

    fn blocks(&self, r: &mut Recorder, mut x: Tensor, bank: &mut Bank) -> Tensor {
        let mut skips = vec![x.clone()];
        for block in &self.down_blocks {
            for (i, resnet) in block.resnets.iter().enumerate() {
                x = resnet.forward(r, &x, None);
                if let Some(attention) = block.attentions.get(i) {
                    x = attention.forward(r, &x, bank);
                }
                skips.push(x.clone());
            }
            if let Some(downsampler) = &block.downsampler {
                x = downsampler.forward(r, &x);
                skips.push(x.clone());
            }
        }
        x = self.mid_block.resnets[0].forward(r, &x, None);
        x = self.mid_block.attention.forward(r, &x, bank);
        x = self.mid_block.resnets[1].forward(r, &x, None);
        for block in &self.up_blocks {
            for (i, resnet) in block.resnets.iter().enumerate() {
                x = resnet.forward(r, &x, skips.pop().as_ref());
                if let Some(attention) = block.attentions.get(i) {
                    x = attention.forward(r, &x, bank);
                }
            }
            if let Some(upsampler) = &block.upsampler {
                x = upsampler.forward(r, &x);
            }
        }
        x
    }
}

/// `conv_out` with x0 = -v (one DDIM step at abar = 0) and the decoder's 1 / scaling_factor folded in.
fn conv_out(c: &mut Constants, scope: &Scope, cin: &Channels, latent: &Channels, scaling_factor: f64) -> Conv2d {
    let (n, m) = (latent.logical() as usize, cin.logical() as usize);
    let weight = scope.tensor("weight", &[n, m, 3, 3]);
    let bias = scope.tensor("bias", &[n]);
    let factor = -1.0 / scaling_factor;
    let source = Source {
        weight: Windows::all(move || Ok(fold::scale(weight.to_f32()?, factor))),
        bias: move || Ok(fold::scale(bias.to_f32()?, factor)),
    };
    Conv2d::from(c, scope.path(), cin, latent, Geometry::SAME, source)
}
