#!/usr/bin/env python3
"""Mean IoU of OpenCV's GrabCut from boxes around the first supports' masks, compared with the boxes themselves.

    pip install opencv-python-headless pillow
    python grabcut.py SETS/composites_1.json --root SETS [--limit 150]

`eval --support-marks box` reports the same for diffews-wgpu as `made_iou`, at the model's size.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

LEAST = 30  # pixels of a mask


def examples(path, root, limit):
    for episode in json.loads(path.read_text(encoding="utf-8"))["episodes"][:limit]:
        support = episode["supports"][0]
        labels = np.array(Image.open(root / support["mask"]))
        truth = labels == support["value"]
        if truth.sum() >= LEAST:
            yield np.array(Image.open(root / support["image"]).convert("RGB")), truth, labels != 255


def boxed(truth):
    ys, xs = np.nonzero(truth)
    return xs.min(), ys.min(), xs.max() + 1, ys.max() + 1


def grabcut(image, truth):
    x0, y0, x1, y1 = map(int, boxed(truth))
    if (x1 - x0, y1 - y0) == image.shape[1::-1]:
        return np.ones_like(truth)  # nothing is outside
    cv2.setRNGSeed(0)
    mask, models = np.zeros(truth.shape, np.uint8), [np.zeros((1, 65)) for _ in range(2)]
    cv2.grabCut(image[:, :, ::-1].copy(), mask, (x0, y0, x1 - x0, y1 - y0), *models, 5, cv2.GC_INIT_WITH_RECT)
    return (mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("episodes", type=Path)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=150)
    args = parser.parse_args()
    ious = {"box": [], "GrabCut": []}
    for image, truth, counts in examples(args.episodes, args.root, args.limit):
        box = np.zeros_like(truth)
        x0, y0, x1, y1 = boxed(truth)
        box[y0:y1, x0:x1] = True
        for name, made in (("box", box), ("GrabCut", grabcut(image, truth))):
            ious[name].append((made & truth & counts).sum() / max(1, ((made | truth) & counts).sum()))
    print(f"{len(ious['box'])} masks: " + ", ".join(f"{name} {100 * np.mean(all_):.1f} %" for name, all_ in ious.items()))


if __name__ == "__main__":
    main()
