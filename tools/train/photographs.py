"""Scenes that consist of photographs only."""

import cv2
import numpy as np
from canvas import cropped, jitter
from library import ANNOTATED, IGNORE

UNLIKE = 0.15  # greatest cosine between vectors of objects that count as different
SAME, UNSURE = 0.62, 0.42  # cosines of the vectors of regions: alike above the first, unsure above the second


class Photographs:
    """Draws them from `library`, at `size`, with `rng`; `natural`: the classes to draw, the i-th in `often`[i] of the scenes.
    Objects outside of VOC's classes have numbers beyond these."""

    library = size = hard = rng = natural = often = None

    def natural_cutout(self, c, photo=None):
        """The pixels that show class `c` in the photograph, or any object of the class."""
        best = None
        for _ in range(1 if photo else 4):
            pixels, mask = self.library.photo(photo or self.rng.choice(self.library.of_class[c]))
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

    def photos_of(self, c, count):
        """Different photographs of class `c` in which it is not tiny, unless it always is."""
        chosen = self.rng.permutation(len(self.library.of_class[c]))[: 4 * count]
        photos = [self.library.of_class[c][i] for i in chosen]
        small = [(self.library.photo(p)[1] == c).mean() < 0.02 for p in photos]
        return [photos[i] for i in np.argsort(small, kind="stable")[:count]]

    def shown(self, photo, c, height, width, mask=None):
        """A part of the photograph that shows class `c`, by its own mask unless another is given."""
        pixels, annotated = self.library.photo(photo)
        mask = annotated if mask is None else mask
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
        """(images, masks, classes) as in `Scenes.composite`, with IGNORE where the annotation is undefined, of pictures that
        join two photographs side by side: both objects are salient, and only the support tells which one is the target.
        They have two of VOC's classes, or two objects and their lookalikes, or the same two objects elsewhere."""
        drawn = len(self.library.classes)
        of_voc = self.library.things is None or self.rng.random() < 0.25
        if of_voc:
            names = [int(c) for c in self.rng.choice(self.natural, 2, replace=False, p=self.often)]
            chosen = [[(photo, c) for photo in self.photos_of(c, pictures)] for c in names]
        else:
            names = self.unlike_things()
            themselves = self.rng.random() < 0.3
            chosen = []
            for thing in names:
                shown = [thing] * pictures if themselves else self.library.lookalikes(thing, pictures, self.rng)
                chosen.append([self.library.thing(i) for i in self.rng.permutation(shown)])
        images, masks = [], [[], []]
        for both in zip(*chosen):
            width = int(self.size * self.rng.uniform(0.4, 0.6))
            places = list(zip(self.rng.permutation(2), (width, self.size - width)))
            halves = [self.shown(*both[i], self.size, w) for i, w in places]
            images.append(np.concatenate([jitter(image, self.rng, 0.3) for image, _ in halves], 1))
            for t, (_, c) in enumerate(both):
                # An object is the target in its own half only, because the other half may have its class, too.
                marks = [(label == c) & (of_voc or i == t) for (i, _), (_, label) in zip(places, halves)]
                ignored = [label == IGNORE for _, label in halves]
                masks[t].append(np.where(np.concatenate(ignored, 1), IGNORE, np.concatenate(marks, 1)))
        first = drawn if of_voc else drawn + 1000
        return self.finish(images), np.array(masks, np.uint8), [first + name for name in names]

    def unlike_things(self):
        """Two classes that do not look alike, preferring rare ones over equal frequency."""
        of, classes, vectors = (self.library.things[key] for key in ("of", "classes", "vectors"))
        often = np.bincount(classes)[classes] ** -0.5
        while True:
            a, b = (int(i) for i in self.rng.choice(len(often), 2, replace=False, p=often / often.sum()))
            if vectors[a] @ vectors[b] < UNLIKE and of[a] != of[b]:
                return [a, b]

    def regions(self, pictures):
        """The same for photographs, with one or two regions of their background that look alike in all of them and are seldom
        salient. IGNORE where they might be."""
        r = self.library.regions
        ground = r["label"] < ANNOTATED
        asked = np.flatnonzero(ground & (r["share"] > 0.025) & (r["share"] < 0.5))
        photos = []
        while len(photos) < pictures:
            targets = [int(self.rng.choice(asked))]
            near = r["vectors"] @ r["vectors"][targets[0]]
            photos = [int(r["of"][targets[0]])]
            if self.rng.random() < 0.3:
                photos *= pictures
                break
            alike = np.flatnonzero(ground & (near > SAME) & (r["share"] > 0.02) & (r["of"] != photos[0]))
            others = list(dict.fromkeys(int(p) for p in r["of"][alike[np.argsort(-near[alike])]]))
            photos += [int(p) for p in self.rng.permutation(others[: pictures + 2])[: pictures - 1]]
        # A second region, unlike the first, that all of them have, too.
        best = SAME
        for i in np.flatnonzero((r["of"] == photos[0]) & ground & (r["share"] > 0.025) & (near < UNSURE)):
            alike = r["vectors"] @ r["vectors"][i]
            least = min(alike[(r["of"] == p) & ground].max(initial=-1) for p in photos)
            if least > best:
                best, targets = least, [targets[0], int(i)]
        images, labels = [], []
        for number in photos:
            # Areas too small for a region are undefined.
            found = self.library.region_labels(number)
            label = np.where(found == 0, IGNORE, 0).astype(np.uint8)
            for i in np.flatnonzero(r["of"] == number):
                cosines = r["vectors"][targets] @ r["vectors"][i]
                if cosines.max() > UNSURE:
                    sure = ground[i] and cosines.max() > SAME
                    label[found == r["label"][i]] = 1 + cosines.argmax() if sure else IGNORE
            label[found == IGNORE] = IGNORE
            image, label = self.shown(self.library.photos[number], 1, self.size, self.size, label)
            images.append(jitter(image, self.rng, 0.3))
            labels.append(label)
        masks = [[np.where(label == IGNORE, IGNORE, label == t + 1) for label in labels] for t in range(len(targets))]
        first = len(self.library.classes) + 100_000
        return self.finish(images), np.array(masks, np.uint8), [first + t for t in targets]

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
