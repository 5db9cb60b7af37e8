"""ONNX Runtime on graphs of a few nodes: of_onnxruntime.py cpu THREADS, or of_onnxruntime.py webgpu"""

import sys

import numpy as np
import onnxruntime as ort
from child import Ready, inputs, serve
from onnx import TensorProto, helper, numpy_helper

OPSET = 23
CONTRIB = "com.microsoft"
# One element of the result. Copying it to the host waits for all of the computation.
END = "end"
# All scores at once may exceed a device's binding limit.
BY_HEADS = "MatMul and Softmax by heads"


def node(op: str, of: list[str], to: str | list[str], **attributes: object) -> object:
    return helper.make_node(op, of, [to] if isinstance(to, str) else to, **attributes)


def activated(of: str) -> list:
    return [node("Sigmoid", [of], "sigmoid"), node("Mul", [of, "sigmoid"], "y")]


def turned(nodes: list, first: str, last: str) -> list:
    """The same between two transpositions, which the runtime removes if it computes with channels last itself."""
    return [node("Transpose", [first], "nchw", perm=[0, 3, 1, 2]), *nodes, node("Transpose", [last], "y", perm=[0, 2, 3, 1])]


def graph(row: dict, variant: str, t: dict[str, np.ndarray]) -> tuple[list, list[int]]:
    """Nodes from the inputs to `y`, and its shape. Adds the graph's constants to `t`."""
    dims = row["dims"]
    match row["op"]:
        case "linear" | "geglu":
            y = "y" if row["op"] == "linear" else "both"
            if variant == "Gemm":
                nodes = [node("Gemm", ["x", "weight", "bias"], y)]
            else:
                nodes = [node("MatMul", ["x", "weight"], "product"), node("Add", ["product", "bias"], y)]
            if row["op"] == "geglu":
                nodes += [
                    node("Split", ["both"], ["hidden", "gate"], axis=1, num_outputs=2),
                    node("Gelu", ["gate"], "gelu", approximate="none"),
                    node("Mul", ["hidden", "gelu"], "y"),
                ]
            return nodes, [dims["m"], dims["n"] // (1 if row["op"] == "linear" else 2)]
        case "conv":
            side, outputs = dims["side"], dims["outputs"]
            options = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
            if variant == "NCHW":
                return [node("Conv", ["x", "weight", "bias"], "y", **options)], [1, outputs, side, side]
            t["x"] = np.ascontiguousarray(t["x"].transpose(0, 2, 3, 1))
            inner = [node("Conv", ["nchw", "weight", "bias"], "found", **options)]
            return turned(inner, "x", "found"), [1, side, side, outputs]
        case "attention":
            return attention(dims, variant, t)
        case "group_norm":
            side, channels, groups = dims["side"], dims["channels"], dims["groups"]
            shape = [1, channels, side, side]
            if variant == "GroupNormalization":
                options = {"num_groups": groups, "epsilon": row["eps"]}
                return [node("GroupNormalization", ["x", "weight", "bias"], "norm", **options), *activated("norm")], shape
            # As PyTorch's exporter writes it.
            t |= {"grouped": np.array([1, groups, -1]), "ungrouped": np.array(shape)}
            t |= {"ones": np.ones(groups, np.float32), "zeros": np.zeros(groups, np.float32)}
            t |= {name: t[name].reshape(channels, 1, 1) for name in ("weight", "bias")}
            return [
                node("Reshape", ["x", "grouped"], "groups"),
                node("InstanceNormalization", ["groups", "ones", "zeros"], "normed", epsilon=row["eps"]),
                node("Reshape", ["normed", "ungrouped"], "back"),
                node("Mul", ["back", "weight"], "scaled"),
                node("Add", ["scaled", "bias"], "norm"),
                *activated("norm"),
            ], shape
        case "layer_norm":
            options = {"axis": -1, "epsilon": row["eps"]}
            return [node("LayerNormalization", ["x", "weight", "bias"], "y", **options)], [dims["m"], dims["n"]]
        case op:
            raise ValueError(f"no operation {op}")


def attention(dims: dict[str, int], variant: str, t: dict[str, np.ndarray]) -> tuple[list, list[int]]:
    heads, queries, head = dims["heads"], dims["queries"], dims["head"]
    scale = head**-0.5
    if variant == "Attention":
        return [node("Attention", ["q", "k", "v"], "y", scale=scale)], [1, heads, queries, head]
    if variant == "MultiHeadAttention":
        t |= {name: np.ascontiguousarray(t[name].transpose(0, 2, 1, 3)).reshape(1, -1, heads * head) for name in "qkv"}
        options = {"num_heads": heads, "scale": scale, "domain": CONTRIB}
        return [node("MultiHeadAttention", ["q", "k", "v"], "y", **options)], [1, queries, heads * head]
    t["k"] = np.ascontiguousarray(t["k"].transpose(0, 1, 3, 2))
    t["scale"] = np.array(scale, np.float32)

    def plain(q: str, k: str, v: str, y: str) -> list:
        nodes = [node("MatMul", [q, k], f"{y}.product"), node("Mul", [f"{y}.product", "scale"], f"{y}.scores")]
        return [*nodes, node("Softmax", [f"{y}.scores"], f"{y}.weights", axis=-1), node("MatMul", [f"{y}.weights", v], y)]

    nodes, parts = [], range(heads)
    if variant == BY_HEADS:
        for name in "qkv":
            t |= {f"{name}{i}": np.ascontiguousarray(t[name][:, i : i + 1]) for i in range(heads)}
            del t[name]
        nodes += [one for i in parts for one in plain(f"q{i}", f"k{i}", f"v{i}", f"y{i}")]
        nodes.append(node("Concat", [f"y{i}" for i in parts], "y", axis=1))
    else:
        nodes = plain("q", "k", "v", "y")
    return nodes, [1, heads, queries, head]


def canonical(y: np.ndarray, row: dict, variant: str) -> np.ndarray:
    """In the layout that all peers return: NCHW, heads before positions."""
    if variant == "NHWC":
        return y.transpose(0, 3, 1, 2)
    if variant == "MultiHeadAttention":
        dims = row["dims"]
        return y.reshape(dims["queries"], dims["heads"], dims["head"]).transpose(1, 0, 2)
    return y


class OnnxRuntime:
    def __init__(self, kind: str, threads: int) -> None:
        self.webgpu = kind == "webgpu"
        self.threads = threads

    def about(self) -> dict:
        name = "ONNX Runtime, WebGPU" if self.webgpu else f"ONNX Runtime, CPU, {self.threads} threads"
        package = "onnxruntime-webgpu" if self.webgpu else "onnxruntime"
        return {"name": name, "version": f"{package} {ort.__version__}", "adapter": ""}

    def variants(self, op: str) -> list[str]:
        return {
            "linear": ["MatMul", "Gemm"],
            "geglu": ["MatMul", "Gemm"],
            "conv": ["NCHW", "NHWC"],
            "attention": ["MultiHeadAttention", "Attention", "MatMul and Softmax", *[BY_HEADS] * self.webgpu],
            "group_norm": ["GroupNormalization", "InstanceNormalization"],
            "layer_norm": ["LayerNormalization"],
        }[op]

    def session(self, nodes: list, shape: list[int], t: dict[str, np.ndarray], given: list[str]) -> ort.InferenceSession:
        """`given` are inputs; everything else is constant. On WebGPU, `end` is the result's first element."""
        outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)]
        if self.webgpu:
            t |= {"begin": np.zeros(len(shape), np.int64), "stop": np.ones(len(shape), np.int64)}
            nodes = [*nodes, node("Slice", ["y", "begin", "stop"], END)]
            outputs.append(helper.make_tensor_value_info(END, TensorProto.FLOAT, [1] * len(shape)))
        taken = [helper.make_tensor_value_info(name, TensorProto.FLOAT, t[name].shape) for name in given]
        constants = [numpy_helper.from_array(values, name) for name, values in t.items() if name not in given]
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)]
        model = helper.make_model(
            helper.make_graph(nodes, "row", taken, outputs, initializer=constants), opset_imports=opsets, ir_version=10
        )
        options = ort.SessionOptions()
        options.log_severity_level = 3
        if not self.webgpu:
            options.intra_op_num_threads = self.threads
            return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        # Operations that the device lacks must not fall back to the CPU.
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        # All inputs are constants on the device, so constant folding must be off.
        return ort.InferenceSession(
            model.SerializeToString(),
            options,
            providers=["WebGpuExecutionProvider"],
            disabled_optimizers=["ConstantFolding"],
        )

    def prepare(self, row: dict, variant: str) -> Ready:
        t = inputs(row)
        # Weights are constants, which a runtime may lay out as it likes; the data is not.
        given = [] if self.webgpu else [name for name in t if name not in ("weight", "bias")]
        nodes, shape = graph(row, variant, t)
        session = self.session(nodes, shape, t, given)
        on_device = session.io_binding()
        if not self.webgpu:
            for name in given:
                on_device.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(t[name]))
            on_device.bind_ortvalue_output("y", ort.OrtValue.ortvalue_from_shape_and_type(shape, np.float32))

            def run(times: int) -> None:
                for _ in range(times):
                    session.run_with_iobinding(on_device)

            return Ready(run, lambda: canonical(on_device.copy_outputs_to_cpu()[0], row, variant))
        last = session.io_binding()
        for binding in (on_device, last):
            binding.bind_output("y", "webgpu")
        on_device.bind_output(END, "webgpu")
        last.bind_output(END, "cpu")

        # Runs do not wait for the device, except for the last: it copies an element to the host.
        def run(times: int) -> None:
            for _ in range(times - 1):
                session.run_with_iobinding(on_device)
            session.run_with_iobinding(last)
            if np.isnan(last.get_outputs()[1].numpy()).any():
                raise ValueError("the result is NaN")

        return Ready(run, lambda: canonical(session.run(["y"], {})[0], row, variant))


if __name__ == "__main__":
    serve(lambda: OnnxRuntime(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0))
