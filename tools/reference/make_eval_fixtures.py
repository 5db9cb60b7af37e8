"""Makes tests/golden/eval/: the expected scores of `eval`. The published evaluator's steps, written straightforwardly in numpy.

    python make_eval_fixtures.py        # after make_fixtures.py, whose decoder outputs it reads

metrics.json: random masks (some empty, some with ignored pixels), with their counts and the joint scores.
parity.json and *_truth.png: for each model fixture a random mask of the query (class number 7, 0 elsewhere, 255
ignored), and the counts of the mask from PyTorch's decoder output by the published rule. `uncertain` pixels may
change sides if every value of the decoder moves by at most `bound`, the possible error of the engine's f32.
"""

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.numpy import load_file

GOLDEN = Path(__file__).parents[2] / "tests/golden"
SEED = 4
# The relative L2 error that tests/parity.rs permits for the decoder's map. A single value is off by at most all of it.
RELATIVE_L2 = 1e-5
THRESHOLDS = [0.25, 0.5, 0.65]
IGNORE, CLASS = 255, 7


def count(prediction, truth):
    """Intersection and union of [background, foreground]; `truth` is 0, 1 or 255."""
    valid = truth != IGNORE
    prediction, truth = prediction[valid], truth[valid]
    bins = dict(bins=2, range=(0, 1))
    intersection = np.histogram(prediction[prediction == truth], **bins)[0]
    union = np.histogram(prediction, **bins)[0] + np.histogram(truth, **bins)[0] - intersection
    return intersection.tolist(), union.tolist()


def metrics(random):
    episodes, classes = [], ["a", "b", "c", "d", "never right"]
    intersections, unions = np.zeros((2, len(classes))), np.zeros((2, len(classes)))
    for i in range(60):
        number = int(random.integers(len(classes)))
        shape = (int(random.integers(1, 12)), int(random.integers(1, 12)))
        truth = (random.random(shape) < random.choice([0, 0.1, 0.5, 1])).astype(np.uint8)
        prediction = (random.random(shape) < random.choice([0, 0.3, 0.9, 1])).astype(np.uint8)
        if classes[number] == "never right":
            prediction = 1 - truth
        if i % 3 == 0:
            truth[random.random(shape) < random.choice([0.3, 1])] = IGNORE
        intersection, union = count(prediction, truth)
        intersections[:, number] += intersection
        unions[:, number] += union
        episodes.append(
            {
                "class": classes[number],
                "prediction": prediction.ravel().tolist(),
                "truth": truth.ravel().tolist(),
                "intersection": intersection,
                "union": union,
            }
        )
    iou = intersections / np.maximum(unions, 1)
    return {
        "episodes": episodes,
        "miou": iou[1].mean(),
        "fb_iou": (intersections.sum(1) / unions.sum(1)).mean(),
        "per_class": dict(zip(classes, iou[1])),
    }


def mask_of(decoder, threshold, shift, peak_shift):
    """The published rule on the decoder's output, with every value moved by `shift`, and the maximum by `peak_shift`."""

    def to_bytes(values):
        return ((np.clip(values, -1, 1) * 0.5 + 0.5) * 255).astype(np.uint8)

    peak = to_bytes(decoder.max() + peak_shift)
    return to_bytes(decoder + shift).astype(np.float64).mean(-1) > threshold * float(peak)


def parity(random, name):
    spec = json.loads((GOLDEN / name / "fixture.json").read_text())
    decoder = load_file(GOLDEN / name / "expected.safetensors")["decoder"]
    size = decoder.shape[0]
    width, height = Image.open(GOLDEN / name / spec["query"]).size
    y, x = np.mgrid[:height, :width]
    numbers = np.where((x / width - 0.5) ** 2 + (y / height - 0.4) ** 2 < 0.09, CLASS, 0).astype(np.uint8)
    numbers[random.random(numbers.shape) < 0.05] = 3
    numbers[random.random(numbers.shape) < 0.08] = IGNORE
    Image.fromarray(numbers).save(GOLDEN / "eval" / f"{name}_truth.png")
    resized = F.interpolate(torch.from_numpy(numbers)[None, None].float(), (size, size), mode="nearest")[0, 0].numpy()
    truth = np.where(resized == IGNORE, IGNORE, resized == CLASS).astype(np.uint8)
    bound = RELATIVE_L2 * float(np.linalg.norm(decoder.astype(np.float64)))
    cases = []
    for threshold in THRESHOLDS:
        intersection, union = count(mask_of(decoder, threshold, 0, 0).astype(np.uint8), truth)
        most, least = mask_of(decoder, threshold, bound, -bound), mask_of(decoder, threshold, -bound, bound)
        cases.append(
            {
                "threshold": threshold,
                "intersection": intersection,
                "union": union,
                "uncertain": int(((most != least) & (truth != IGNORE)).sum()),
            }
        )
    return {"fixture": name, "value": CLASS, "size": size, "bound": bound, "cases": cases}


def main():
    random = np.random.default_rng(SEED)
    (GOLDEN / "eval").mkdir(exist_ok=True)
    (GOLDEN / "eval/metrics.json").write_text(json.dumps(metrics(random)) + "\n")
    names = sorted(p.parent.name for p in GOLDEN.glob("*/fixture.json"))
    (GOLDEN / "eval/parity.json").write_text(json.dumps([parity(random, n) for n in names], indent=1) + "\n")
    print(f"seed {SEED}: tests/golden/eval")


if __name__ == "__main__":
    main()
