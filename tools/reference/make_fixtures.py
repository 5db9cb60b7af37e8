"""Writes tests/golden: small random checkpoints, pictures, and DiffewS's results in f64.

    python make_fixtures.py [--output DIR] [--only NAME ...]

Everything derives from the seeds below. Expected values are computed in f64 from the weights as stored (rounded) and
saved as f32, channels last.
"""

import argparse
import json
import re
import shutil
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

import random_weights as rw
from diffews import DiffewS, Trace, nearest_rows
from fixture_configs import CASES, MODELS
from pictures import write_episode

GOLDEN = Path(__file__).resolve().parents[2] / "tests" / "golden"

ALWAYS = re.compile(r"prompt_embeds|latent\..*|.*\.attn1\.[kv]|query\.v|decoder|map")
DETAIL = re.compile(
    r"input\.query|.*(conv_in|conv_in_ref|conv_norm_out|conv_out|quant_conv|time_embedding|attn1|attn2|ff|transformer_blocks\.\d+\.norm[123]"
    r"|(resnets|attentions|transformer_blocks|downsamplers|upsamplers)\.\d+)"
)
SUPPORT_DETAIL = re.compile(r".*(conv_in_ref|(resnets|attentions)\.\d+)")  # of the same layers as the query's
DETAIL_LIMIT = 80_000  # bytes: the finest level's activations of the larger configs are left out


def keeps(detailed):
    def keep(name, tensor):
        if ALWAYS.fullmatch(name):
            return True
        pattern = SUPPORT_DETAIL if name.startswith("support_") else DETAIL
        return detailed and bool(pattern.fullmatch(name)) and 4 * tensor.numel() <= DETAIL_LIMIT

    return keep


def write_scheduler(directory):
    config = {
        "_class_name": "DDIMScheduler", "_diffusers_version": "0.24.0", "beta_start": 1.0, "beta_end": 1.0,
        "beta_schedule": "scaled_linear", "clip_sample": False, "num_train_timesteps": 1000,
        "prediction_type": "v_prediction", "set_alpha_to_one": False, "steps_offset": 1, "trained_betas": None,
    }  # fmt: skip
    (directory / "scheduler").mkdir(parents=True, exist_ok=True)
    (directory / "scheduler" / "scheduler_config.json").write_text(json.dumps(config, indent=2) + "\n")


def write_model(root, name, spec, supports, query):
    """Draws, stores, calibrates on the given episode, and stores again."""
    base = root / name
    unet_dir = root / spec["unet_dir"] if "unet_dir" in spec else base / "unet"
    dtype, seed, variant = spec["dtype"], spec["seed"], spec.get("variant")
    unet, vae = rw.unet_tensors(spec["unet"], seed), rw.vae_tensors(spec["vae"], seed)

    def store():
        named = rw.old_vae_names(vae) if spec.get("old_vae_names") else vae
        rw.save(unet_dir, "diffusion_pytorch_model", spec["unet"], unet, dtype, variant, spec.get("unet_shards", 1))
        rw.save(base / "vae", "diffusion_pytorch_model", spec["vae"], named, dtype, variant)

    if "text" in spec:
        text = rw.text_tensors(spec["text"], seed)
        rw.save(base / "text_encoder", "model", spec["text"], text, dtype, variant)
    else:
        prompt = rw.prompt_tensors(spec["unet"]["cross_attention_dim"], seed)
        rw.save(base, "empty_prompt", None, prompt, dtype)
    if "decoy_unet" in spec:
        decoy = rw.unet_tensors(spec["decoy_unet"], seed + 1)
        rw.save(base / "unet", "diffusion_pytorch_model", spec["decoy_unet"], decoy, dtype)
    write_scheduler(base)
    (base / "diffews.json").write_text(json.dumps({"size": spec["size"], "threshold": spec["threshold"]}) + "\n")
    store()
    rw.calibrate(DiffewS(base, unet_dir, torch.float64), vae, unet, supports, query, spec["size"])
    store()


