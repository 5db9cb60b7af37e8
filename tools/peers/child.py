"""A peer as a child process of peers.py: answers lines of JSON on standard input with a line each (docs/performance.md, "Peers")."""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np


class Ready(NamedTuple):
    """An operation with its inputs on the peer: runs a number of times and waits, and returns its result."""

    run: Callable[[int], None]
    result: Callable[[], np.ndarray]


class Peer(Protocol):
    def about(self) -> dict: ...

    def variants(self, op: str) -> list[str]:
        """Ways to compute an operation; empty if the peer has no such operation."""

    def prepare(self, row: dict, variant: str) -> Ready: ...


def inputs(row: dict) -> dict[str, np.ndarray]:
    return {name: np.fromfile(t["file"], "<f4").reshape(t["shape"]) for name, t in row["tensors"].items()}


def samples(ready: Ready, seconds: float) -> list[float]:
    """A sample has as many runs as take 20 ms, but at most 32, as in `bench`."""

    def timed(copies: int) -> float:
        started = time.perf_counter()
        ready.run(copies)
        return (time.perf_counter() - started) / copies

    started = time.perf_counter()
    first = timed(1)
    copies = min(max(int(-(-0.02 // first)), 1), 32)
    found = [first] if copies == 1 else []
    while not found or time.perf_counter() - started < seconds:
        found.append(timed(copies))
    return found


def answer(peer: Peer, prepared: dict[str, Ready], asked: dict) -> dict:
    variant = asked.get("variant", "")
    match asked["do"]:
        case "variants":
            return {"variants": peer.variants(asked["op"])}
        case "prepare":
            ready = peer.prepare(asked["row"], variant)
            # The first run compiles.
            ready.run(1)
            started = time.perf_counter()
            ready.run(1)
            seconds = time.perf_counter() - started
            np.ascontiguousarray(ready.result(), "<f4").tofile(asked["out"])
            prepared[variant] = ready
            return {"seconds": seconds}
        case "time":
            return {"samples": samples(prepared[variant], asked["seconds"])}
        case _:
            return {"error": "unknown request"}


def serve(make: Callable[[], Peer]) -> None:
    # Libraries may print to standard output: redirect that to standard error, and keep the original for answers.
    say = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    peer = make()
    print(json.dumps(peer.about()), file=say)
    prepared: dict[str, Ready] = {}
    for line in sys.stdin:
        try:
            answered = answer(peer, prepared, json.loads(line))
        # Any exception of a peer is reported as its result.
        except Exception as error:  # noqa: BLE001
            answered = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answered), file=say)
