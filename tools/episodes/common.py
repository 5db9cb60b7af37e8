"""Shared by the benchmarks: the published random generator, and writing episodes."""

import json
import re
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

EXIF_ORIENTATION = 0x0112


class Draws:
    """The only generator of the published evaluation: numpy's legacy one, seeded with 0 before the first episode."""

    def __init__(self, seed=0):
        self.random = np.random.RandomState(seed)

    def choose(self, items):
        """One of `items`: the same draw as numpy.random.choice(items, 1, replace=False)[0]."""
        return items[int(self.random.choice(len(items), 1, replace=False)[0])]


class Writer:
    """Collects episodes. Pictures and masks that are not files of the data set are written below `files`, a
    directory beside the episodes file; paths in the file are relative to the data's root or to the file itself."""

    def __init__(self, root, output, ignore=None):
        """`ignore`: the value in queries' masks that is not scored, if the benchmark has one."""
        self.root, self.output, self.ignore = Path(root), Path(output), ignore
        self.files = self.output.parent / (self.output.stem + "_files")
        self.episodes = []

    def add(self, name, supports, query):
        self.episodes.append({"class": name, "supports": supports, "query": query})

    def example(self, image, mask, value=None):
        """A picture and a mask that are existing files of the data set; `value` selects a class number."""
        found = {"image": self.upright(image), "mask": mask}
        if value is not None:
            found["value"] = value
        for path in (image, mask):
            if not (self.root / path).is_file():
                raise FileNotFoundError(f"{self.root / path} is missing")
        return found

    def upright(self, image):
        """The picture's path; if it has an EXIF orientation, the path of a copy without it. The published evaluation
        reads pixels as stored, `diffews-wgpu` as displayed."""
        with Image.open(self.root / image) as picture:
            if picture.getexif().get(EXIF_ORIENTATION, 1) == 1:
                return image
            return self.save(picture.convert("RGB"), image, "stored")

    def image_with(self, image, mask, tag, box=None):
        """A picture of the data set with a mask given as an array; both are cropped to `box` (left, top, right, bottom)
        like array slices."""
        if box is None:
            return {"image": self.upright(image), "mask": self.save(binary(mask), image, tag + "_mask")}
        left, top, right, bottom = box
        pixels = np.asarray(Image.open(self.root / image).convert("RGB"))[top:bottom, left:right]
        part = np.asarray(mask)[top:bottom, left:right]
        if pixels.size == 0 or part.size == 0:
            raise ValueError(f"{image}: the box {box} crops all of it")
        return {
            "image": self.save(Image.fromarray(pixels), image, tag),
            "mask": self.save(binary(part), image, tag + "_mask"),
        }

    def save(self, picture, image, tag):
        name = re.sub(r"[^A-Za-z0-9_+-]", "_", f"{Path(image).with_suffix('')}_{tag}") + ".png"
        path = self.files / name
        # The name depends on the content, so a file that many episodes share is written once.
        if not path.exists():
            self.files.mkdir(parents=True, exist_ok=True)
            picture.save(path)
        return str(path.relative_to(self.output.parent))

    def size(self, image):
        with Image.open(self.root / image) as picture:
            return picture.size

    def write(self, benchmark, fold, shots):
        head = {"name": benchmark, "shots": shots}
        if fold is not None:
            head["fold"] = fold
        self.output.parent.mkdir(parents=True, exist_ok=True)
        lines = ",\n".join(json.dumps(episode) for episode in self.episodes)
        ignore = json.dumps(self.ignore)
        self.output.write_text(f'{{"benchmark": {json.dumps(head)}, "ignore": {ignore}, "episodes": [\n{lines}\n]}}\n')


def binary(mask):
    return Image.fromarray(np.where(np.asarray(mask) > 0, 255, 0).astype(np.uint8))


def decode(segmentation, size):
    """[height, width] from a COCO segmentation: polygons, a run-length code or an array. `size` is (width, height)."""
    width, height = size
    if isinstance(segmentation, list):
        if not segmentation:
            return np.zeros((height, width), np.uint8)
        polygons = [np.asarray(polygon, dtype=np.float64).ravel().tolist() for polygon in segmentation]
        return coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons, height, width)))
    if isinstance(segmentation, dict):
        counts = segmentation["counts"]
        if isinstance(counts, list):
            segmentation = coco_mask.frPyObjects(segmentation, height, width)
        elif isinstance(counts, str):
            segmentation = {**segmentation, "counts": counts.encode("ascii")}
        return coco_mask.decode(segmentation)
    array = np.asarray(segmentation)
    if array.ndim != 2:
        raise ValueError(f"a segmentation has shape {array.shape}, but must have two dimensions")
    return array


def union(segmentations, size):
    return np.sum([decode(s, size) > 0 for s in segmentations], axis=0) > 0


def others(draws, items, query, shots):
    """Draws `shots` of `items` that differ from `query`; they may repeat."""
    if all(item == query for item in items):
        raise ValueError(f"{query!r} is the only picture of its class, so it has no supports")
    found = []
    while len(found) < shots:
        item = draws.choose(items)
        if item != query:
            found.append(item)
    return found
