"""Runs `diffews-wgpu eval` over the sets of heldout.py, and prints the table of weights/nano/README.md.

    python measure.py --program target/release/diffews-wgpu --sets SETS --weights DIR --output DIR [--limit N]

Prints the mean over episodes of the foreground's IoU at the model's size, with a 95 % bootstrap interval; the same with
supports of another class, and how often these find nothing (less than half a per cent of the picture); with everything
marked; and, if a picture has other objects, with all of them marked.
"""

import argparse
import json
import subprocess
from pathlib import Path

import numpy as np
from heldout import SAME
from PIL import Image

SETS = ["composites_1", "composites_5", "plain_1", "novel_1", "novel_5", "pairs_1", "seen_1"]


def scores(args, name, control):
    out = args.output / f"{name}_{control}"
    command = [args.program, "eval", "--episodes", args.sets / f"{name}.json", "--root", args.sets, "--output", out]
    command += ["--weights", args.weights, "--control", control, "--precision", "f32", "--quiet"]
    command += ["--limit", str(args.limit)] if args.limit else []
    command += ["--resume"] if (out / "results.jsonl").exists() else []
    subprocess.run([str(c) for c in command], check=True)
    lines = [json.loads(line) for line in (out / "results.jsonl").read_text(encoding="utf-8").splitlines()[1:]]
    lines.sort(key=lambda line: line["episode"])
    both, either = (np.array([line["counts"][what][1] for line in lines]) for what in ("intersection", "union"))
    # The sum of marked and true pixels is both + either.
    found = both + either - true_pixels(args, name)
    nothing = (found < 0.005 * side(args) ** 2).mean()
    return both / np.maximum(either, 1), np.array([line["class"].endswith(SAME) for line in lines]), float(nothing)


def side(args):
    return json.loads((args.weights / "diffews.json").read_text(encoding="utf-8"))["size"]


def true_pixels(args, name):
    """Number of the target's pixels, at the model's size."""
    masks = [Image.open(path).resize([side(args)] * 2, Image.NEAREST) for path in truths(args, name)]
    return np.array([(np.array(mask) == 1).sum() for mask in masks])


def truths(args, name):
    episodes = json.loads((args.sets / f"{name}.json").read_text(encoding="utf-8"))["episodes"][: args.limit]
    return [args.sets / episode["query"]["mask"] for episode in episodes]


def marked(args, name, what):
    """IoU with the ground truth when everything in `what` is marked."""
    found = []
    for path in truths(args, name):
        label = np.array(Image.open(path))
        valid, truth = label != 255, label == 1
        found.append((truth & valid).sum() / max((what(label) & valid).sum(), 1))
    return np.array(found)


def interval(values):
    rng = np.random.default_rng(0)
    means = rng.choice(values, (2000, len(values))).mean(1)
    return [round(float(v), 3) for v in (values.mean(), *np.quantile(means, [0.025, 0.975]))]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("program", "sets", "weights", "output"):
        parser.add_argument(f"--{name}", required=True, type=Path)
    parser.add_argument("--limit", type=int, help="the first N episodes of each set")
    parser.add_argument("--only", nargs="+", default=SETS, choices=SETS)
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    table = {}
    print("| set | episodes | IoU (95 %) | shuffled | finds nothing | everything | every object |\n|---|---|---|---|---|---|---|")
    for name in args.only:
        (own, same, _), (shuffled, _, nothing) = scores(args, name, "none"), scores(args, name, "shuffled")
        row = {"episodes": len(own), "iou": interval(own), "shuffled": interval(shuffled), "nothing": nothing}
        row["everything"] = interval(marked(args, name, lambda label: label >= 0))
        if name.startswith(("composites", "plain", "pairs")):
            row["every_object"] = interval(marked(args, name, lambda label: label > 0))
        table[name] = row
        objects = row.get("every_object", [None])[0]
        low, high = row["iou"][1:]
        print(
            f"| {name} | {row['episodes']} | {row['iou'][0]:.3f} ({low:.3f} to {high:.3f}) | {row['shuffled'][0]:.3f} "
            f"| {nothing:.2f} | {row['everything'][0]:.3f} | {'' if objects is None else f'{objects:.3f}'} |",
            flush=True,
        )
        for what, part in (("another drawing", ~same), ("the same drawing", same)):
            if same.any() and part.any():
                row[what] = [int(part.sum()), interval(own[part]), interval(shuffled[part])]
                print(f"| {name}, {what} | {' | '.join(str(cell) for cell in row[what])} | | | |", flush=True)
    (args.output / "metrics.json").write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
