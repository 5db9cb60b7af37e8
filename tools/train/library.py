"""The data of prepare.py, alike.py and regions.py, for drawing scenes from it."""

import json
from pathlib import Path

import numpy as np

IGNORE = 255  # the annotation is undefined
ANNOTATED = 100  # plus the class: an annotated region
ALIKE = 0.35  # least cosine between vectors of objects that look alike
VOC = (
    "background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person "
    "pottedplant sheep sofa train tvmonitor"
).split()
NOVEL = [VOC.index(name) for name in ("cow", "horse", "sheep")]


class Library:
    """One split of it, with pictures mapped into memory."""

    def __init__(self, directory, split):
        directory = Path(directory)
        index = json.loads((directory / "index.json").read_text(encoding="utf-8"))
        self.places = {"cutouts": index["cutouts"], "photos": index["photo_arrays"]}
        self.flat = {name: np.load(directory / f"{name}.npy", mmap_mode="r") for name in self.places}
        self.artists = index["artists"]
        self.classes = [c for c in index["classes"] if c["split"] == split]
        self.kinds = {}
        for number, c in enumerate(self.classes):
            self.kinds.setdefault(c["name"].split()[0], []).append(number)
        self.photos = [p for p in index["photos"] if p["split"] == split]
        self.of_class = {}
        for photo in self.photos:
            for c in photo["classes"]:
                self.of_class.setdefault(c, []).append(photo)
        # The results of alike.py and regions.py, for the training split only.
        files = (directory / "alike.npz", directory / "regions.npz")
        self.things, self.regions = (self.vectors(path) if split == "train" else None for path in files)
        if self.regions:
            sizes = [int(np.prod(self.shape("photos", photo["mask"]))) for photo in self.photos]
            self.region_starts = np.cumsum([0, *sizes])

    @staticmethod
    def vectors(path):
        found = dict(np.load(path)) if path.exists() else None
        return found and found | {"vectors": found["vectors"].astype(np.float32)}

    def shape(self, store, number):
        return self.places[store][number][1:]

    def array(self, store, number):
        start, *shape = self.places[store][number]
        return self.flat[store][start : start + int(np.prod(shape))].reshape(shape)

    def photo(self, photo):
        return self.array("photos", photo["pixels"]), self.array("photos", photo["mask"])

    def thing(self, number):
        """(photograph, class)"""
        return self.photos[self.things["of"][number]], int(self.things["classes"][number])

    def lookalikes(self, thing, count, rng):
        """`count` objects: first `thing`, then others that look like it, or itself if there are too few."""
        near = self.things["vectors"] @ self.things["vectors"][thing]
        near[self.things["of"] == self.things["of"][thing]] = -1
        nearest = np.argsort(-near)[: count + 4]
        chosen = rng.permutation(nearest[near[nearest] > ALIKE])[: count - 1]
        return [thing, *chosen, *[thing] * (count - 1 - len(chosen))]

    def region_labels(self, number):
        """The labels of this photograph, as regions.py wrote them."""
        shape = self.shape("photos", self.photos[number]["mask"])
        return self.regions["labels"][self.region_starts[number] :][: np.prod(shape)].reshape(shape)
