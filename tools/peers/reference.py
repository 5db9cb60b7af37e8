"""Draws the inputs of rows, computes them with PyTorch in f64, and compares peers' results. A child process of peers.py, like the peers."""

import json
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F


def draw(row: dict, seed: int) -> None:
    """Normally distributed numbers; weights are scaled such that sums are about 1."""
    rng = np.random.default_rng(seed)
    for name, tensor in row["tensors"].items():
        shape = tensor["shape"]
        values = rng.standard_normal(shape, np.float32)
        if name == "weight" and len(shape) > 1:
            inputs = shape[0] if len(shape) == 2 else int(np.prod(shape[1:]))
            values /= np.float32(np.sqrt(inputs))
        values.astype("<f4").tofile(tensor["file"])


def expected(row: dict) -> torch.Tensor:
    def read(tensor: dict) -> torch.Tensor:
        return torch.from_numpy(np.fromfile(tensor["file"], "<f4").reshape(tensor["shape"])).double()

    t = {name: read(tensor) for name, tensor in row["tensors"].items()}
    match row["op"]:
        case "linear":
            return torch.addmm(t["bias"], t["x"], t["weight"])
        case "geglu":
            hidden, gate = torch.addmm(t["bias"], t["x"], t["weight"]).chunk(2, 1)
            return hidden * F.gelu(gate)
        case "conv":
            return F.conv2d(t["x"], t["weight"], t["bias"], padding=1)
        case "attention":
            scale = t["q"].shape[-1] ** -0.5
            # One head at a time, because all scores in f64 would take gigabytes.
            heads = [torch.softmax(q @ k.T * scale, 1) @ v for q, k, v in zip(t["q"][0], t["k"][0], t["v"][0])]
            return torch.stack(heads)[None]
        case "group_norm":
            return F.silu(F.group_norm(t["x"], row["dims"]["groups"], t["weight"], t["bias"], row["eps"]))
        case "layer_norm":
            return F.layer_norm(t["x"], [row["dims"]["n"]], t["weight"], t["bias"], row["eps"])
        case op:
            raise ValueError(f"no operation {op}")


def error(found: np.ndarray, wanted: np.ndarray) -> float | None:
    """Relative L2 error; None if the count differs or a value is not finite."""
    if found.size != wanted.size or not np.isfinite(found).all():
        return None
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def main() -> None:
    torch.set_grad_enabled(False)
    say = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    print(json.dumps({"version": f"torch {torch.__version__}"}), file=say)
    wanted = np.empty(0)
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["do"] == "draw":
            draw(asked["row"], asked["seed"])
            wanted = expected(asked["row"]).contiguous().numpy().ravel()
            answered = {}
        else:
            answered = {"error_l2": error(np.fromfile(asked["file"], "<f4").astype(np.float64), wanted)}
        print(json.dumps(answered), file=say)


if __name__ == "__main__":
    main()
