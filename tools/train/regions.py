"""Finds regions of photographs, and which of them look alike to ResNet-50: grass, a cushion, a wall. Scenes use them as
targets, so that the support matters on photographs, too: the salient object is seldom the target.

    python regions.py --data DATA --teacher package/ResNet50

Writes DATA/regions.npz for the training split: labels, one photograph after the other (0: none, from ANNOTATED on: an
annotated class, 255: undefined in the annotation), and for each region its photograph, its label, its share of the
photograph and its vector of unit length.
"""

import argparse
import multiprocessing
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from library import ANNOTATED, IGNORE, Library
from model import guided_filter
from teacher import Teacher

KEPT = 96  # principal components of the features
PARTS = 7  # initial number of parts of a photograph's background
LEAST = 0.012  # least share of a region in the photograph
ONE = 0.8  # parts whose centres have this cosine are merged
PLACE = 0.25  # weight of a distance of the whole photograph, relative to features of unit length


def start(teacher, data):
    global LIBRARY, TEACHER
    torch.set_num_threads(1)
    LIBRARY, TEACHER = Library(data, "train"), Teacher(teacher).to(torch.bfloat16)


def as_tensor(pixels):
    """[1, 3, H, W] in -1..1, H and W multiples of 16."""
    h, w = (16 * max(2, round(n / 16)) for n in pixels.shape[:2])
    resized = cv2.resize(np.ascontiguousarray(pixels), (w, h), interpolation=cv2.INTER_LINEAR)
    return torch.from_numpy(resized).permute(2, 0, 1)[None].float() / 127.5 - 1


def sampled(number):
    """The features of some positions."""
    features = TEACHER.seen(as_tensor(LIBRARY.photo(LIBRARY.photos[number])[0]))[0].flatten(1).T
    return features[:: max(1, len(features) // 60)].numpy()


def mean_over(features, on):
    """The unit vector of the features [h, w, KEPT] where the mask `on` covers most of a position; None if there are few."""
    on = cv2.resize(on.astype(np.float32), features.shape[1::-1], interpolation=cv2.INTER_AREA)
    on = torch.from_numpy(on * (on > 0.5))
    return F.normalize((features * on[..., None]).sum((0, 1)), dim=0).numpy() if on.sum() >= 3 else None


def kinds_of(features, ground):
    """A number for each position of the background, the same where the features are alike; -1 elsewhere."""
    h, w = ground.shape
    padded = F.pad(features.permute(2, 0, 1)[None], (1, 1, 1, 1), "replicate")
    smooth = F.normalize(F.avg_pool2d(padded, 3, 1)[0], dim=0).permute(1, 2, 0)  # those of a single position are noisy
    places = np.stack(np.mgrid[0:h, 0:w], -1) / max(h, w) * PLACE
    points = np.concatenate([smooth.numpy(), places], -1)[ground].astype(np.float32)
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 30, 1e-4)
    _, which, centres = cv2.kmeans(points, PARTS, None, criteria, 3, cv2.KMEANS_PP_CENTERS)
    unit = centres[:, :KEPT] / np.linalg.norm(centres[:, :KEPT], axis=1, keepdims=True)
    joined = np.arange(PARTS)
    for a, b in zip(*np.nonzero(np.tril(unit @ unit.T > ONE, -1))):
        joined[joined == joined[a]] = joined[b]
    kinds = np.full((h, w), -1)
    kinds[ground] = joined[which[:, 0]]
    return kinds


def divided(arguments):
    """For one photograph, labels [H, W] uint8, and (label, part, vector) for each region."""
    number, mean, scale, axes = arguments
    pixels, mask = LIBRARY.photo(LIBRARY.photos[number])
    seen = TEACHER.seen(as_tensor(pixels))[0]
    h, w = seen.shape[1:]
    features = F.normalize(((seen.flatten(1).T - mean) / scale) @ axes, dim=1).reshape(h, w, KEPT)
    ground = cv2.resize(np.ascontiguousarray(mask), (w, h), interpolation=cv2.INTER_NEAREST) == 0
    labels, found = np.where(mask == IGNORE, IGNORE, 0).astype(np.uint8), []
    if ground.sum() > 4 * PARTS:
        cv2.setRNGSeed(number)
        kinds = kinds_of(features, ground)
        one_hot = torch.from_numpy(np.stack([kinds == k for k in np.unique(kinds[ground])]).astype(np.float32))
        soft = F.interpolate(one_hot[None], mask.shape, mode="bilinear")[0]
        colours = torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None].float() / 127.5 - 1
        best = guided_filter(soft, colours.expand(len(soft), -1, -1, -1), 8, 4e-3).numpy().argmax(0)
        for kind in range(len(soft)):
            on = ((best == kind) & (mask == 0)).astype(np.uint8)
            count, parts, stats, _ = cv2.connectedComponentsWithStats(on, connectivity=4)
            for part in range(1, count):
                share = stats[part, cv2.CC_STAT_AREA] / mask.size
                vector = mean_over(features, parts == part) if share >= LEAST else None
                if vector is not None and len(found) < ANNOTATED - 1:
                    found.append((len(found) + 1, share, vector))
                    labels[parts == part] = len(found)
    # Each annotated class is a region of its own, which is never a target.
    for c in np.unique(mask[(mask != 0) & (mask != IGNORE)]):
        vector = mean_over(features, mask == c)
        if vector is not None:
            labels[mask == c] = ANNOTATED + c
            found.append((ANNOTATED + int(c), float((mask == c).mean()), vector))
    return labels, found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, required=True)
    args = parser.parse_args()
    numbers = range(len(Library(args.data, "train").photos))
    with multiprocessing.Pool(2, start, (args.teacher, args.data)) as pool:
        sample = np.concatenate(pool.map(sampled, list(numbers)[:: max(1, len(numbers) // 300)], 8))
        sample = torch.from_numpy(sample)
        mean, scale = sample.mean(0), sample.std(0) + 1e-2
        _, _, axes = torch.pca_lowrank((sample - mean) / scale, KEPT, center=False, niter=4)
        labels, of, label, share, vectors = [], [], [], [], []
        for number, (drawn, found) in enumerate(pool.imap(divided, ((n, mean, scale, axes) for n in numbers), 8)):
            labels.append(drawn.ravel())
            for row in found:
                of.append(number)
                for column, value in zip((label, share, vectors), row):
                    column.append(value)
            if number % 200 == 0:
                print(f"{number} of {len(numbers)} photographs, {len(of)} regions", flush=True)
    arrays = {"of": np.array(of, np.int32), "label": np.array(label, np.uint8), "share": np.array(share, np.float32)}
    vectors = np.array(vectors, np.float16)
    np.savez(args.data / "regions.npz", labels=np.concatenate(labels), vectors=vectors, **arrays)


if __name__ == "__main__":
    main()
