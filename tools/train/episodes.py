"""Scenes for training and measuring: M pictures that hold the same T classes, with a mask of each class in each picture.

Every picture of a scene can be a query and the others its supports, for each class in turn: the same pictures with
another mask must give another answer, so the support cannot be ignored.
"""

import json
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

cv2.setNumThreads(1)
IGNORE, OTHER = 255, 100
VOC = (
    "background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person "
    "pottedplant sheep sofa train tvmonitor"
).split()
NOVEL = [VOC.index(name) for name in ("cow", "horse", "sheep")]


class Library:
    """What prepare.py made, mapped into memory, one split of it."""

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

    def array(self, store, number):
        start, *shape = self.places[store][number]
        return self.flat[store][start : start + int(np.prod(shape))].reshape(shape)

    def photo(self, photo):
        return self.array("photos", photo["pixels"]), self.array("photos", photo["mask"])


# ----------------------------------------------------------------------------------------------- pictures


def jitter(rgb, rng, strength):
    """Brightness, contrast, saturation, a little hue; float32 in 0..255."""
    x = rgb.astype(np.float32)
    grey = x.mean(-1, keepdims=True)
    x = grey + (x - grey) * rng.uniform(1 - strength, 1 + strength)
    x = (x - 128) * rng.uniform(1 - strength, 1 + strength) + 128 + rng.uniform(-60, 60) * strength
    return np.clip(x * rng.uniform(1 - 0.25 * strength, 1 + 0.25 * strength, 3).astype(np.float32), 0, 255)


def cropped(pixels, mask, height, width, rng, scale=(0.55, 1.0)):
    """A random part of a photograph at height x width, with its class index. A square's aspect ratio is off by a third at
    most; of that of a narrower part half is cropped and half is squeezed."""
    h, w = mask.shape
    s = rng.uniform(*scale)
    stretch = rng.uniform(0.87, 1.15)
    tall, wide = min(1.0, (height / width) ** 0.5), min(1.0, (width / height) ** 0.5)
    ch, cw = min(h, max(8, int(h * s * tall * stretch))), min(w, max(8, int(w * s * wide / stretch)))
    y, x = rng.integers(0, h - ch + 1), rng.integers(0, w - cw + 1)
    how = cv2.INTER_AREA if ch >= height else cv2.INTER_LINEAR
    part = cv2.resize(np.ascontiguousarray(pixels[y : y + ch, x : x + cw]), (width, height), interpolation=how)
    label = np.ascontiguousarray(mask[y : y + ch, x : x + cw])
    label = cv2.resize(label, (width, height), interpolation=cv2.INTER_NEAREST)
    if rng.random() < 0.5:
        part, label = part[:, ::-1], label[:, ::-1]
    return np.ascontiguousarray(part), np.ascontiguousarray(label)


def plain_ground(size, rng):
    a, b = rng.uniform(0, 255, (2, 3))
    if rng.random() < 0.4:
        b = a
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0:size, 0:size] / size
    t = np.clip(0.5 + (x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle), 0, 1)[..., None]
    ground = a + (b - a) * t
    if rng.random() < 0.4:
        cells = int(rng.integers(3, 24))
        noise = rng.normal(0, rng.uniform(5, 50), (cells, cells, int(rng.choice([1, 3])))).astype(np.float32)
        noise = cv2.resize(noise, (size, size), interpolation=int(rng.choice([cv2.INTER_NEAREST, cv2.INTER_CUBIC])))
        ground = ground + noise.reshape(size, size, -1)
    return np.clip(ground, 0, 255).astype(np.float32)


