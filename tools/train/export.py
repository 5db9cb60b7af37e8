"""Writes a trained model in the diffusers layout, in f16, and checks it against the reference implementation.

    python export.py RUN/last.pt OUTPUT [--mean-with EXPORTED [--share 0.5]] [--size 160] [--absolute-threshold 0.4]
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from model import CONTEXT, FILTER, HEAD, LATENT, UNET_GROUPS, UNET_WIDTHS, VAE_GROUPS, VAE_WIDTHS, DiffewS, refined
from PIL import Image
from safetensors.torch import load_file, save_file

import diffews as reference  # isort: skip (its directory is known from model.py on)

STEM = "diffusion_pytorch_model.safetensors"
LEVELS = len(UNET_WIDTHS)
UNET = {
    "_class_name": "MyUNet2DConditionModel",
    "act_fn": "silu",
    "attention_head_dim": [w // HEAD for w in UNET_WIDTHS],  # by diffusers' old misnomer the number of heads
    "block_out_channels": list(UNET_WIDTHS),
    "center_input_sample": False,
    "cross_attention_dim": CONTEXT,
    "down_block_types": ["CrossAttnDownBlock2D"] * LEVELS,
    "downsample_padding": 1,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "in_channels": LATENT,
    "in_channels_ref": 2 * LATENT,
    "layers_per_block": 1,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-05,
    "norm_num_groups": UNET_GROUPS,
    "out_channels": LATENT,
    "up_block_types": ["CrossAttnUpBlock2D"] * LEVELS,
    "use_linear_projection": True,
}
VAE = {
    "_class_name": "AutoencoderKL",
    "act_fn": "silu",
    "block_out_channels": list(VAE_WIDTHS),
    "down_block_types": ["DownEncoderBlock2D"] * len(VAE_WIDTHS),
    "in_channels": 3,
    "latent_channels": LATENT,
    "layers_per_block": 1,
    "norm_num_groups": VAE_GROUPS,
    "out_channels": 3,
    "scaling_factor": 1.0,
    "up_block_types": ["UpDecoderBlock2D"] * len(VAE_WIDTHS),
}
SCHEDULER = {
    "_class_name": "DDIMScheduler",
    "beta_end": 1.0,
    "beta_schedule": "scaled_linear",
    "beta_start": 1.0,
    "clip_sample": False,
    "num_train_timesteps": 1000,
    "prediction_type": "v_prediction",
    "set_alpha_to_one": False,
    "steps_offset": 1,
}


def with_timestep(tensors):
    """Adds the embedding of the timestep as zeros: training omits it because it is a constant."""
    width = 4 * UNET_WIDTHS[0]
    added = {
        "time_embedding.linear_1.weight": torch.zeros(width, UNET_WIDTHS[0]),
        "time_embedding.linear_1.bias": torch.zeros(width),
        "time_embedding.linear_2.weight": torch.zeros(width, width),
        "time_embedding.linear_2.bias": torch.zeros(width),
    }
    for name, tensor in tensors.items():
        if name.endswith(".conv1.weight"):
            prefix = name.removesuffix("conv1.weight") + "time_emb_proj."
            added[prefix + "weight"], added[prefix + "bias"] = torch.zeros(len(tensor), width), torch.zeros(len(tensor))
    return tensors | added


def under(state, prefix):
    return {name.removeprefix(prefix): t for name, t in state.items() if name.startswith(prefix)}


def exported(directory):
    """The state of a DiffewS from the output of `write`."""
    state = {"prompt_embeds": load_file(directory / "empty_prompt.safetensors")["prompt_embeds"].float()}
    for part in ("unet", "vae"):
        tensors = load_file(directory / part / STEM).items()
        state |= {f"{part}.{name}": t.float() for name, t in tensors if "time_emb" not in name}
    return state


def write(state, output, settings):
    half = lambda tensors: {name: t.half().contiguous() for name, t in sorted(tensors.items())}
    parts = [
        ("unet", UNET, with_timestep(under(state, "unet."))),
        ("vae", VAE, under(state, "vae.")),
        ("scheduler", SCHEDULER, None),
    ]
    for name, config, tensors in parts:
        folder = output / name
        folder.mkdir(parents=True, exist_ok=True)
        file = "config.json" if tensors else "scheduler_config.json"
        (folder / file).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        if tensors:
            save_file(half(tensors), folder / STEM, metadata={"format": "pt"})
    save_file(half({"prompt_embeds": state["prompt_embeds"]}), output / "empty_prompt.safetensors")
    (output / "diffews.json").write_text(json.dumps(settings) + "\n", encoding="utf-8")
    return sum(t.numel() for _, _, tensors in parts for t in (tensors or {}).values())


@torch.no_grad()
def difference(state, output, size):
    """Relative L2 error between the maps of the training code and of the reference, both in f64 with the weights as written."""
    rng = np.random.default_rng(0)
    model = DiffewS().double()
    model.load_state_dict({name: t.half().double() for name, t in state.items()})
    pictures = [rng.integers(0, 256, (size, size, 3), np.uint8) for _ in range(2)]
    mask = np.zeros((size, size), np.uint8)
    mask[size // 4 : size // 2, size // 3 :] = 255
    with tempfile.TemporaryDirectory() as folder:
        support, support_mask, query = (Path(folder) / f"{n}.png" for n in ("support", "mask", "query"))
        for path, pixels in ((support, pictures[0]), (support_mask, mask), (query, pictures[1])):
            Image.fromarray(pixels).save(path)
        expected = reference.DiffewS(output, dtype=torch.float64).segment([(support, support_mask)], query, size)
    images = torch.from_numpy(np.array(pictures)).permute(0, 3, 1, 2).double() / 127.5 - 1
    masks = torch.stack([torch.from_numpy(mask / 255.0), torch.zeros(size, size).double()])[:, None]
    # The map averages three clipped channels, but the model's output has unclipped ones: compare these before clipping.
    raw = []
    model.vae.decoder.conv_out.register_forward_hook(lambda _module, _inputs, out: raw.append(out))
    model(images, masks, torch.tensor([0, 1]), torch.tensor([[1], [0]]))
    found = (refined(raw[0].clamp(-1, 1).mean(1), images)[1].clamp(-1, 1) + 1) / 2
    return ((found - expected).norm() / expected.norm()).item()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--mean-with", type=Path, help="exported weights that this run started from: write the mean of both")
    parser.add_argument("--share", type=float, default=0.5, help="weight of this run in that mean")
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--absolute-threshold", type=float, default=0.4)
    args = parser.parse_args()
    checkpoint = torch.load(args.checkpoint, map_location="cpu", weights_only=True)
    state = checkpoint["average"]
    if args.mean_with:
        start = exported(args.mean_with)
        state = {name: torch.lerp(start[name], t, args.share) for name, t in state.items()}
    settings = {"size": args.size, "absolute_threshold": args.absolute_threshold, "guided_filter": FILTER}
    parameters = write(state, args.output, settings)
    off = difference(state, args.output, args.size)
    print(f"{args.output}: {parameters} parameters after {checkpoint['minutes']:.1f} minutes, {checkpoint['step']} steps")
    print(f"relative L2 from the reference, f64: {off:.2e}")
    if not off < 1e-9:
        raise SystemExit("the reference computes a different result")


if __name__ == "__main__":
    main()
