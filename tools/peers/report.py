"""Writes the measurements as tables in Markdown."""

OURS = "diffews-wgpu"


def milliseconds(seconds: float) -> str:
    value = 1e3 * seconds
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def ratio(value: float) -> str:
    return f"{value:.0f}" if value >= 20 else f"{value:.1f}" if value >= 2 else f"{value:.2f}"


def table(head: list[str], lines: list[list[str]]) -> list[str]:
    return ["| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *lines]]


def names(found: dict) -> dict[str, str]:
    """The peers' own names, by key."""
    known: dict[str, str] = {}
    for row in found["rows"]:
        for key, peer in row["peers"].items():
            known.setdefault(key, peer["name"])
    return known


def summary(found: dict) -> list[str]:
    peers = names(found)
    lines = []
    for row in found["rows"]:
        line = [row["row"]["name"], milliseconds(row[OURS]["median_seconds"])]
        for key in peers:
            peer = row["peers"].get(key, {})
            known = "median_seconds" in peer
            line.append(f"{milliseconds(peer['median_seconds'])} ({ratio(peer['times_ours'])} x)" if known else "-")
        lines.append(line)
    return table(["median, ms (times ours)", OURS, *peers.values()], lines)


def nearest(found: dict) -> str:
    """The peer that comes nearest on the same driver, by medians and by least times."""
    said = []
    for what in ("median", "least"):
        on_driver = [
            (peer[f"{what}_seconds"] / row[OURS][f"{what}_seconds"], peer["name"], row["row"]["name"])
            for row in found["rows"]
            for peer in row["peers"].values()
            if peer.get("vulkan") and "median_seconds" in peer
        ]
        if not on_driver:
            return "No peer ran on the same driver."
        value, name, where = min(on_driver)
        above = sum(value >= 10 for value, _, _ in on_driver)
        said.append(
            f"By {what} times the peer on the same driver that comes nearest takes {ratio(value)} times as long as ours "
            f"({name}, {where}); {above} of {len(on_driver)} results are at least 10 times ours."
        )
    return " ".join(said)


def details(found: dict) -> list[str]:
    lines = []
    for row in found["rows"]:
        ours, flop = row[OURS], row["row"]["flop"]
        rate = (lambda seconds: f"{flop / seconds / 1e9:.1f}") if flop else (lambda seconds: "")
        spread = f"{milliseconds(ours['least_seconds'])} to {milliseconds(ours['most_seconds'])}"
        how = ", ".join(f"`{form}`" for form in ours["forms"])
        if ours["width"]:
            how += f"{how and ', '}{ours['width']} bits"
        lines.append(
            [row["row"]["name"], OURS, how, milliseconds(ours["median_seconds"]), spread, rate(ours["median_seconds"]), "", ""]
        )
        for peer in row["peers"].values():
            if "why_not" in peer:
                lines.append(["", peer["name"], peer["why_not"], *["-"] * 5])
                continue
            how = peer["variant"] + (f", {peer['width']} bits" if peer["width"] else "")
            spread = f"{milliseconds(peer['least_seconds'])} to {milliseconds(peer['most_seconds'])}"
            median = peer["median_seconds"]
            times = f"{ratio(peer['times_ours'])}, {ratio(peer['least_seconds'] / ours['least_seconds'])}"
            lines.append(["", peer["name"], how, milliseconds(median), spread, rate(median), times, f"{peer['error_l2']:.1e}"])
    head = ["", "", "how, or why not", "median, ms", "least to most", "GFLOP/s", "times ours: median, least", "relative error"]
    return table(head, lines)


NOTES = """
What is timed: the operation alone, warm, again and again, in f32. Inputs and weights lie where the engine computes, laid out as it likes them. A sample is as many runs (32 at most) as
take 20 ms, which are waited for once. On WebGPU, ONNX Runtime's wait is a copy of the result's first number to the host; burn waits for its device. Of several ways to compute a row
(layouts, fused operations, lanes of the driver's subgroups) a peer has the one that was the fastest in its second run; all inputs are the same, drawn from one seed, and what a peer computes
is compared with PyTorch's f64 (a relative error beyond 1e-4 would be half precision, and is no result). Ours is `bench` as it is, a process for each round: other numbers of the same shapes, which `conformance` compares with f64.
Rounds go through all in turn. The times are medians of each round's medians, with the least and most of all. Attention has 4096 + 4096 keys in two tensors in ours, and 8192 in one in the others.
"""


def markdown(found: dict, command: str) -> str:
    about = found["rows"][0]["about"]
    versions = dict.fromkeys(p["version"] for row in found["rows"] for p in row["peers"].values() if "version" in p)
    lines = [
        "# Other engines at the same shapes",
        "",
        f"Made by `make peers` (`{command}`), {found['date']}: {found['machine']}; {about['adapter']}, {about['driver']}; "
        f"{OURS} {about['version']} at commit {about['commit']}; {', '.join(versions)}. Compared with {found['reference']}.",
        *(["", f"**{found['note']}**"] if found["note"] else []),
        "",
        *summary(found),
        "",
        nearest(found),
        "",
        "## How each was computed",
        "",
        *details(found),
        NOTES,
    ]
    return "\n".join(lines)