def paste(canvas, label, number, cutout, rng, scale, strength, avoid):
    """Puts a cut-out on a float canvas, turned, scaled and mirrored at random, and `number` where it is opaque in
    `label`. Tries to cover little of `avoid`. Returns False where no place was found."""
    size = canvas.shape[0]
    h, w = cutout.shape[:2]
    long = max(h, w)
    s = rng.uniform(*scale) * size / long
    pixels = np.ascontiguousarray(cutout)
    if s < 0.7:
        pixels = cv2.resize(pixels, (max(2, round(w * s)), max(2, round(h * s))), interpolation=cv2.INTER_AREA)
        h, w = pixels.shape[:2]
        s = 1.0
    rgb = jitter(pixels[..., :3], rng, strength)
    alpha = pixels[..., 3:].astype(np.float32) / 255
    rgba = np.concatenate([rgb * alpha, alpha], -1)
    angle = np.deg2rad(rng.normal(0, 15))
    mirror = -1 if rng.random() < 0.5 else 1
    shear = rng.uniform(-0.1, 0.1)
    a = s * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ [[mirror, shear], [0, 1]]
    half = np.abs(a) @ [w / 2, h / 2]
    for _ in range(6):
        low = np.minimum(half * 0.8, size / 2)
        centre = rng.uniform(low, size - low)
        matrix = np.concatenate([a, (centre - a @ [w / 2, h / 2])[:, None]], 1).astype(np.float32)
        moved = cv2.warpAffine(rgba, matrix, (size, size), flags=cv2.INTER_LINEAR, borderValue=0)
        opaque = moved[..., 3] > 0.5
        area = opaque.sum()
        if area < 12:
            return False
        if (opaque & avoid).sum() <= 0.15 * min(area, max(avoid.sum(), 1)):
            canvas *= 1 - moved[..., 3:]
            canvas += moved[..., :3]
            label[opaque] = number
            return True
    return False


# ----------------------------------------------------------------------------------------------- scenes


