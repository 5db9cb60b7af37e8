"""Random checkpoints in the diffusers layout, drawn such that mistakes show.

Norm weights lie around 1 with spread, biases are not zero, attention logits have a standard deviation near 1.5 (the
softmax is neither flat nor one-hot), and the residual streams are kept near 0.1 to 0.2: a variance of 0.02 under a norm
makes a wrong epsilon (1e-5 for 1e-6) a relative change of 2e-4, far above any bound on rounding.
"""

import json
import zlib

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save_file
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

STREAM = 0.05  # standard deviation of a convolution's contribution to a residual stream
VOCABULARY = 49408

# layers that write to a residual stream, or directly feed a norm
INTO_STREAM = (
    "conv_in", "conv_in_ref", "conv1", "conv2", "conv_shortcut", "time_emb_proj", "downsamplers.0.conv",
    "upsamplers.0.conv", "proj_in", "fc2",
)  # fmt: skip
ATTENTION = ("to_q", "to_k", "q_proj", "k_proj")
MIXED = ("to_out.0", "out_proj")  # attention averages, so its output is smaller than the values: more gain
KEEPS_SCALE = ("conv_shortcut", "downsamplers.0.conv", "upsamplers.0.conv")  # their input is already a stream


def gain_of(path):
    """Standard deviation of a layer's output, relative to its input's, and of its bias."""
    if path.endswith(KEEPS_SCALE):
        return 1.0, 0.2 * STREAM
    if path.endswith("proj_out"):
        return 0.4, 0.3 * STREAM
    if path.endswith(MIXED):
        return 3 * STREAM, 0.3 * STREAM
    if path.endswith("ff.net.0.proj"):  # large enough for the two kinds of GELU to differ
        return 1.6, 0.2
    if path.endswith("ff.net.2"):
        return 1.5 * STREAM, 0.3 * STREAM
    if path == "decoder.conv_in":  # its latents are divided by the scaling factor
        return 0.3 * STREAM, 0.3 * STREAM
    if path.endswith(INTO_STREAM):
        return 1.5 * STREAM, 0.3 * STREAM
    if path.endswith(ATTENTION):
        return 1.2, 0.2
    return 1.2, 0.2


def draw(seed, path, shape):
    """Normally distributed numbers that depend only on the seed and the tensor's name, not on the order of drawing."""
    generator = np.random.default_rng([seed, zlib.crc32(path.encode())])
    return torch.from_numpy(generator.standard_normal(tuple(shape), dtype=np.float32))


def lively(module, seed, dtype=torch.float32):
    """name -> tensor for every parameter of a module, drawn in f32 and stored as `dtype`."""
    tensors = {}
    for path, child in module.named_modules():
        parameters = dict(child.named_parameters(recurse=False))
        if isinstance(child, (nn.GroupNorm, nn.LayerNorm)):
            tensors[f"{path}.weight"] = 1 + 0.2 * draw(seed, f"{path}.weight", child.weight.shape)
            tensors[f"{path}.bias"] = 0.2 * draw(seed, f"{path}.bias", child.bias.shape)
        elif isinstance(child, (nn.Conv2d, nn.Linear)):
            gain, bias = gain_of(path)
            fan_in = child.weight[0].numel()
            tensors[f"{path}.weight"] = draw(seed, f"{path}.weight", child.weight.shape) * gain / fan_in**0.5
            if child.bias is not None:
                tensors[f"{path}.bias"] = draw(seed, f"{path}.bias", child.bias.shape) * bias
        elif isinstance(child, nn.Embedding):
            table = torch.zeros(child.weight.shape)
            rows = slice(VOCABULARY - 2, None) if table.shape[0] == VOCABULARY else slice(None)
            table[rows] = STREAM * draw(seed, f"{path}.weight", table[rows].shape)
            tensors[f"{path}.weight"] = table
        elif parameters:
            raise SystemExit(f"{path}: no rule for parameters {sorted(parameters)}")
        for name in parameters:
            tensors[f"{path}.{name}"] = tensors[f"{path}.{name}"].to(dtype)
    return tensors


# ---------------------------------------------------------------------------------------------- the three networks


def unet_tensors(config, seed, dtype=torch.float32):
    known = {k: v for k, v in config.items() if k in UNet2DConditionModel._get_init_keys(UNet2DConditionModel)}
    with torch.device("meta"):
        unet = UNet2DConditionModel(**known)
        if "in_channels_ref" in config:
            unet.conv_in_ref = nn.Conv2d(config["in_channels_ref"], config["block_out_channels"][0], 3, padding=1)
    return lively(unet, seed, dtype)


