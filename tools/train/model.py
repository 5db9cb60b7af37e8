"""DiffewS for training: one forward pass over a batch of episodes, its parameters named as in the diffusers checkpoint.

The layers compute the same as diffusers' (export.py compares them with tools/reference/diffews.py). The differences do
not change the result: the timestep is a constant, so its embedding is omitted in favour of the biases
of the convolutions, and export writes zeros for it; supports and queries go through the UNet in batches.
"""

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from attention import softmax_attention
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "reference"))
from guided_filter import guided_filter  # noqa: E402

LATENT, CONTEXT = 16, 32
VAE_WIDTHS, VAE_GROUPS = (16, 16, 32), 8
UNET_WIDTHS, UNET_GROUPS, HEAD = (32, 64, 128), 16, 32
FILTER = {"radius": 8, "epsilon": 1e-5}


def refined(out, pictures):
    """The decoder's mean [E, S, S] in -1..1 as the engine shows it: refined by the pictures [E, 3, S, S] in
    -1..1, whose variances are four times those of colours in 0..1."""
    return guided_filter(out, pictures, FILTER["radius"], 4 * FILTER["epsilon"])


class Conv2d(nn.Conv2d):
    """On a CPU, a convolution's result and the gradient of its input have channels last, where GroupNorm's backward takes
    thirty times as long."""

    def forward(self, x):
        if x.requires_grad:
            x = x.view_as(x)
            x.register_hook(torch.Tensor.contiguous)
        return super().forward(x).contiguous()


def group_norm(groups, channels, eps):
    return nn.GroupNorm(groups, channels, eps=eps)


class Resnet(nn.Module):
    def __init__(self, into, out, groups, eps):
        super().__init__()
        self.norm1, self.conv1 = group_norm(groups, into, eps), Conv2d(into, out, 3, padding=1)
        self.norm2, self.conv2 = group_norm(groups, out, eps), Conv2d(out, out, 3, padding=1)
        if into != out:
            self.conv_shortcut = Conv2d(into, out, 1)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x):
        y = self.conv1(F.silu(self.norm1(x)))
        y = self.conv2(F.silu(self.norm2(y)))
        return (self.conv_shortcut(x) if hasattr(self, "conv_shortcut") else x) + y


class Resample(nn.Module):
    def __init__(self, channels, how):
        super().__init__()
        self.how = how
        self.conv = Conv2d(channels, channels, 3, 1 if how == "up" else 2, padding=0 if how == "down, vae" else 1)

    def forward(self, x):
        if self.how == "up":
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
        elif self.how == "down, vae":
            x = F.pad(x, (0, 1, 0, 1))
        return self.conv(x)


def tokens(x):
    return x.flatten(2).transpose(1, 2)


def pictures(x, like):
    return x.transpose(1, 2).reshape(like.shape)


def attend(q, k, v, heads):
    """[B, n, C], [B, m, C], [B, m, Cv] -> [B, heads, n, Cv / heads]"""
    return softmax_attention(*(t.unflatten(2, (heads, -1)).transpose(1, 2) for t in (q, k, v)))


def joined(x):
    return x.transpose(1, 2).flatten(2)


# --------------------------------------------------------------------------------------------------- UNet


class Attention(nn.Module):
    def __init__(self, channels, context=None):
        super().__init__()
        self.heads = channels // HEAD
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(context or channels, channels, bias=False)
        self.to_v = nn.Linear(context or channels, channels, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])
        if context is None:
            # Attention starts as a similarity; otherwise it ignores the support during most of the training.
            nn.init.orthogonal_(self.to_q.weight)
            self.to_k.weight.data.copy_(self.to_q.weight.data)

    def forward(self, x, context=None):
        context = x if context is None else context
        return self.to_out[0](joined(attend(self.to_q(x), self.to_k(context), self.to_v(context), self.heads)))

    def support(self, x):
        """As above; keys and values also go to the bank."""
        k, v = self.to_k(x), self.to_v(x)
        return self.to_out[0](joined(attend(self.to_q(x), k, v, self.heads))), (k, v)

    def query(self, x, bank, mask):
        """Attends over its own keys and values and the bank's. Also returns the attention to the supports' masks:
        [B, n] of (on the mask, on the supports), the mean over heads."""
        k, v = torch.cat([self.to_k(x), bank[0]], 1), torch.cat([self.to_v(x), bank[1]], 1)
        own = x.shape[1]
        # The mask and a one are two more channels of the values.
        more = F.pad(torch.stack([mask, torch.ones_like(mask)], -1).to(v.dtype), (0, 0, own, 0))
        heads = self.heads
        v = torch.cat([v.unflatten(2, (heads, -1)), more[:, :, None].expand(-1, -1, heads, -1)], -1).flatten(2)
        out = attend(self.to_q(x), k, v, heads)
        carried = out[..., HEAD:].float().mean(1)
        return self.to_out[0](joined(out[..., :HEAD])), carried


