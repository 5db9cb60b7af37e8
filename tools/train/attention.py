"""Attention with heads of 32 channels on a CPU with AMX, by attention.cpp. PyTorch's own spends most of its time
writing and reading the scores, which this one never stores.

    python attention.py        compares it with PyTorch in f64, and times both
"""

import ctypes
import hashlib
import os
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path

import torch

HEAD, MOST_VALUES = 32, 48


@cache
def library():
    """attention.cpp, compiled if necessary; None on a machine without AMX or g++."""
    source = Path(__file__).with_suffix(".cpp")
    try:
        if "amx_bf16" not in Path("/proc/cpuinfo").read_text(encoding="utf-8"):
            return None
        name = hashlib.sha256(source.read_bytes()).hexdigest()[:16]
        cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "diffews-wgpu"
        path = cache / f"attention-{name}.so"
        if not path.exists():
            cache.mkdir(parents=True, exist_ok=True)
            # Several processes may compile at the same time.
            with tempfile.TemporaryDirectory(dir=cache) as place:
                made = Path(place) / "attention.so"
                flags = ["-O3", "-march=sapphirerapids", "-shared", "-fPIC"]
                subprocess.run(["g++", *flags, source, "-o", made], check=True)
                os.replace(made, path)
        loaded = ctypes.CDLL(str(path))
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"no fused attention: {error}", flush=True)
        return None
    return loaded if loaded.attention_init() == 0 else None


def pointers(*tensors):
    """Pointers, which do not keep the tensors alive."""
    return [ctypes.c_void_p(t.data_ptr()) for t in tensors]


def fits(q, k, v):
    half = q.dtype == k.dtype == v.dtype == torch.bfloat16
    cpu = q.device.type == "cpu"
    return half and cpu and q.shape[-1] == HEAD and v.shape[-1] <= MOST_VALUES and library() is not None


class Attend(torch.autograd.Function):
    """q [..., n, 32], k [..., m, 32], v [..., m, e], all bf16 -> softmax(q k^T / sqrt(32)) v [..., n, e]"""

    @staticmethod
    def forward(ctx, q, k, v):
        q, k, v = (t.contiguous() for t in (q, k, v))
        (*batch, n, _), (m, e) = q.shape, v.shape[-2:]
        out, lse = q.new_empty(*batch, n, e), q.new_empty(*batch, n, dtype=torch.float32)
        library().attention_forward(*pointers(q, k, v, out, lse), lse.numel() // n, n, m, e)
        ctx.save_for_backward(q, k, v, out, lse)
        return out

    @staticmethod
    def backward(ctx, grad):
        q, k, v, out, lse = ctx.saved_tensors
        n, (m, e) = q.shape[-2], v.shape[-2:]
        grad, grads = grad.contiguous(), [torch.empty_like(t) for t in (q, k, v)]
        library().attention_backward(*pointers(q, k, v, out, lse, grad, *grads), lse.numel() // n, n, m, e)
        return tuple(grads)


def plain(q, k, v):
    scores = torch.matmul(q * q.shape[-1] ** -0.5, k.transpose(-1, -2))
    return torch.matmul(scores.softmax(-1), v)


def softmax_attention(q, k, v):
    return Attend.apply(q, k, v) if fits(q, k, v) else plain(q, k, v)


def main():
    assert library(), "AMX or g++ is missing"
    torch.set_num_threads(1)
    torch.manual_seed(0)

    def both_ways(f, inputs, grad):
        inputs = [t.clone().requires_grad_() for t in inputs]
        out = f(*inputs)
        out.backward(grad)
        return [out.detach(), *(t.grad for t in inputs)]

    print("batch, heads, n, m, e: relative L2 from f64 of the output and the gradients of q, k, v; ms for both ways")
    training = [(12, 1, 1600, 3200, 34), (12, 1, 1600, 1600, 32), (6, 2, 400, 800, 34)]
    ragged = [(1, 4, 100, 300, 34), (1, 1, 33, 31, 32)]
    for shape in training + ragged:
        batch, heads, n, m, e = shape
        sizes = [(n, HEAD), (m, HEAD), (m, e)]
        # Heads are adjacent in memory, as in the model.
        drawn = lambda rows, width: torch.randn(batch, rows, heads, width).transpose(1, 2)
        inputs = [(drawn(*s) * by).bfloat16() for s, by in zip(sizes, (2, 2, 1))]
        grad = drawn(n, 2 * e).bfloat16()[..., :e]
        some = slice(0, 2)
        exact = both_ways(plain, [t[some].double() for t in inputs], grad[some].double())
        for f in (plain, Attend.apply):
            both_ways(f, inputs, grad)  # the first time takes memory
            started = time.process_time()
            got = both_ways(f, inputs, grad)
            ms = 1000 * (time.process_time() - started)
            errors = [((a[some].double() - b).norm() / b.norm()).item() for a, b in zip(got, exact)]
            # Intermediates are rounded to 8 bits, by at most 2^-9 of their value: P and the result; for the gradients of q and k, the
            # output, dS and the result. Roundings of different elements are independent.
            assert f is plain or all(x < r * 2**-9 for x, r in zip(errors, (2, 3, 3, 2))), errors
            name = "PyTorch" if f is plain else "fused"
            print(f"{str(shape):28} {name:8} {' '.join(f'{x:.1e}' for x in errors)} {ms:8.1f}", flush=True)


if __name__ == "__main__":
    main()
