#!/usr/bin/env python3
"""Writes masks, as other tools encode them, to tests/golden/formats/cases.json, for comparison in tests/formats.rs.

    pip install numpy pycocotools label-studio-converter opencv-python-headless
    tools/formats/make.py
"""

import json
from pathlib import Path

import cv2
import numpy as np
from label_studio_converter import brush
from pycocotools import mask as coco

OUT = Path(__file__).resolve().parents[2] / "tests/golden/formats/cases.json"
SEED = 30


def masks():
    """Names and masks [height, width] of 0 and 1."""
    def drawn(*rows):
        return np.array([[c == "#" for c in row] for row in rows], np.uint8)

    yield "empty", np.zeros((3, 5), np.uint8)
    yield "full", np.ones((3, 5), np.uint8)
    yield "pixel", drawn("#")
    yield "corner", drawn("....", "....", "...#")
    yield "hole", drawn("######", "#..#.#", "#.##.#", "######")
    yield "nested", drawn("#######", "#.....#", "#.###.#", "#.#.#.#", "#.###.#", "#.....#", "#######")
    yield "corners", drawn("#.#.#", ".#.#.", "#.#.#")
    yield "closed at a corner", drawn(".###.", ".#.#.", ".##..", "....#")
    yield "row", np.ones((1, 9), np.uint8)
    yield "column", drawn(*"##..###")
    rng = np.random.default_rng(SEED)
    yield "noise", (rng.random((17, 23)) < 0.5).astype(np.uint8)
    yield "dense noise", (rng.random((12, 31)) < 0.7).astype(np.uint8)
    # More than 2^16 equal bytes for Label Studio's lengths, and more than 2^15 pixels for COCO's.
    large = np.zeros((260, 300), np.uint8)
    large[40:230, 20:290] = 1
    large[100:150, 60:200] = 0
    yield "large", large
    yield "large and full", np.ones((256, 256), np.uint8)
    y, x = np.mgrid[0:64, 0:90]
    yield "blobs", (np.sin(x / 7) * np.cos(y / 5) + 0.2 * np.sin(x * y / 31) > 0.1).astype(np.uint8)


def runs(mask):
    found = []
    for y, row in enumerate(mask):
        ends = np.flatnonzero(np.diff(np.concatenate([[0], row, [0]])))
        found += [[y, int(a), int(b)] for a, b in ends.reshape(-1, 2)]
    return found


def case(name, mask):
    rle = coco.encode(np.asfortranarray(mask))
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    return {
        "name": name,
        "width": mask.shape[1],
        "height": mask.shape[0],
        "runs": runs(mask),
        "counts": rle["counts"].decode(),
        "area": int(coco.area(rle)),
        "bbox": [int(v) for v in coco.toBbox(rle)],
        "brush": brush.mask2rle(mask * 255),
        # Area, and x, y, width, height; the largest first, then by top and left.
        "objects": sorted(
            ([int(s[4]), *map(int, s[:4])] for s in stats[1:count]), key=lambda o: (-o[0], o[2], o[1])
        ),
    }


if __name__ == "__main__":
    OUT.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(case(*m)) for m in masks())
    OUT.write_text("[\n" + lines + "\n]\n")
