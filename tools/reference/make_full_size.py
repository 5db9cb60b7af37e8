"""A checkpoint of Stable Diffusion 2.1's shape with random weights, f16, in the diffusers layout; about 2.6 GB.

    python make_full_size.py DIRECTORY [--seed N] [--empty-prompt] [--expected] [--half-storage]

Writes the weights (unless they are there already), support_0.png, support_0_mask.png and query.png, and with --expected
PyTorch's f32 map at 512 x 512 as map.npy. Then, for example:

    diffews-wgpu infer --weights DIRECTORY --support DIRECTORY/support_0.png --mask DIRECTORY/support_0_mask.png \\
        --query DIRECTORY/query.png --probability ours.npy
    python compare.py ours.npy DIRECTORY/map.npy --bound 1e-5
"""

import argparse
import gc
import resource
import time
from pathlib import Path

import numpy as np
import torch

import random_weights as rw
from diffews import DiffewS
from fixture_configs import CROSS, PLAIN, text, unet, vae
from make_fixtures import half_storage, relative, write_scheduler
from pictures import write_episode

SIZE = 512
CALIBRATION_SIZE = 256  # scales hardly depend on the size, and this one is four times cheaper
UNET = unet(
    [320, 640, 1280, 1280], [5, 10, 20, 20], 1024, 32, [CROSS] * 3 + [PLAIN],
    use_linear_projection=True, dual_cross_attention=False, num_class_embeds=None, only_cross_attention=False,
)  # fmt: skip
VAE = vae([128, 256, 512, 512], 32)
TEXT = text(1024, 16, 23, "gelu") | {"projection_dim": 512}


def count(tensors):
    return sum(t.numel() for t in tensors.values() if t.is_floating_point()) / 1e6


def peak_gib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def build(directory, seed, empty_prompt, supports, query):
    half = torch.float16
    if empty_prompt:
        rw.save(directory, "empty_prompt", None, rw.prompt_tensors(TEXT["hidden_size"], seed), half)
    else:
        tensors = rw.text_tensors(TEXT, seed, half)
        print(f"text encoder: {count(tensors):.1f} M")
        rw.save(directory / "text_encoder", "model", TEXT, tensors, half)
        del tensors
    stem = "diffusion_pytorch_model"
    unet_tensors, vae_tensors = rw.unet_tensors(UNET, seed, half), rw.vae_tensors(VAE, seed, half)
    reference = sum(t.numel() for name, t in unet_tensors.items() if name.startswith("conv_in_ref")) / 1e6
    print(f"unet: {count(unet_tensors) - reference:.1f} M + conv_in_ref {reference:.3f} M, vae: {count(vae_tensors):.1f} M")
    rw.save(directory / "unet", stem, UNET, unet_tensors, half)
    rw.save(directory / "vae", stem, VAE, vae_tensors, half)
    # only three small layers change from here on; the rest of the unet is read back from the file
    last = {name: unet_tensors[name].float() for name in ("conv_out.weight", "conv_out.bias")}
    del unet_tensors
    gc.collect()
    vae_tensors = {name: t.float() for name, t in vae_tensors.items()}
    rw.calibrate(DiffewS(directory), vae_tensors, last, supports, query, CALIBRATION_SIZE)
    gc.collect()
    rw.save(directory / "vae", stem, VAE, vae_tensors, half)
    rw.save(directory / "unet", stem, UNET, rw.unet_tensors(UNET, seed, half) | last, half)
    write_scheduler(directory)
    (directory / "diffews.json").write_text('{"size": 512, "threshold": 0.25}\n')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--seed", type=int, default=512)
    parser.add_argument("--empty-prompt", action="store_true", help="empty_prompt.safetensors instead of text_encoder/")
    parser.add_argument("--expected", action="store_true", help="run PyTorch in f32 and save map.npy")
    parser.add_argument("--half-storage", action="store_true", help="also print the error of f16 activations in PyTorch")
    args = parser.parse_args()
    torch.set_num_threads(min(torch.get_num_threads(), 2))
    directory = args.directory
    directory.mkdir(parents=True, exist_ok=True)
    supports, query = write_episode(directory, np.random.default_rng(args.seed), [(640, 427)], (500, 375))
    supports, query = [[directory / path for path in pair] for pair in supports], directory / query
    done = directory / "diffews.json"  # written last
    if not done.exists():
        start = time.time()
        with torch.no_grad():
            build(directory, args.seed, args.empty_prompt, supports, query)
        print(f"checkpoint: seed {args.seed}, {time.time() - start:.0f} s, peak {peak_gib():.1f} GiB")
    if not args.expected and not args.half_storage:
        return
    start = time.time()
    model = DiffewS(directory)
    print(f"loaded in {time.time() - start:.1f} s")
    start = time.time()
    result = model.segment(supports, query, SIZE)
    print(
        f"PyTorch f32, {torch.get_num_threads()} threads: {time.time() - start:.1f} s, peak {peak_gib():.1f} GiB; "
        f"map {result.min():.3f}..{result.max():.3f}, standard deviation {result.std():.3f}"
    )
    np.save(directory / "map.npy", result.numpy())
    if args.half_storage:
        half_storage(model)
        print(f"the same with f16 activations: relative L2 {relative(model.segment(supports, query, SIZE), result):.2e}")


if __name__ == "__main__":
    main()
