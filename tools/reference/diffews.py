"""DiffewS (Zhu et al., NeurIPS 2024, arXiv 2410.02369): the forward pass in PyTorch.

The layers are diffusers' and transformers' own; this file adds DiffewS's parts: the second input convolution
`conv_in_ref`, the bank of self-attention keys and values, and the single noise-free step. It produces numbers
for comparison, and is never needed to run the Rust program.

    python diffews.py --weights DIR [--unet DIR] [--size S] [--dtype f32|f64]
                      --support IMAGE MASK [--support IMAGE MASK ...] --query IMAGE --output map.npy
"""

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from diffusers.utils import logging as diffusers_logging
from guided_filter import guided_filter
from PIL import Image
from safetensors.torch import load_file
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

diffusers_logging.set_verbosity_error()

EMPTY_PROMPT = [[49406, 49407]]  # <|startoftext|>, <|endoftext|>: not padded
TIMESTEP = 1


# ---------------------------------------------------------------------------------------------- weights on disk


def read_json(path):
    return json.loads(Path(path).read_text(encoding="utf-8"))


def load_tensors(directory, stem):
    """All tensors of `stem` in a directory: plain, with a variant name (stem.fp16.safetensors), or sharded."""
    directory = Path(directory)
    plain = directory / f"{stem}.safetensors"
    if plain.exists():
        return load_file(plain)
    for index in sorted(directory.glob(f"{stem}.safetensors.index*.json")):
        shards = sorted(set(read_json(index)["weight_map"].values()))
        return {name: t for shard in shards for name, t in load_file(directory / shard).items()}
    variants = [p for p in sorted(directory.glob(f"{stem}.*.safetensors"))]
    if len(variants) != 1:
        raise SystemExit(f"{directory}: expected {stem}.safetensors, its index or one variant, found {variants}")
    return load_file(variants[0])


def fill(module, tensors, dtype):
    """Strict load from any element type in the file; every stored value is exact in f32 and f64.

    The module may have been built on the meta device: it takes over the converted tensors, so there is only one copy.
    """
    module.load_state_dict({k: v.to(dtype) for k, v in tensors.items()}, strict=True, assign=True)
    return module.eval().requires_grad_(False)


def config_for(cls, path):
    """The keys of a config.json that diffusers' class knows; DiffewS's own extras are dropped."""
    known = set(cls._get_init_keys(cls))
    return {k: v for k, v in read_json(path).items() if k in known}


def load_unet(directory, dtype):
    config = read_json(Path(directory) / "config.json")
    tensors = load_tensors(directory, "diffusion_pytorch_model")
    with torch.device("meta"):
        unet = UNet2DConditionModel(**config_for(UNet2DConditionModel, Path(directory) / "config.json"))
        unet.conv_in_ref = nn.Conv2d(
            config["in_channels_ref"],
            config["block_out_channels"][0],
            kernel_size=unet.conv_in.kernel_size,
            padding=unet.conv_in.padding,
        )
    fill(unet, tensors, dtype)
    if dtype == torch.float64:
        unet.time_proj = ExactTimesteps(unet.config)
    return unet


OLD_VAE_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def load_vae(directory, dtype):
    with torch.device("meta"):
        vae = AutoencoderKL(**config_for(AutoencoderKL, Path(directory) / "config.json"))
    tensors = {}
    for name, tensor in load_tensors(directory, "diffusion_pytorch_model").items():
        for old, new in OLD_VAE_ATTENTION.items():
            name = name.replace(f".attentions.0.{old}.", f".attentions.0.{new}.")
        tensors[name] = tensor
    return fill(vae, tensors, dtype)


def load_prompt(directory, dtype):
    """The text encoder's last hidden states of the empty prompt, [1, 2, D]."""
    stored = Path(directory) / "empty_prompt.safetensors"
    if stored.exists():
        return load_file(stored)["prompt_embeds"].to(dtype)[None]
    directory = Path(directory) / "text_encoder"
    encoder = CLIPTextModel(CLIPTextConfig(**read_json(directory / "config.json")))
    tensors = {
        name.removeprefix("text_model."): tensor
        for name, tensor in load_tensors(directory, "model").items()
        if not name.endswith("position_ids")  # a buffer in old exports
    }
    fill(encoder, tensors, dtype)
    return encoder(torch.tensor(EMPTY_PROMPT)).last_hidden_state


class ExactTimesteps(nn.Module):
    """The timestep sinusoid in f64; diffusers computes it in f32 whatever the model's type."""

    def __init__(self, config):
        super().__init__()
        self.dim, self.shift, self.flip = config.block_out_channels[0], config.freq_shift, config.flip_sin_to_cos

    def forward(self, timesteps):
        half = self.dim // 2
        frequency = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float64) / (half - self.shift))
        angle = timesteps.double()[:, None] * frequency[None]
        halves = [angle.cos(), angle.sin()] if self.flip else [angle.sin(), angle.cos()]
        return F.pad(torch.cat(halves, dim=-1), (0, self.dim % 2))