class Scenes:
    """Draws scenes from a library. `hard` from 0 to 1: from plain grounds and the same drawing to photographs,
    strangers' drawings, strong jitter. `natural`: the classes of photographs to draw, by default all."""

    def __init__(self, library, size, hard, rng, natural=None):
        self.library, self.size, self.hard, self.rng = library, size, hard, rng
        weights = {"emoji": 0.5, "clipart": 0.15, "stamp": 0.12, "unit": 0.08, "icon": 0.05}
        self.kinds = [k for k in weights if k in library.kinds]
        self.weights = np.array([weights[k] for k in self.kinds] + [0.15])
        wanted = natural or library.of_class
        self.natural = [c for c in wanted if len(library.of_class.get(c, [])) >= 5]
        if not self.natural:
            self.weights[-1] = 0
        # Between one class as often as any other and one photograph as often as any other.
        often = np.array([len(library.of_class[c]) ** 0.5 for c in self.natural])
        self.often = often / often.sum()
        self.weights /= self.weights.sum()
        self.other_instances = 0.4 + 0.6 * hard  # how often a class is drawn by different hands
        self.on_photographs = 0.75 * hard  # how often a composite lies on one
        self.apart = False  # the first picture's drawing is in no other, where its class has more

    def without_photographs(self, only=None):
        """Draw no class that is cut out of photographs, or none but one kind of drawings."""
        self.natural = []
        self.weights[-1] = 0
        self.weights *= [only in (None, kind) for kind in [*self.kinds, None]]
        self.weights /= self.weights.sum()

    def draw_class(self):
        """A class number: below len(classes) drawings, from there on VOC's classes, cut out of photographs."""
        kind = self.rng.choice(len(self.weights), p=self.weights)
        if kind == len(self.kinds):
            return len(self.library.classes) + int(self.rng.choice(self.natural, p=self.often))
        return int(self.rng.choice(self.library.kinds[self.kinds[kind]]))

    def instances(self, number, count):
        """Cut-outs of a class, different ones if there are."""
        drawn = len(self.library.classes)
        if number >= drawn:
            if self.rng.random() < 0.3:  # itself elsewhere: there are few classes of photographs
                return [self.natural_cutout(number - drawn)] * count
            return [self.natural_cutout(number - drawn) for _ in range(count)]
        members = self.library.classes[number]["cutouts"]
        if self.rng.random() > self.other_instances:
            chosen = [self.rng.choice(members)] * count
        else:
            order = np.arange(count) % len(members)
            if self.apart and len(members) > 1:
                order[1:] = 1 + np.arange(count - 1) % (len(members) - 1)
            chosen = self.rng.permutation(members)[order]
        return [self.library.array("cutouts", int(m)) for m in chosen]

    def natural_cutout(self, c):
        best = None
        for _ in range(4):
            pixels, mask = self.library.photo(self.rng.choice(self.library.of_class[c]))
            of = (mask == c).astype(np.uint8)
            count, parts, stats, _ = cv2.connectedComponentsWithStats(of, connectivity=8)
            if count < 2:
                continue
            part = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
            x, y, w, h, area = stats[part]
            if best is None or area > best[0]:
                best = area, np.dstack([pixels, 255 * (parts == part).astype(np.uint8)])[y : y + h, x : x + w]
            if area > 0.03 * mask.size:
                break
        return best[1] if best is not None else np.full((16, 16, 4), 255, np.uint8)

    def ground(self):
        if self.rng.random() < self.on_photographs:
            pixels, mask = self.library.photo(self.rng.choice(self.library.photos))
            return jitter(cropped(pixels, mask, self.size, self.size, self.rng)[0], self.rng, 0.3 * self.hard)
        return plain_ground(self.size, self.rng)

    def scale(self):
        return (0.2, 0.55) if self.rng.random() < 0.5 + 0.3 * self.hard else (0.4, 0.75)

    def composite(self, pictures, targets=2, others=(0, 2)):
        """(images [M, S, S, 3] uint8, masks [T, M, S, S] uint8, classes [T])"""
        images, labels, classes = self.labelled(pictures, targets, others)
        return images, np.array([labels == t + 1 for t in range(targets)], np.uint8), classes

    def labelled(self, pictures, targets=2, others=(0, 2)):
        """(images [M, S, S, 3] uint8, labels [M, S, S] uint8, classes [T]): label t + 1 is the target t, OTHER one of
        the further objects, of which there are between `others` in each picture."""
        while True:
            classes = [self.draw_class() for _ in range(targets)]
            if len(set(classes)) == targets:
                break
        images, labels = [], []
        drawn = [self.instances(c, pictures) for c in classes]
        for m in range(pictures):
            for _ in range(8):
                canvas, label = self.ground(), np.zeros((self.size, self.size), np.uint8)
                good = self.fill(canvas, label, [d[m] for d in drawn], classes, others)
                if good:
                    break
            images.append(canvas)
            labels.append(label)
        return self.finish(images), np.array(labels), classes

    def fill(self, canvas, label, cutouts, classes, others):
        things = [(t + 1, cutout) for t, cutout in enumerate(cutouts)]
        if self.rng.random() < 0.2:  # a second one of a target
            t = int(self.rng.integers(len(classes)))
            things.append((t + 1, self.instances(classes[t], 1)[0]))
        for _ in range(self.rng.integers(others[0], others[1] + 1)):
            other = self.draw_class()
            if other not in classes:
                things.append((OTHER, self.instances(other, 1)[0]))
        for i in self.rng.permutation(len(things)):
            number, cutout = things[i]
            paste(canvas, label, number, cutout, self.rng, self.scale(), 0.15 + 0.25 * self.hard, label > 0)
        least = 0.004 * self.size**2
        return all((label == t + 1).sum() > least for t in range(len(classes)))

    def photographs(self, pictures, pasted):
        """The same of photographs of one of VOC's classes, IGNORE where the annotation says nothing; `pasted` adds a drawn
        class to all of them as a second target."""
        c = int(self.rng.choice(self.natural, p=self.often))
        images, labels = [], []
        for photo in self.photos_of(c, pictures):
            image, label = self.shown(photo, c, self.size, self.size)
            images.append(jitter(image, self.rng, 0.3))
            labels.append(label)
        masks = [[np.where(label == IGNORE, IGNORE, label == c) for label in labels]]
        classes = [len(self.library.classes) + c]
        if pasted:
            number = self.draw_class()
            while number in classes:
                number = self.draw_class()
            second = []
            for image, mask, cutout in zip(images, masks[0], self.instances(number, pictures)):
                on = np.zeros_like(mask)
                for _ in range(4):
                    if paste(image, on, 1, cutout, self.rng, (0.2, 0.45), 0.3, mask == 1):
                        break
                mask[on == 1] = 0
                second.append(on)
            # Where a picture has no room for it, it is a further object: an empty mask asks for nothing.
            if all(on.any() for on in second):
                masks.append(second)
                classes.append(number)
        return self.finish(images), np.array(masks, np.uint8), classes

    def photos_of(self, c, count):
        """Different photographs of class `c`, where it is not tiny unless it always is."""
        chosen = self.rng.permutation(len(self.library.of_class[c]))[: 4 * count]
        photos = [self.library.of_class[c][i] for i in chosen]
        small = [(self.library.photo(p)[1] == c).mean() < 0.02 for p in photos]
        return [photos[i] for i in np.argsort(small, kind="stable")[:count]]

    def shown(self, photo, c, height, width):
        """A part of the photograph that shows class `c`."""
        pixels, mask = self.library.photo(photo)
        whole, best = (mask == c).mean(), (-1.0,)
        for attempt in range(6):
            scale = (0.55, 1.0) if attempt < 5 else (1.0, 1.0)
            image, label = cropped(pixels, mask, height, width, self.rng, scale)
            share = (label == c).mean()
            if share > best[0]:
                best = share, image, label
            if share > 0.03 and share > 0.3 * whole:
                break
        return best[1:]

    def pairs(self, pictures):
        """The same of pictures in which photographs of two of VOC's classes lie side by side: what stands out is both,
        and only the support tells which is asked for."""
        classes = [int(c) for c in self.rng.choice(self.natural, 2, replace=False, p=self.often)]
        chosen = [self.photos_of(c, pictures) for c in classes]
        images, labels = [], []
        for both in zip(*chosen):
            width = int(self.size * self.rng.uniform(0.4, 0.6))
            places = zip(self.rng.permutation(2), (width, self.size - width))
            halves = [self.shown(both[i], classes[i], self.size, w) for i, w in places]
            images.append(np.concatenate([jitter(image, self.rng, 0.3) for image, _ in halves], 1))
            labels.append(np.concatenate([label for _, label in halves], 1))
        masks = [[np.where(label == IGNORE, IGNORE, label == c) for label in labels] for c in classes]
        return self.finish(images), np.array(masks, np.uint8), [len(self.library.classes) + c for c in classes]

    def finish(self, images):
        out = []
        for image in images:
            image = np.clip(image, 0, 255)
            if self.rng.random() < 0.15 * self.hard:
                image = cv2.GaussianBlur(image, (0, 0), self.rng.uniform(0.3, 1.0) * self.size / 128)
            if self.rng.random() < 0.3 * self.hard:
                image = image + self.rng.normal(0, self.rng.uniform(1, 8), image.shape)
            if self.rng.random() < 0.05 * self.hard:
                image = np.repeat(image.mean(-1, keepdims=True), 3, -1)
            out.append(np.clip(image, 0, 255).astype(np.uint8))
        return np.array(out)


