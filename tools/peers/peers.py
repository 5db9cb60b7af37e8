#!/usr/bin/env python3
"""Other engines at the shapes of `diffews-wgpu bench`, on the same machine, in turn with it (docs/performance.md, "Peers").

    tools/peers/peers.py [--driver NAME] [--rounds N] [--only TEXT] [--peers LIST] [--json FILE] [--write FILE.md]

If a peer cannot be installed, or computes wrong results, its line says so.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import install
import report
from children import Child, Gone, plain
from rows import ROWS, Row

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
OURS = "diffews-wgpu"
# Relative L2 error for f32 computations: sums in half precision exceed it.
BOUND = 1e-4
SEED = 1


@dataclass(frozen=True)
class Peer:
    key: str
    # Its name if it cannot report one itself.
    name: str
    # The virtual environment, and the script with its arguments; or the Rust program's features and its argument.
    venv: str | None
    command: tuple[str, ...]
    features: str = ""
    vulkan: bool = False

    def made(self, into: Path, seconds: float) -> list[str]:
        if self.venv is None:
            return [str(install.rust(into, self.features, seconds)), *self.command]
        script, *arguments = self.command
        return [str(install.venv(into, self.venv, seconds)), str(HERE / script), *arguments]


CORES = str(len(os.sched_getaffinity(0)))
PEERS = [
    Peer("torch-1", "PyTorch, CPU, 1 thread", "torch", ("of_torch.py", "1")),
    Peer("torch", f"PyTorch, CPU, {CORES} threads", "torch", ("of_torch.py", CORES)),
    Peer("onnxruntime", f"ONNX Runtime, CPU, {CORES} threads", "onnxruntime", ("of_onnxruntime.py", "cpu", CORES)),
    Peer("candle", "candle, CPU", None, ("candle",)),
    Peer("onnxruntime-webgpu", "ONNX Runtime, WebGPU", "onnxruntime-webgpu", ("of_onnxruntime.py", "webgpu"), vulkan=True),
    Peer("ggml", "ggml (stable-diffusion.cpp), Vulkan", "stable-diffusion-cpp-python", ("of_ggml.py",), vulkan=True),
    Peer("burn", "burn, wgpu (WGSL)", None, ("burn",), vulkan=True),
    Peer("burn-spirv", "burn, wgpu (SPIR-V)", None, ("burn",), "spirv", vulkan=True),
]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--driver", help="driver of tools/with-driver.sh for everything that uses Vulkan; default: the one that the loader finds")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each row per engine, in turn (5)")
    parser.add_argument("--seconds", type=float, default=1.0, help="seconds of a peer's measurement; one run at least (1)")
    parser.add_argument("--limit", type=float, default=300, help="seconds to wait for an answer; the first includes compilation (300)")
    parser.add_argument("--install-limit", type=float, default=3600, help="seconds to wait for an installation (3600)")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--peers", default=",".join(p.key for p in PEERS), help="%(default)s")
    parser.add_argument("--into", type=Path, default=ROOT / "target" / "peers", help="folder for their installation (target/peers)")
    parser.add_argument("--json", type=Path, help="file for all measurements")
    parser.add_argument("--write", type=Path, help="file for the tables, in Markdown")
    parser.add_argument("--note", default="", help="a remark for the report: the machine's other load")
    args = parser.parse_args()
    unknown = set(args.peers.split(",")) - {p.key for p in PEERS}
    if unknown:
        parser.error(f"no such peer: {', '.join(sorted(unknown))}")
    return args


class Bench:
    """The environment and settings of all runs."""

    def __init__(self, args: argparse.Namespace, scratch: Path) -> None:
        self.args, self.scratch = args, scratch
        self.binary = os.environ.get("BINARY", str(ROOT / "target" / "release" / OURS))
        flags = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags")), "")
        newest = (args.driver or "") == "lavapipe26"
        # The subgroup size is a choice on Mesa's CPU driver: ours uses the one of its commands, a peer uses the fastest.
        self.widths = ["256", "512"] if newest and " avx512f" in flags else [""]

    def under_driver(self, command: list[str]) -> list[str]:
        return [str(ROOT / "tools" / "with-driver.sh"), self.args.driver, *command] if self.args.driver else command

    def env(self, width: str) -> dict[str, str]:
        return {"LP_NATIVE_VECTOR_WIDTH": width} if width else {}

    def ours(self, row: Row) -> dict:
        """The row of `bench`."""
        command = [self.binary, "bench", "--json", "--precision", "f32", "--repetitions", "3", "--only", row.only]
        env = {**os.environ, **self.env(self.widths[-1])}
        done = subprocess.run(self.under_driver(command), capture_output=True, text=True, env=env)
        if done.returncode:
            sys.exit(f"peers: {' '.join(command)} ended with {done.returncode}: {done.stderr}")
        found = [row for row in map(json.loads, done.stdout.splitlines()) if row["kernel"] != "roof"]
        if len(found) != 1:
            sys.exit(f"peers: bench has {len(found)} rows for {row.only}")
        return found[0]

    def start(self, peer: Peer, command: list[str], width: str) -> Child:
        if peer.vulkan:
            command = self.under_driver(command)
        threads = {"RAYON_NUM_THREADS": CORES} if peer.venv is None and not peer.vulkan else {}
        log = self.args.into / f"{peer.key}{width and f'-{width}'}.log"
        return Child(command, {**self.env(width), **threads}, log, self.args.limit)


@dataclass
class Found:
    """A peer's fastest correct way to compute a row."""

    child: Child
    about: dict
    variant: str
    width: str
    error: float
    seconds: float


