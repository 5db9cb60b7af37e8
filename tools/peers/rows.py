"""The measured operations: the rows of `diffews-wgpu bench` that other engines have, too."""

from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class Row:
    name: str
    # Text with which `bench --only` selects this row only.
    only: str
    op: str
    dims: dict[str, int]
    # Multiplications and additions by the textbook definition; 0 if memory is the limit.
    flop: int = 0
    eps: float = 1e-5
    # Shapes of the inputs by name: NCHW, [positions, channels], [1, heads, positions, channels].
    shapes: dict[str, list[int]] = field(default_factory=dict)

    def asked(self, folder: str) -> dict:
        """The request to a child, with inputs as raw f32 in `folder`."""
        tensors = {name: {"file": f"{folder}/{name}.f32", "shape": shape} for name, shape in self.shapes.items()}
        return {"op": self.op, "dims": self.dims, "eps": self.eps, "tensors": tensors}

    def told(self) -> dict:
        return asdict(self)


def linear(name: str, only: str, op: str, m: int, k: int, n: int) -> Row:
    shapes = {"x": [m, k], "weight": [k, n], "bias": [n]}
    return Row(name, only, op, {"m": m, "k": k, "n": n}, 2 * m * k * n, shapes=shapes)


def conv(side: int, inputs: int, outputs: int) -> Row:
    shapes = {"x": [1, inputs, side, side], "weight": [outputs, inputs, 3, 3], "bias": [outputs]}
    name = f"3x3 {side}x{side} {inputs} -> {outputs}"
    dims = {"side": side, "inputs": inputs, "outputs": outputs}
    return Row(name, name, "conv", dims, 2 * 9 * side * side * inputs * outputs, shapes=shapes)


def attention(queries: int, keys: int, heads: int, head: int) -> Row:
    shapes = {"q": [1, heads, queries, head], "k": [1, heads, keys, head], "v": [1, heads, keys, head]}
    dims = {"queries": queries, "keys": keys, "heads": heads, "head": head}
    name = f"attention {queries} x {keys}, {heads} heads of {head}"
    return Row(name, "attention", "attention", dims, 4 * queries * keys * heads * head, shapes=shapes)


def norms() -> list[Row]:
    groups = {"x": [1, 320, 64, 64], "weight": [320], "bias": [320]}
    tokens = {"x": [4096, 320], "weight": [320], "bias": [320]}
    dims = {"side": 64, "channels": 320, "groups": 32}
    return [
        Row("GroupNorm and SiLU 64x64 x 320", "group_norm", "group_norm", dims, shapes=groups),
        Row("LayerNorm 4096 x 320", "layer_norm", "layer_norm", {"m": 4096, "n": 320}, shapes=tokens),
    ]


ROWS = [
    linear("GEMM 1024 x 1024 x 1024", "GEMM", "linear", 1024, 1024, 1024),
    linear("GEGLU 4096 x 320 -> 1280", "GEGLU", "geglu", 4096, 320, 2560),
    conv(64, 320, 320),
    conv(128, 256, 256),
    conv(512, 128, 128),
    attention(4096, 8192, 5, 64),
    *norms(),
]
