"""Finds annotated objects in photographs that look alike to ResNet-50: dogs of one breed, people dressed alike. Scenes
treat them as one class, because the photographs have few classes of their own.

    python alike.py --data DATA --teacher package/ResNet50

Writes DATA/alike.npz for the training split: for each object its photograph, its class and its vector of unit length.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from library import IGNORE, Library
from teacher import Teacher

SIZE, LEAST = 256, 0.03  # pixels; a thing's part of the photograph


def things(library):
    """Each (photograph, class, picture [SIZE, SIZE, 3] of the object alone on grey, its coverage per pixel)."""
    for number, photo in enumerate(library.photos):
        pixels, mask = library.photo(photo)
        for c in np.unique(mask[(mask != 0) & (mask != IGNORE)]):
            on = mask == c
            if on.mean() < LEAST:
                continue
            ys, xs = np.flatnonzero(on.any(1)), np.flatnonzero(on.any(0))
            y0, y1, x0, x1 = ys[0], ys[-1] + 1, xs[0], xs[-1] + 1
            side = max(y1 - y0, x1 - x0) * 1.1
            image, shown = np.full((SIZE, SIZE, 3), 128, np.uint8), np.zeros((SIZE, SIZE), np.float32)
            h, w = round((y1 - y0) * SIZE / side), round((x1 - x0) * SIZE / side)
            y, x = (SIZE - h) // 2, (SIZE - w) // 2
            m = cv2.resize(on[y0:y1, x0:x1].astype(np.float32), (w, h), interpolation=cv2.INTER_LINEAR)
            part = cv2.resize(np.array(pixels[y0:y1, x0:x1]), (w, h), interpolation=cv2.INTER_LINEAR)
            image[y : y + h, x : x + w] = part * m[..., None] + 128 * (1 - m[..., None])
            shown[y : y + h, x : x + w] = m
            yield number, int(c), image, shown


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, required=True)
    args = parser.parse_args()
    teacher = Teacher(args.teacher, 5).to(torch.bfloat16)
    of, classes, vectors = [], [], []
    for number, c, image, shown in things(Library(args.data, "train")):
        features = teacher.seen(torch.from_numpy(image).permute(2, 0, 1)[None].float() / 127.5 - 1)
        weight = F.adaptive_avg_pool2d(torch.from_numpy(shown)[None, None], features.shape[-1])
        of.append(number)
        classes.append(c)
        vectors.append((features * weight).sum((0, 2, 3)) / weight.sum())
    vectors = torch.stack(vectors).sqrt()  # because only few channels are large
    vectors = F.normalize(vectors - vectors.mean(0), dim=1)
    arrays = {"of": np.array(of, np.int32), "classes": np.array(classes, np.uint8), "vectors": vectors.half().numpy()}
    np.savez(args.data / "alike.npz", **arrays)


if __name__ == "__main__":
    main()