def prepared(bench: Bench, reference: Child, peer: Peer, command: list[str], row: Row) -> Found:
    """Tries each way at each width, and keeps the child of the fastest that computes correctly."""
    asked, out = row.asked(str(bench.scratch)), str(bench.scratch / "out.f32")
    best: Found | None = None
    said: list[str] = []
    for width in bench.widths if peer.vulkan else [""]:
        child = bench.start(peer, command, width)
        try:
            about = child.line()
            for variant in child.ask("variants", op=row.op)["variants"]:
                try:
                    seconds = child.ask("prepare", row=asked, variant=variant, out=out)["seconds"]
                except Gone as gone:
                    said.append(f"{variant}: {gone}")
                    if child.lost():
                        break
                    continue
                error = reference.ask("check", file=out)["error_l2"]
                if error is None or not error <= BOUND:
                    said.append(f"{variant}: wrong, relative error {'of no number' if error is None else f'{error:.1e}'}")
                elif best is None or seconds < best.seconds:
                    if best and best.child is not child:
                        best.child.end()
                    best = Found(child, about, variant, width, error, seconds)
        except Gone as gone:
            said.append(str(gone))
        if best is None or best.child is not child:
            child.end()
    if best is None:
        raise Gone("; ".join(dict.fromkeys(said)) or "no such operation")
    if best.child.lost():
        # The measurement of another way ended this child.
        best.child.end()
        best.child = bench.start(peer, command, best.width)
        best.child.line()
        best.child.ask("prepare", row=asked, variant=best.variant, out=out)
    return best