class Geglu(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.proj = nn.Linear(channels, 8 * channels)

    def forward(self, x):
        x, gate = self.proj(x).chunk(2, -1)
        return x * F.gelu(gate)


class FeedForward(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.net = nn.ModuleList([Geglu(channels), nn.Identity(), nn.Linear(4 * channels, channels)])

    def forward(self, x):
        return self.net[2](self.net[0](x))


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.norm1, self.attn1 = nn.LayerNorm(channels), Attention(channels)
        self.norm2, self.attn2 = nn.LayerNorm(channels), Attention(channels, CONTEXT)
        self.norm3, self.ff = nn.LayerNorm(channels), FeedForward(channels)

    def forward(self, x, prompt, run):
        x = x + run.attention(self.attn1, self.norm1(x))
        x = x + self.attn2(self.norm2(x), prompt)
        return x + self.ff(self.norm3(x))


class Transformer(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.norm = group_norm(UNET_GROUPS, channels, 1e-6)
        self.proj_in = nn.Linear(channels, channels)
        self.transformer_blocks = nn.ModuleList([Block(channels)])
        self.proj_out = nn.Linear(channels, channels)
        nn.init.zeros_(self.proj_out.weight)

    def forward(self, x, prompt, run):
        y = self.proj_in(tokens(self.norm(x)))
        y = self.proj_out(self.transformer_blocks[0](y, prompt.expand(x.shape[0], -1, -1), run))
        return x + pictures(y, x)


class Stage(nn.Module):
    """One level on the way down or up, or the middle: resnets, each followed by a transformer."""

    def __init__(self, channels, attentions, resample=None):
        super().__init__()
        self.resnets = nn.ModuleList([Resnet(i, o, UNET_GROUPS, 1e-5) for i, o in channels])
        self.attentions = nn.ModuleList([Transformer(channels[-1][1]) for _ in range(attentions)])
        if resample == "down":
            self.downsamplers = nn.ModuleList([Resample(channels[-1][1], "down")])
        elif resample == "up":
            self.upsamplers = nn.ModuleList([Resample(channels[-1][1], "up")])


class Support:
    """The support pass: every attn1 stores its keys and values."""

    def __init__(self):
        self.bank = []

    def attention(self, attn, x):
        out, kv = attn.support(x)
        self.bank.append(kv)
        return out


class Query:
    """The query pass. `supports` [E, N] selects the N supports of each of E queries; `masks` [E, 1, S, S] in 0..1."""

    def __init__(self, bank, supports, masks):
        self.bank, self.supports, self.masks, self.carried = iter(bank), supports, masks, []

    def attention(self, attn, x):
        picked = lambda t: t[self.supports].flatten(1, 2)
        side = round(x.shape[1] ** 0.5)
        mask = F.adaptive_avg_pool2d(self.masks, side).flatten(1)
        out, carried = attn.query(x, [picked(t) for t in next(self.bank)], picked(mask))
        self.carried.append(carried)
        return out


class Unet(nn.Module):
    def __init__(self):
        super().__init__()
        w = UNET_WIDTHS
        self.conv_in = Conv2d(LATENT, w[0], 3, padding=1)
        self.conv_in_ref = Conv2d(2 * LATENT, w[0], 3, padding=1)
        with torch.no_grad():
            # Query and support start in the same space.
            self.conv_in_ref.weight[:, :LATENT] = self.conv_in.weight
            self.conv_in_ref.bias.copy_(self.conv_in.bias)
        last = len(w) - 1
        self.down_blocks = nn.ModuleList(
            [Stage([(w[max(i - 1, 0)], w[i])], 1, "down" if i < last else None) for i in range(len(w))]
        )
        self.mid_block = Stage([(w[-1], w[-1]), (w[-1], w[-1])], 1)
        skips = [w[0]] + [c for i in range(len(w)) for c in ([w[i]] * 2 if i < last else [w[i]])]
        self.up_blocks = nn.ModuleList()
        into = w[-1]
        for i in reversed(range(len(w))):
            channels = []
            for _ in range(2):
                channels.append((into + skips.pop(), w[i]))
                into = w[i]
            self.up_blocks.append(Stage(channels, 2, "up" if i else None))
        self.conv_norm_out = group_norm(UNET_GROUPS, w[0], 1e-5)
        self.conv_out = Conv2d(w[0], LATENT, 3, padding=1)

    def forward(self, x, prompt, run):
        """Returns v and the features for the classification head, coarse to fine."""
        skips, features = [x], []
        for stage in self.down_blocks:
            x = stage.attentions[0](stage.resnets[0](x), prompt, run)
            skips.append(x)
            if hasattr(stage, "downsamplers"):
                x = stage.downsamplers[0](x)
                skips.append(x)
        x = self.mid_block.attentions[0](self.mid_block.resnets[0](x), prompt, run)
        x = self.mid_block.resnets[1](x)
        features.append(x)
        for stage in self.up_blocks:
            for resnet, attention in zip(stage.resnets, stage.attentions):
                x = attention(resnet(torch.cat([x, skips.pop()], 1)), prompt, run)
            features.append(x)
            if hasattr(stage, "upsamplers"):
                x = stage.upsamplers[0](x)
        return self.conv_out(F.silu(self.conv_norm_out(x))), features


# --------------------------------------------------------------------------------------------------- VAE


class VaeAttention(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.group_norm = group_norm(VAE_GROUPS, channels, 1e-6)
        self.to_q, self.to_k, self.to_v = (nn.Linear(channels, channels) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def forward(self, x):
        y = tokens(self.group_norm(x))
        y = self.to_out[0](joined(attend(self.to_q(y), self.to_k(y), self.to_v(y), 1)))
        return x + pictures(y, x)


class VaeMiddle(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.resnets = nn.ModuleList([Resnet(channels, channels, VAE_GROUPS, 1e-6) for _ in range(2)])
        self.attentions = nn.ModuleList([VaeAttention(channels)])

    def forward(self, x):
        return self.resnets[1](self.attentions[0](self.resnets[0](x)))


class VaeStage(nn.Module):
    def __init__(self, into, out, resnets, resample):
        super().__init__()
        self.resnets = nn.ModuleList([Resnet(into if i == 0 else out, out, VAE_GROUPS, 1e-6) for i in range(resnets)])
        if resample == "down":
            self.downsamplers = nn.ModuleList([Resample(out, "down, vae")])
        elif resample == "up":
            self.upsamplers = nn.ModuleList([Resample(out, "up")])

    def forward(self, x):
        for resnet in self.resnets:
            x = resnet(x)
        for resample in [*getattr(self, "downsamplers", []), *getattr(self, "upsamplers", [])]:
            x = resample(x)
        return x


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        w = VAE_WIDTHS
        self.conv_in = Conv2d(3, w[0], 3, padding=1)
        stages = [VaeStage(w[max(i - 1, 0)], w[i], 1, "down" if i < len(w) - 1 else None) for i in range(len(w))]
        self.down_blocks = nn.ModuleList(stages)
        self.mid_block = VaeMiddle(w[-1])
        self.conv_norm_out = group_norm(VAE_GROUPS, w[-1], 1e-6)
        self.conv_out = Conv2d(w[-1], 2 * LATENT, 3, padding=1)

    def forward(self, x):
        x = self.conv_in(x)
        for stage in self.down_blocks:
            x = stage(x)
        return self.conv_out(F.silu(self.conv_norm_out(self.mid_block(x))))


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        w = VAE_WIDTHS[::-1]
        self.conv_in = Conv2d(LATENT, w[0], 3, padding=1)
        self.mid_block = VaeMiddle(w[0])
        stages = [VaeStage(w[max(i - 1, 0)], w[i], 2, "up" if i < len(w) - 1 else None) for i in range(len(w))]
        self.up_blocks = nn.ModuleList(stages)
        self.conv_norm_out = group_norm(VAE_GROUPS, w[-1], 1e-6)
        self.conv_out = Conv2d(w[-1], 3, 3, padding=1)

    def forward(self, x):
        x = self.mid_block(self.conv_in(x))
        for stage in self.up_blocks:
            x = stage(x)
        return self.conv_out(F.silu(self.conv_norm_out(x)))


class Vae(nn.Module):
    """With a scaling factor of 1."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = Encoder(), Decoder()
        self.quant_conv, self.post_quant_conv = Conv2d(2 * LATENT, 2 * LATENT, 1), Conv2d(LATENT, LATENT, 1)

    def encode(self, x):
        return self.quant_conv(self.encoder(x))[:, :LATENT]

    def decode(self, latent):
        return self.decoder(self.post_quant_conv(latent))


class DiffewS(nn.Module):
    def __init__(self):
        super().__init__()
        self.unet, self.vae = Unet(), Vae()
        self.prompt_embeds = nn.Parameter(torch.randn(2, CONTEXT))

    def forward(self, images, masks, image_of, supports):
        """images [I, 3, S, S] in -1..1; masks [E, 1, S, S] in 0..1, for image image_of[e]; episode e segments that image
        with the N pictures and masks of the episodes supports[e].

        Returns the decoder's mean over its channels [E, S, S]; per attn1 [E, tokens, 2] of Attention.query; features of
        the query pass and of the support pass."""
        latents = self.vae.encode(images)[image_of]
        of_masks = self.vae.encode((2 * masks - 1).expand(-1, 3, -1, -1))
        support = Support()
        _, seen = self.unet(self.unet.conv_in_ref(torch.cat([latents, of_masks], 1)), self.prompt_embeds, support)
        query = Query(support.bank, supports, masks)
        v, features = self.unet(self.unet.conv_in(latents), self.prompt_embeds, query)
        return self.vae.decode(-v).mean(1), query.carried, features, seen
