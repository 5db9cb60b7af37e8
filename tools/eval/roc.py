#!/usr/bin/env python3
"""The value of scores: compares two runs of `diffews-wgpu eval` over the same episodes, one with supports of another class.

    diffews-wgpu eval --episodes e.json --root DATA --output there
    diffews-wgpu eval --episodes e.json --root DATA --output not_there --control shuffled
    python roc.py there/results.jsonl not_there/results.jsonl

In the first run the object is in every query, in the second (except by chance) in none. Prints the area under the ROC curve and, for
some values of --min-score, the share of right answers and the lost IoU. Python only, without packages.
"""

import argparse
import json


def read(path):
    """(score, IoU of the foreground) of each completed episode."""
    rows = []
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if row.get("score") is not None:
                counts = row["counts"]
                rows.append((row["score"], counts["intersection"][1] / max(1, counts["union"][1])))
    if not rows:
        raise SystemExit(f"{path}: no episode with a score")
    return rows


def area(there, others):
    """The share of all pairs in which the present object has the higher score; ties count half."""
    wins = sum((a > b) + 0.5 * (a == b) for a in there for b in others)
    return wins / (len(there) * len(others))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("there")
    parser.add_argument("not_there")
    parser.add_argument("--least", type=float, nargs="+", default=[0.3, 0.4, 0.5, 0.6, 0.7, 0.8])
    args = parser.parse_args()
    there, others = read(args.there), [score for score, _ in read(args.not_there)]
    whole = sum(iou for _, iou in there) / len(there)
    print(f"{len(there)} episodes with the thing and {len(others)} without, area under the curve {area([s for s, _ in there], others):.3f}")
    print("| --min-score | found where it is | found where it is not | mean IoU of episodes |\n|---|---|---|---|")
    for least in [0.0, *args.least]:
        # An empty mask has the score 0.
        kept = [(score, iou) for score, iou in there if score > 0 and score >= least]
        wrong = sum(score > 0 and score >= least for score in others) / len(others)
        iou = sum(iou for _, iou in kept) / len(there)
        print(f"| {least:g} | {100 * len(kept) / len(there):.0f} % | {100 * wrong:.0f} % | {100 * iou:.1f} % of {100 * whole:.1f} % |")


if __name__ == "__main__":
    main()
