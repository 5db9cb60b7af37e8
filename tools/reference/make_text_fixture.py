#!/usr/bin/env python3
"""Small random CLIP text encoders, and PyTorch's embeddings of the empty prompt.

Writes tests/golden/text/<case>.json (config.json) and <case>.safetensors: the weights, but only the last two rows of the token
embedding (`token_embedding_tail`; the other 49406 are never read and would only enlarge the repository), and `expected` [2, D], computed
by transformers' CLIPTextModel in float64 from the stored weights.

    python tools/reference/make_text_fixture.py [OUTPUT_DIRECTORY]
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

CASES = {
    # name: (activation, stored type, name prefix in the file, seed)
    "gelu": ("gelu", torch.float32, "text_model.", 11),
    "quick_gelu_f16": ("quick_gelu", torch.float16, "", 12),
}
SHAPES = dict(
    hidden_size=24, intermediate_size=72, num_hidden_layers=3, num_attention_heads=4, max_position_embeddings=7, vocab_size=49408
)
KEPT_KEYS = [*SHAPES, "hidden_act", "layer_norm_eps"]
EMBEDDING = "embeddings.token_embedding.weight"


def lively(name, tensor, generator):
    """Norm weights around 1 with spread, and nothing zero: a forgotten bias or a wrong order must show."""
    noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
    if "norm" in name and name.endswith("weight"):
        return 1 + 0.3 * noise
    if tensor.ndim == 2 and "embedding" not in name:
        return 1.5 * noise / tensor.shape[1] ** 0.5
    return 0.5 * noise


def make(name, out):
    act, dtype, prefix, seed = CASES[name]
    # A large epsilon: at 1e-5, a wrong one would be lost in rounding.
    config = CLIPTextConfig(**SHAPES, hidden_act=act, layer_norm_eps=1e-2)
    # The "eager" attention computes its softmax in float32 whatever the model's type; this one stays in float64.
    config._attn_implementation = "sdpa"
    model = CLIPTextModel(config).double().eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            parameter.copy_(lively(key, parameter, generator).to(dtype))
        expected = model(torch.tensor([[49406, 49407]])).last_hidden_state[0]

    tensors = {}
    for key, parameter in model.named_parameters():
        key = key.removeprefix("text_model.")
        value = parameter.detach().to(dtype)
        if key == EMBEDDING:
            tensors["token_embedding_tail"] = value[-2:].contiguous()
        else:
            tensors[prefix + key] = value.contiguous()
    tensors["expected"] = expected.contiguous()
    save_file(tensors, out / f"{name}.safetensors")
    stored = {key: getattr(config, key) for key in KEPT_KEYS}
    (out / f"{name}.json").write_text(json.dumps(stored, indent=1) + "\n")
    print(f"{name}: |expected| {expected.norm():.4f}, {len(tensors)} tensors")


def main():
    default = Path(__file__).resolve().parents[2] / "tests" / "golden" / "text"
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(2)
    for name in CASES:
        make(name, out)


if __name__ == "__main__":
    main()