def half_storage(model):
    """Rounds the output of every leaf layer to f16, like an engine that stores activations in half precision."""
    handles = []
    for part in (model.vae, model.unet):
        for module in part.modules():
            if not list(module.children()):
                handles.append(module.register_forward_hook(lambda _m, _a, out: out.half().to(out.dtype)))
    return handles


def relative(a, b):
    return (torch.linalg.norm(a.double() - b.double()) / torch.linalg.norm(b.double())).item()


def check_masks(sizes, size):
    """torch's nearest rule uses f32; the pictures are chosen such that integers give the same rows."""
    for length in {n for pair in sizes for n in pair}:
        rows = torch.nn.functional.interpolate(torch.arange(length).double()[None, None], size=size, mode="nearest")
        assert rows.int().flatten().tolist() == nearest_rows(length, size).tolist(), (length, size)


def run_case(root, name, case):
    directory = root / name
    spec = MODELS[case["model"]]
    fixture = json.loads((directory / "fixture.json").read_text())
    supports = [[directory / path for path in pair] for pair in fixture["supports"]]
    query, size = directory / fixture["query"], spec["size"]
    places = (directory / fixture["weights"], directory / fixture["unet"] if "unet" in fixture else None)

    trace = Trace(keeps(case.get("detailed", False)))
    exact_model = DiffewS(*places, torch.float64)
    exact = exact_model.segment(supports, query, size, trace)
    single = DiffewS(*places, torch.float32)
    f32_error = relative(single.segment(supports, query, size), exact)
    half_storage(single)
    f16_error = relative(single.segment(supports, query, size), exact)
    swapped = [[supports[0][0], supports[0][1]] for _ in supports[:-1]] + [[query, supports[0][1]]]
    bank_effect = relative(exact_model.segment(swapped, query, size), exact)
    decoded = trace.tensors["decoder"]
    clipped = (decoded.abs() > 1).double().mean().item()
    print(
        f"{name}: seed {spec['seed']}, map {exact.min():.3f}..{exact.max():.3f} std {exact.std():.3f}, clipped {clipped:.3f}, "
        f"another support changes it by {bank_effect:.3f}; torch f32 {f32_error:.2e}, half storage {f16_error:.2e}"
    )
    assert all(torch.isfinite(t).all() for t in trace.tensors.values())
    assert exact.std() > 0.05 and clipped < 0.15 and bank_effect > 0.01, "not a lively fixture"
    metadata = {
        "torch_f32_error": f"{f32_error:.3e}", "torch_f16_storage_error": f"{f16_error:.3e}",
        "seed": str(spec["seed"]), "torch": torch.__version__,
    }  # fmt: skip
    save_file(trace.tensors, directory / "expected.safetensors", metadata=metadata)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=GOLDEN)
    parser.add_argument("--only", nargs="*", default=list(CASES), metavar="NAME")
    args = parser.parse_args()
    torch.set_num_threads(2)
    root = args.output
    for name in args.only:
        case = CASES[name]
        spec = MODELS[case["model"]]
        owns_weights = case["model"] == name
        for stale in [root / name] + ([root / spec["unet_dir"]] if owns_weights and "unet_dir" in spec else []):
            shutil.rmtree(stale, ignore_errors=True)
        directory = root / name
        directory.mkdir(parents=True)
        check_masks(case["supports"], spec["size"])
        rng = np.random.default_rng([spec["seed"], len(case["supports"])])
        supports, query = write_episode(directory, rng, case["supports"], case["query"])
        fixture = {"weights": "." if owns_weights else f"../{case['model']}", "supports": supports, "query": query}
        if "unet_dir" in spec:
            fixture["unet"] = f"../{spec['unet_dir']}"
        (directory / "fixture.json").write_text(json.dumps(fixture, indent=2) + "\n")
        if owns_weights:
            pairs = [[directory / path for path in pair] for pair in supports]
            write_model(root, name, spec, pairs, directory / query)
        run_case(root, name, case)


if __name__ == "__main__":
    main()