def measure(bench: Bench, reference: Child, commands: dict[str, list[str] | str], row: Row) -> dict:
    """Measures one row: rounds in which each engine has its turn."""
    print(f"peers: {row.name}", file=sys.stderr)
    reference.ask("draw", row=row.asked(str(bench.scratch)), seed=SEED)
    results: dict[str, dict] = {}
    with ExitStack() as stack:
        found: dict[str, Found] = {}
        for peer in PEERS:
            command = commands.get(peer.key)
            if command is None:
                continue
            try:
                if isinstance(command, str):
                    raise Gone(command)
                found[peer.key] = prepared(bench, reference, peer, command, row)
                stack.enter_context(found[peer.key].child)
            except Gone as gone:
                results[peer.key] = {"name": peer.name, "vulkan": peer.vulkan, "why_not": str(gone)}
        samples: dict[str, list[list[float]]] = {key: [] for key in found}
        ours = []
        for turn in range(bench.args.rounds):
            ours.append(bench.ours(row))
            # Every second round is in reverse order, so that none always follows the same one.
            for key in list(found) if turn % 2 == 0 else reversed(list(found)):
                try:
                    asked = {"variant": found[key].variant, "seconds": bench.args.seconds}
                    samples[key].append(found[key].child.ask("time", **asked)["samples"])
                except Gone as gone:
                    results[key] = {"name": found[key].about["name"], "why_not": str(gone)}
                    del found[key]
    medians = [run["median_seconds"] for run in ours]
    mine = {
        "median_seconds": statistics.median(medians),
        "least_seconds": min(run["least_seconds"] for run in ours),
        "most_seconds": max(run["most_seconds"] for run in ours),
        "forms": ours[0]["forms"],
        "width": bench.widths[-1],
    }
    for key, how in found.items():
        median = statistics.median(statistics.median(taken) for taken in samples[key])
        results[key] = {
            "name": how.about["name"],
            "vulkan": next(peer.vulkan for peer in PEERS if peer.key == key),
            "version": how.about["version"],
            "adapter": how.about["adapter"],
            "variant": how.variant,
            "width": how.width,
            "error_l2": how.error,
            "median_seconds": median,
            "least_seconds": min(min(taken) for taken in samples[key]),
            "most_seconds": max(max(taken) for taken in samples[key]),
            "rounds": len(samples[key]),
            "times_ours": median / mine["median_seconds"],
        }
    about = {key: ours[0][key] for key in ("adapter", "driver", "version", "commit")}
    return {"row": row.told(), "about": about, OURS: mine, "peers": {p.key: results[p.key] for p in PEERS if p.key in results}}


def machine() -> str:
    models = [line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    flags = Path("/proc/cpuinfo").read_text()
    wide = ", AVX-512" if " avx512f" in flags else ", AVX2" if " avx2" in flags else ""
    return f"{CORES} threads of {models[0] if models else 'an unknown CPU'}{wide}"


def main() -> None:
    args = arguments()
    args.into = args.into.resolve()
    args.into.mkdir(parents=True, exist_ok=True)
    rows = [row for row in ROWS if args.only.lower() in row.name.lower()]
    if not rows:
        sys.exit("peers: no row matches --only")
    # PyTorch defines the correct results.
    try:
        judge = [str(install.venv(args.into, "torch", args.install_limit)), str(HERE / "reference.py")]
    except Gone as gone:
        sys.exit(f"peers: could not install PyTorch, which defines the expected results: {gone}")
    commands: dict[str, list[str] | str] = {}
    for peer in PEERS:
        if peer.key in args.peers.split(","):
            try:
                commands[peer.key] = peer.made(args.into, args.install_limit)
            except Gone as gone:
                commands[peer.key] = f"not installed: {gone}"
    found = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "machine": machine(), "note": args.note, "rounds": args.rounds, "rows": []}
    with tempfile.TemporaryDirectory(prefix="peers-") as scratch:
        bench = Bench(args, Path(scratch))
        with Child(judge, {}, args.into / "reference.log", max(args.limit, 600)) as reference:
            found["reference"] = f"{reference.line()['version']}, f64"
            for row in rows:
                found["rows"].append(measure(bench, reference, commands, row))
                # Save the results so far, in case the rest fails.
                if args.json:
                    args.json.write_text(json.dumps(found, indent=1) + "\n")
    command = "tools/peers/peers.py" + (f" --driver {args.driver}" if args.driver else "") + f" --rounds {args.rounds}"
    text = report.markdown(found, command)
    print(text)
    if args.write:
        args.write.write_text(text)


if __name__ == "__main__":
    try:
        main()
    except Gone as gone:
        sys.exit(f"peers: {plain(str(gone))}")