def vae_tensors(config, seed, dtype=torch.float32):
    known = {k: v for k, v in config.items() if k in AutoencoderKL._get_init_keys(AutoencoderKL)}
    with torch.device("meta"):
        vae = AutoencoderKL(**known)
    return lively(vae, seed, dtype)


def text_tensors(config, seed, dtype=torch.float32):
    """As published: under `text_model.`, with the position_ids buffer of old exports."""
    with torch.device("meta"):
        encoder = CLIPTextModel(CLIPTextConfig(**config))
    tensors = {f"text_model.{k}": v for k, v in lively(encoder, seed, dtype).items()}
    tensors["text_model.embeddings.position_ids"] = torch.arange(config["max_position_embeddings"])[None]
    return tensors


def prompt_tensors(width, seed):
    return {"prompt_embeds": draw(seed, "prompt_embeds", (2, width))}


OLD_VAE_ATTENTION = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def old_vae_names(tensors):
    """The names under which the VAE of the Stable Diffusion releases was published."""
    renamed = {}
    for name, tensor in tensors.items():
        for new, old in OLD_VAE_ATTENTION.items():
            name = name.replace(f".attentions.0.{new}.", f".attentions.0.{old}.")
        renamed[name] = tensor
    return renamed


def save(directory, stem, config, tensors, dtype, variant=None, shards=1):
    """config.json and the tensors, rounded to `dtype`; integers stay as they are."""
    directory.mkdir(parents=True, exist_ok=True)
    if config is not None:
        (directory / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    stored = {k: (v.to(dtype) if v.is_floating_point() else v).contiguous() for k, v in tensors.items()}
    variant = f".{variant}" if variant else ""
    if shards == 1:
        save_file(stored, directory / f"{stem}{variant}.safetensors", metadata={"format": "pt"})
        return
    names = sorted(stored)
    parts = [names[len(names) * i // shards : len(names) * (i + 1) // shards] for i in range(shards)]
    weight_map, total = {}, 0
    for i, part in enumerate(parts):
        file = f"{stem}-{i + 1:05d}-of-{shards:05d}.safetensors"
        save_file({name: stored[name] for name in part}, directory / file, metadata={"format": "pt"})
        weight_map.update({name: file for name in part})
        total += sum(stored[name].nbytes for name in part)
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (directory / f"{stem}.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


# ---------------------------------------------------------------------------------------------- output scales


def two_digits(value):
    """Rounded, so that another machine's last bits cannot change the weights."""
    return float(f"{value:.1e}")


@torch.no_grad()
def calibrate(model, vae, unet, supports, query, size):
    """Scales the last layers such that latents and v are near 1, and the picture stays mostly inside [-1, 1].

    `model` is a loaded DiffewS, `vae` and `unet` the tensors that it was loaded from; both are changed in the same way.
    """
    from diffews import image_tensor, mask_tensor

    def scale(layer, tensors, name, factor, shift=None):
        layer.weight.mul_(factor)
        tensors[f"{name}.weight"] *= factor
        layer.bias.mul_(factor)
        tensors[f"{name}.bias"] *= factor
        if shift is not None:
            layer.bias.add_(shift.to(layer.bias.dtype))
            tensors[f"{name}.bias"] += shift.to(tensors[f"{name}.bias"].dtype)

    model.clear_bank()
    query_pixels = image_tensor(query, size, model.dtype)
    spread = model.encode(query_pixels).std().item()
    scale(model.vae.quant_conv, vae, "quant_conv", two_digits(1 / spread))
    for image, mask in supports:
        pair = [model.encode(f(path, size, model.dtype)) for f, path in ((image_tensor, image), (mask_tensor, mask))]
        model.add_support(*pair)
    latent = model.encode(query_pixels)
    v = model.query(latent)
    factor = two_digits(1 / v.std().item())
    scale(model.unet.conv_out, unet, "conv_out", factor)
    picture = model.decode(-v * factor)
    factor = two_digits(0.4 / picture.std(dim=(2, 3)).mean().item())
    centre = torch.tensor([two_digits(-m.item() * factor) for m in picture.mean(dim=(0, 2, 3))], dtype=model.dtype)
    scale(model.vae.decoder.conv_out, vae, "decoder.conv_out", factor, centre)