# ---------------------------------------------------------------------------------------------- preprocessing


def image_tensor(path, size, dtype):
    """RGB, resized on uint8 by PIL's antialiased bilinear filter, scaled to [-1, 1]: [1, 3, S, S]."""
    image = Image.open(path).convert("RGB").resize((size, size), Image.BILINEAR)
    pixels = torch.from_numpy(np.array(image)).to(dtype)
    return (pixels / 255 * 2 - 1).permute(2, 0, 1)[None]


def nearest_rows(length, size):
    """Source index of each of `size` targets: floor(target * length / size), in integers."""
    return np.arange(size) * length // size


def mask_tensor(path, size, dtype):
    """Binary (>= half of white is foreground), nearest to S x S, -1/+1, on 3 channels: [1, 3, S, S]."""
    mask = np.array(Image.open(path).convert("L")) >= 128
    mask = mask[nearest_rows(mask.shape[0], size)][:, nearest_rows(mask.shape[1], size)]
    signs = torch.from_numpy(mask).to(dtype) * 2 - 1
    return signs[None, None].repeat(1, 3, 1, 1)


# ---------------------------------------------------------------------------------------------- the bank


class BankAttention:
    """Self-attention that stores K and V in `bank` (support pass) or also attends over the bank (query pass)."""

    def __init__(self):
        self.bank = []  # one (K, V) of [1, tokens, heads * head_dim] per support
        self.querying = False

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None):
        q, k, v = attn.to_q(hidden_states), attn.to_k(hidden_states), attn.to_v(hidden_states)
        if self.querying:
            k = torch.cat([k] + [bank_k for bank_k, _ in self.bank], dim=1)
            v = torch.cat([v] + [bank_v for _, bank_v in self.bank], dim=1)
        else:
            self.bank.append((k, v))
        out = F.scaled_dot_product_attention(*(split_heads(t, attn.heads) for t in (q, k, v)))
        out = out.transpose(1, 2).flatten(2)
        return attn.to_out[0](out)


