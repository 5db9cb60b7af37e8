"""PyTorch on the CPU, in f32: of_torch.py THREADS"""

import sys

import numpy as np
import torch
import torch.nn.functional as F
from child import Ready, inputs, serve

CHANNELS_LAST = "channels last"


class Torch:
    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)

    def about(self) -> dict:
        threads = torch.get_num_threads()
        name = f"PyTorch, CPU, {threads} thread{'s' if threads > 1 else ''}"
        return {"name": name, "version": f"torch {torch.__version__}", "adapter": ""}

    def variants(self, op: str) -> list[str]:
        return ["NCHW", CHANNELS_LAST] if op in ("conv", "group_norm") else ["PyTorch's own"]

    def prepare(self, row: dict, variant: str) -> Ready:
        t = {name: torch.from_numpy(values) for name, values in inputs(row).items()}
        if variant == CHANNELS_LAST:
            t = {name: v.to(memory_format=torch.channels_last) if v.dim() == 4 else v for name, v in t.items()}
        match row["op"]:
            case "linear" | "geglu":
                # In a layer's layout: outputs first.
                weight = t["weight"].t().contiguous()

                def compute() -> torch.Tensor:
                    y = F.linear(t["x"], weight, t["bias"])
                    if row["op"] == "linear":
                        return y
                    hidden, gate = y.chunk(2, 1)
                    return hidden * F.gelu(gate)

            case "conv":

                def compute() -> torch.Tensor:
                    return F.conv2d(t["x"], t["weight"], t["bias"], padding=1)

            case "attention":

                def compute() -> torch.Tensor:
                    return F.scaled_dot_product_attention(t["q"], t["k"], t["v"])

            case "group_norm":

                def compute() -> torch.Tensor:
                    return F.silu(F.group_norm(t["x"], row["dims"]["groups"], t["weight"], t["bias"], row["eps"]))

            case "layer_norm":

                def compute() -> torch.Tensor:
                    return F.layer_norm(t["x"], [row["dims"]["n"]], t["weight"], t["bias"], row["eps"])

            case op:
                raise ValueError(f"no operation {op}")
        last: list[torch.Tensor] = []

        def run(times: int) -> None:
            for _ in range(times):
                last[:] = [compute()]

        def result() -> np.ndarray:
            return last[0].contiguous().numpy()

        return Ready(run, result)


if __name__ == "__main__":
    serve(lambda: Torch(int(sys.argv[1])))
