"""Writes the embedded model's results in f64: src/conformance/recorded, block by block for a drawn episode, and
tests/golden/nano, the maps of the scenes in examples/.

    python make_conformance.py

The conformance command includes these numbers, so that any machine can be compared with PyTorch without PyTorch.
Run it again whenever weights/nano or examples/ changes. The record has every STRIDE-th element of each block.
"""

import re
import zlib
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from diffews import DiffewS, Trace, read_json
from pictures import write_episode

ROOT = Path(__file__).resolve().parents[2]
STRIDE = 61  # coprime to every width here, so that all channels occur
SEED = 7

KEEP = re.compile(
    r"latent\.query|decoder|query\.v|.*\.attn1\.[kv]|vae\.(encoder|decoder)\.conv_(in|out)"
    r"|(vae\.encoder|vae\.decoder|support_0|query)\..*(resnets|attentions|transformer_blocks)\.\d+"
)


def main():
    torch.set_num_threads(2)
    out = ROOT / "src" / "conformance" / "recorded"
    out.mkdir(parents=True, exist_ok=True)
    weights = ROOT / "weights" / "nano"
    size = read_json(weights / "diffews.json")["size"]
    supports, query = write_episode(out, np.random.default_rng(SEED), [(size, size)], (size, size))
    trace = Trace(lambda name, tensor: bool(KEEP.fullmatch(name)))
    model = DiffewS(weights, None, torch.float64)
    result = model.segment([[out / path for path in pair] for pair in supports], out / query, size, trace)
    tensors = {}
    for name, tensor in trace.tensors.items():
        whole = name == "decoder"
        tensors[name] = tensor.flatten()[:: 1 if whole else STRIDE].contiguous()
        # The scale for measuring errors.
        tensors[name + ".rms"] = tensor.double().square().mean().sqrt().float().reshape(1)
    metadata = {"stride": str(STRIDE), "size": str(size), "unet": f"{crc(weights / 'unet'):08x}", "vae": f"{crc(weights / 'vae'):08x}"}
    save_file(tensors, out / "expected.safetensors", metadata=metadata)
    decoded = trace.tensors["decoder"]
    print(f"{len(tensors) // 2} tensors, map {result.min():.3f}..{result.max():.3f} std {result.std():.3f}, clipped {(decoded.abs() > 1).double().mean():.3f}")
    marked = result > 0.25 * (decoded.clamp(-1, 1) * 0.5 + 0.5).max()
    print(f"foreground {marked.double().mean():.3f}")
    for scene in sorted(p for p in (ROOT / "examples").iterdir() if p.is_dir()):
        found = model.segment([(scene / "support.png", scene / "support_mask.png")], scene / "query.png", size)
        np.save(ROOT / "tests" / "golden" / "nano" / f"{scene.name}.npy", found.float().numpy())


def crc(directory):
    return zlib.crc32((directory / "diffusion_pytorch_model.safetensors").read_bytes())


if __name__ == "__main__":
    main()
