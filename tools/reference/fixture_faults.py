"""Shows that the fixtures detect faults: breaks the reference on purpose and prints how far the map moves.

    python fixture_faults.py [NAME ...]

Every fault must move the map by more than twice the bound of the f32 comparison (1e-5). The controls (supports in
another order, the prompt's tokens exchanged: attention is invariant to order) must not move it.
"""

import json
import sys

import torch
import torch.nn.functional as F
from diffusers.models.activations import GEGLU
from diffusers.models.downsampling import Downsample2D
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from safetensors.torch import load_file
from torch import nn

import diffews
from diffews import DiffewS
from fixture_configs import CASES, MODELS
from make_fixtures import GOLDEN, relative

BOUND = 1e-5


def set_eps(modules, eps):
    for module in modules:
        assert module.eps != eps
        module.eps = eps


def norms(model, kind):
    resnets = [m for m in model.unet.modules() if isinstance(m, ResnetBlock2D)]
    return {
        "vae": [m for m in model.vae.modules() if isinstance(m, nn.GroupNorm)],
        "resnet": [n for m in resnets for n in (m.norm1, m.norm2)],
        "out": [model.unet.conv_norm_out],
        "transformer": [m.norm for m in model.unet.modules() if isinstance(m, Transformer2DModel)],
        "layer": [m for m in model.unet.modules() if isinstance(m, nn.LayerNorm)],
    }[kind]


def swap_bank(model, _supports):
    class Swapped(diffews.BankAttention):
        def __call__(self, *args, **kwargs):
            if self.querying:
                self.bank = [(v, k) for k, v in self.bank]
            return super().__call__(*args, **kwargs)

    for module in model.unet.modules():
        if isinstance(getattr(module, "processor", None), diffews.BankAttention):
            module.processor.__class__ = Swapped


def tanh_gelu(model, _supports):
    for module in model.unet.modules():
        if isinstance(module, GEGLU):
            module.gelu = lambda x: F.gelu(x, approximate="tanh")


def pad_left(model, _supports):
    for module in model.vae.encoder.modules():
        if isinstance(module, Downsample2D):
            module.register_forward_pre_hook(lambda _m, args: (torch.roll(args[0], (1, 1), (2, 3)),))


def swap_latents(model, _supports):
    add = model.add_support
    model.add_support = lambda image, mask: add(mask, image)


def swap_heads(model, _supports):
    """Heads interleaved instead of one after the other."""
    diffews_split = diffews.split_heads
    diffews.split_heads = lambda t, heads: diffews_split(t.unflatten(2, (-1, heads)).transpose(2, 3).flatten(2), heads)
    return lambda: setattr(diffews, "split_heads", diffews_split)


def another_timestep(_model, _supports):
    diffews.TIMESTEP = 0
    return lambda: setattr(diffews, "TIMESTEP", 1)


FAULTS = {
    "VAE norms: eps 1e-5 for 1e-6": lambda m, s: set_eps(norms(m, "vae"), 1e-5),
    "resnet norms: eps 10 times smaller": lambda m, s: set_eps(norms(m, "resnet"), m.unet.config.norm_eps / 10),
    "conv_norm_out: eps 100 times larger": lambda m, s: set_eps(norms(m, "out"), m.unet.config.norm_eps * 100),
    "transformer group norms: eps 1e-5 for 1e-6": lambda m, s: set_eps(norms(m, "transformer"), 1e-5),
    "layer norms: eps 1e-6 for 1e-5": lambda m, s: set_eps(norms(m, "layer"), 1e-6),
    "bank: K and V exchanged": swap_bank,
    "bank: last support missing": lambda m, s: s.pop(),
    "heads interleaved": swap_heads,
    "GEGLU: tanh approximation": tanh_gelu,
    "VAE stride-2: picture shifted by one": pad_left,
    "conv_in_ref: mask before image": swap_latents,
    "timestep 0 for 1": another_timestep,
    "prompt: off by 1 %": lambda m, s: setattr(m, "prompt", m.prompt * 1.01),
    "mask ignored": lambda m, s: [pair.__setitem__(1, pair[0]) for pair in s],
    "control: supports in reverse order": lambda m, s: s.reverse(),
    "control: the prompt's two tokens exchanged": lambda m, s: setattr(m, "prompt", m.prompt.flip(1)),
}


def main():
    torch.set_num_threads(2)
    missed = 0
    for name in sys.argv[1:] or CASES:
        directory, spec = GOLDEN / name, MODELS[CASES[name]["model"]]
        fixture = json.loads((directory / "fixture.json").read_text())
        expected = load_file(directory / "expected.safetensors")["map"]
        print(name)
        for title, fault in FAULTS.items():
            if title == "heads interleaved" and spec["unet"]["attention_head_dim"] == 1:
                continue  # one head: nothing to mix up
            unet = directory / fixture["unet"] if "unet" in fixture else None
            model = DiffewS(directory / fixture["weights"], unet, torch.float64)
            supports = [[directory / path for path in pair] for pair in fixture["supports"]]
            undo = fault(model, supports)
            moved = relative(model.segment(supports, directory / fixture["query"], spec["size"]), expected)
            if callable(undo):
                undo()
            caught = moved < BOUND / 3 if title.startswith("control") else moved > 2 * BOUND
            missed += not caught
            print(f"  {title:45s} {moved:.1e}{'' if caught else '   NOT AS EXPECTED'}")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