def shrunk(b, size):
    """A batch as the engine brings it to size x size: pictures by PIL's bilinear, masks by the nearest pixel."""
    drawn = b["images"].shape[1]
    if drawn == size:
        return b
    rows = np.arange(size) * drawn // size
    images = [np.asarray(Image.fromarray(image).resize((size, size), Image.BILINEAR)) for image in b["images"]]
    return b | {"images": np.array(images), "masks": b["masks"][:, rows][:, :, rows]}


def batch(scenes, pictures, counts, absent=0.0):
    """One batch: counts = (composites, photographs with something pasted, pairs of photographs, plain photographs). The
    part `absent` of the episodes has the supports of a drawing that another scene asks for: nothing is to be found.

    images [I, S, S, 3], masks [E, S, S], image_of [E], supports [E, M - 1], classes [E], others [E]: the
    episode with the same picture and the scene's other class, or itself; absent [E]."""
    images, masks, image_of, supports, classes, others, scene_of = [], [], [], [], [], [], []
    makers = (
        [lambda: scenes.composite(pictures)] * counts[0]
        + [lambda: scenes.photographs(pictures, True)] * counts[1]
        + [lambda: scenes.pairs(pictures)] * counts[2]
        + [lambda: scenes.photographs(pictures, False)] * counts[3]
    )
    for make in makers:
        found, targets, names = make()
        first = len(masks)
        for t in range(len(targets)):
            for m in range(pictures):
                episode = first + t * pictures + m
                masks.append(targets[t, m])
                image_of.append(len(images) + m)
                supports.append([first + t * pictures + o for o in range(pictures) if o != m])
                classes.append(names[t])
                others.append(first + (1 - t) * pictures + m if len(targets) == 2 else episode)
                scene_of.append(first)
        images.extend(found)
    own, is_absent = list(supports), np.zeros(len(masks), bool)
    for episode in np.flatnonzero(scenes.rng.random(len(masks)) < absent):
        here = {c for c, scene in zip(classes, scene_of) if scene == scene_of[episode]}
        foreign = [e for e, c in enumerate(classes) if c not in here and c < len(scenes.library.classes)]
        if foreign:
            supports[episode], is_absent[episode] = own[scenes.rng.choice(foreign)], True
    return {
        "images": np.array(images),
        "masks": np.array(masks),
        "image_of": np.array(image_of),
        "supports": np.array(supports),
        "classes": np.array(classes),
        "others": np.array(others),
        "absent": is_absent,
    }
