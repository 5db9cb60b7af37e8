"""ggml's Vulkan kernels, which stable-diffusion.cpp uses, from the library that stable-diffusion-cpp-python builds."""

import ctypes
import importlib.metadata
import importlib.util
import os
from ctypes import c_bool, c_float, c_int, c_int64, c_size_t, c_void_p
from pathlib import Path

import numpy as np
from child import Ready, inputs, serve

PACKAGE = "stable-diffusion-cpp-python"
F32 = 0
GEGLU_ERF = 4
# Otherwise products of f32 are computed in f16 on devices that support it. A CPU counts as a device only if it is named.
os.environ |= {"GGML_VK_DISABLE_F16": "1", "GGML_VK_VISIBLE_DEVICES": "0"}


class InitParams(ctypes.Structure):
    _fields_ = [("mem_size", c_size_t), ("mem_buffer", c_void_p), ("no_alloc", c_bool)]


def library() -> ctypes.CDLL:
    # Not imported, because that would load a model's interface.
    spec = importlib.util.find_spec("stable_diffusion_cpp")
    found = sorted(Path(spec.origin).parent.rglob("libstable-diffusion.so*")) if spec and spec.origin else []
    if not found:
        raise FileNotFoundError("no libstable-diffusion.so")
    return ctypes.CDLL(str(found[0]))


class Ggml:
    def __init__(self) -> None:
        self.lib = library()
        self.backend = self.call("backend_vk_init", c_void_p, c_size_t(0))
        if not self.backend:
            raise OSError("no Vulkan device")

    def call(self, name: str, result: object, *arguments: object) -> object:
        function = getattr(self.lib, f"ggml_{name}")
        function.restype = result
        return function(*arguments)

    def about(self) -> dict:
        text = ctypes.create_string_buffer(256)
        self.call("backend_vk_get_device_description", None, c_int(0), text, c_size_t(len(text)))
        version = f"{PACKAGE} {importlib.metadata.version(PACKAGE)}"
        return {"name": "ggml (stable-diffusion.cpp), Vulkan", "version": version, "adapter": text.value.decode()}

    def variants(self, op: str) -> list[str]:
        return {"conv": ["conv_2d", "conv_2d_direct"], "attention": ["flash_attn_ext", "mul_mat and soft_max"]}.get(op, ["ggml's own"])

    def prepare(self, row: dict, variant: str) -> Ready:
        context = c_void_p(self.call("init", c_void_p, InitParams(1 << 24, None, True)))
        t, tensors = laid_out(row, variant, inputs(row)), {}
        for name, values in t.items():
            # The fastest dimension first.
            sides = [*values.shape[::-1], 1, 1, 1][:4]
            tensors[name] = c_void_p(self.call("new_tensor_4d", c_void_p, context, c_int(F32), *map(c_int64, sides)))

        def op(name: str, *arguments: object) -> c_void_p:
            return c_void_p(self.call(name, c_void_p, context, *arguments))

        out = record(op, row, variant, tensors)
        graph = op("new_graph")
        self.call("build_forward_expand", None, graph, out)
        if not self.call("backend_alloc_ctx_tensors", c_void_p, context, c_void_p(self.backend)):
            raise MemoryError("the device has no room for the tensors")
        for name, values in t.items():
            data = np.ascontiguousarray(values, np.float32)
            self.call("backend_tensor_set", None, tensors[name], c_void_p(data.ctypes.data), c_size_t(0), c_size_t(data.nbytes))
        backend = c_void_p(self.backend)

        def run(times: int) -> None:
            for _ in range(times):
                if self.call("backend_graph_compute_async", c_int, backend, graph):
                    raise OSError("the graph failed")
            self.call("backend_synchronize", None, backend)

        def result() -> np.ndarray:
            found = np.empty(self.call("nelements", c_int64, out), np.float32)
            self.call("backend_tensor_get", None, out, c_void_p(found.ctypes.data), c_size_t(0), c_size_t(found.nbytes))
            if variant == "flash_attn_ext":
                dims = row["dims"]
                return found.reshape(dims["queries"], dims["heads"], dims["head"]).transpose(1, 0, 2)
            return found

        return Ready(run, result)


def laid_out(row: dict, variant: str, t: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """In ggml's layout: each weight's inputs are contiguous, and broadcast tensors have all dimensions."""
    match row["op"]:
        case "linear" | "geglu":
            t["weight"] = t["weight"].T
        case "conv" | "group_norm":
            t["bias"] = t["bias"].reshape(1, -1, 1, 1)
            if row["op"] == "group_norm":
                t["weight"] = t["weight"].reshape(1, -1, 1, 1)
        case "attention":
            if variant != "flash_attn_ext":
                t["v"] = t["v"].transpose(0, 1, 3, 2)
    return t


def record(op: object, row: dict, variant: str, t: dict[str, c_void_p]) -> c_void_p:
    match row["op"]:
        case "linear" | "geglu":
            y = op("add", op("mul_mat", t["weight"], t["x"]), t["bias"])
            # Swapped: the gate is the second half.
            return y if row["op"] == "linear" else op("glu", y, c_int(GEGLU_ERF), c_bool(True))
        case "conv":
            return op("add", op(variant, t["weight"], t["x"], *[c_int(1)] * 6), t["bias"])
        case "attention":
            scale, zero = c_float(row["dims"]["head"] ** -0.5), c_float(0)
            if variant == "flash_attn_ext":
                return op(variant, t["q"], t["k"], t["v"], c_void_p(), scale, zero, zero)
            weights = op("soft_max_ext", op("mul_mat", t["k"], t["q"]), c_void_p(), scale, zero)
            return op("mul_mat", t["v"], weights)
        case "group_norm":
            y = op("group_norm", t["x"], c_int(row["dims"]["groups"]), c_float(row["eps"]))
            return op("silu", op("add", op("mul", y, t["weight"]), t["bias"]))
        case "layer_norm":
            return op("add", op("mul", op("norm", t["x"], c_float(row["eps"])), t["weight"]), t["bias"])
        case name:
            raise ValueError(f"no operation {name}")


if __name__ == "__main__":
    serve(Ggml)