def split_heads(tokens, heads):
    batch, length, width = tokens.shape
    return tokens.view(batch, length, heads, width // heads).transpose(1, 2)


# ---------------------------------------------------------------------------------------------- the model


def settings(weights):
    path = Path(weights) / "diffews.json"
    return read_json(path) if path.exists() else {}


class DiffewS:
    def __init__(self, weights, unet=None, dtype=torch.float32):
        weights = Path(weights)
        self.dtype = dtype
        self.vae = load_vae(weights / "vae", dtype)
        self.unet = load_unet(unet or weights / "unet", dtype)
        self.prompt = load_prompt(weights, dtype)
        self.scale = self.vae.config.scaling_factor
        self.guided_filter = settings(weights).get("guided_filter")
        self.processors = {}
        for name, module in self.unet.named_modules():
            if name.endswith(".attn1"):
                module.processor = self.processors[name] = BankAttention()

    def encode(self, pixels):
        moments = self.vae.quant_conv(self.vae.encoder(pixels))
        mean, _logvar = moments.chunk(2, dim=1)
        return mean * self.scale

    def run_unet(self, latent):
        return self.unet(latent, TIMESTEP, encoder_hidden_states=self.prompt).sample

    def add_support(self, image_latent, mask_latent):
        conv_in = self.unet.conv_in
        self.unet.conv_in = self.unet.conv_in_ref
        try:
            self.run_unet(torch.cat([image_latent, mask_latent], dim=1))
        finally:
            self.unet.conv_in = conv_in

    def query(self, latent):
        for processor in self.processors.values():
            processor.querying = True
        v = self.run_unet(latent)
        for processor in self.processors.values():
            processor.querying = False
        return v

    def clear_bank(self):
        for processor in self.processors.values():
            processor.bank.clear()

    def decode(self, latent):
        return self.vae.decoder(self.vae.post_quant_conv(latent / self.scale))

    @torch.no_grad()
    def segment(self, supports, query, size, trace=None):
        """supports: [(image path, mask path)]; returns the [S, S] map in [0, 1]. `trace` collects intermediates."""
        trace = trace or Trace()
        self.clear_bank()
        trace.put("prompt_embeds", self.prompt[0])
        for i, (image, mask) in enumerate(supports):
            image_latent = self.encode(image_tensor(image, size, self.dtype))
            mask_latent = self.encode(mask_tensor(mask, size, self.dtype))
            trace.put(f"latent.support_{i}.image", image_latent)
            trace.put(f"latent.support_{i}.mask", mask_latent)
            with trace.following(self.unet, f"support_{i}."):
                self.add_support(image_latent, mask_latent)
            for name, processor in self.processors.items():
                k, v = processor.bank[i]
                trace.put(f"support_{i}.{name}.k", k, trace.grid.get(name))
                trace.put(f"support_{i}.{name}.v", v, trace.grid.get(name))

        pixels = image_tensor(query, size, self.dtype)
        trace.put("input.query", pixels)
        with trace.following(self.vae.encoder, "vae.encoder."), trace.following(self.vae.quant_conv, "vae.quant_conv"):
            latent = self.encode(pixels)
        trace.put("latent.query", latent)
        with trace.following(self.unet, "query."):
            v = self.query(latent)
        trace.put("query.v", v)
        # DDIM's one step with alpha_bar = 0: sqrt(0) * x - sqrt(1 - 0) * v
        with (
            trace.following(self.vae.decoder, "vae.decoder."),
            trace.following(self.vae.post_quant_conv, "vae.post_quant_conv"),
        ):
            decoded = self.decode(-v)
        trace.put("decoder", decoded)
        drawn = decoded.clamp(-1, 1).mean(dim=1)
        if self.guided_filter and self.guided_filter["radius"]:
            # Its epsilon is for colours in 0 to 1, whose variances are a quarter of these.
            drawn = guided_filter(drawn, pixels, self.guided_filter["radius"], 4 * self.guided_filter["epsilon"])
        result = (drawn.clamp(-1, 1) * 0.5 + 0.5)[0]
        trace.put("map", result)
        return result


# ---------------------------------------------------------------------------------------------- intermediates


class Trace:
    """Outputs by module path, channels last: [H, W, C] for pictures and tokens alike. Without `keep` nothing is kept."""

    def __init__(self, keep=None):
        self.keep = keep or (lambda name, tensor: False)
        self.tensors = {}
        self.grid = {}  # attn1 path -> (H, W) of its tokens

    def put(self, name, tensor, grid=None):
        if tensor.ndim == 4:
            tensor = tensor[0].permute(1, 2, 0)
        elif tensor.ndim == 3:
            tensor = tensor[0]
            if grid is not None and tensor.shape[0] == grid[0] * grid[1]:  # excludes attn2's K and V, which are text
                tensor = tensor.reshape(*grid, -1)
        if self.keep(name, tensor):
            self.tensors[name] = tensor.detach().to(torch.float32).contiguous().clone()

    def following(self, module, prefix):
        return Following(self, module, prefix)


class Following:
    """Hooks on every submodule for one pass."""

    def __init__(self, trace, module, prefix):
        self.trace, self.module, self.prefix = trace, module, prefix

    def __enter__(self):
        self.handles = []
        for name, module in self.module.named_modules():
            if isinstance(module, Transformer2DModel):
                self.handles.append(module.register_forward_pre_hook(self.note_grid(name, module), with_kwargs=True))
            if name or isinstance(self.module, nn.Conv2d):
                self.handles.append(module.register_forward_hook(self.record(name)))

    def __exit__(self, *_):
        for handle in self.handles:
            handle.remove()

    def note_grid(self, name, module):
        inner = [f"{name}.{child}" for child, _ in module.named_modules()]

        def hook(_module, args, kwargs):
            states = args[0] if args else kwargs["hidden_states"]
            self.trace.grid.update({path: tuple(states.shape[2:]) for path in inner})

        return hook

    def record(self, name):
        def hook(_module, _args, output):
            tensor = output[0] if isinstance(output, tuple) else output
            if isinstance(tensor, torch.Tensor):
                self.trace.put(self.prefix + name, tensor, self.trace.grid.get(name))

        return hook


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--unet", help="directory of a fine-tuned unet (default: WEIGHTS/unet)")
    parser.add_argument("--size", type=int, help="default: WEIGHTS/diffews.json, else 512")
    parser.add_argument("--dtype", choices=["f32", "f64"], default="f32")
    parser.add_argument("--support", nargs=2, action="append", required=True, metavar=("IMAGE", "MASK"))
    parser.add_argument("--query", required=True)
    parser.add_argument("--output", required=True, help="map.npy: [S, S] in [0, 1], float32")
    args = parser.parse_args()

    size = args.size or settings(args.weights).get("size", 512)
    model = DiffewS(args.weights, args.unet, {"f32": torch.float32, "f64": torch.float64}[args.dtype])
    start = time.time()
    result = model.segment(args.support, args.query, size)
    np.save(args.output, result.to(torch.float32).numpy())
    print(f"{args.output}: {size} x {size}, {len(args.support)} support(s), {time.time() - start:.1f} s")


if __name__ == "__main__":
    main()
