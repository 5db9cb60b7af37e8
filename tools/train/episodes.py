"""Scenes for training and measuring: M pictures with the same T classes, and a mask of each class in each picture.

Every picture of a scene can be a query with the others as its supports, for each class in turn. The same pictures with
another mask must give another answer, so the support cannot be ignored.
"""

import numpy as np
from canvas import cropped, jitter, paste, plain_ground
from library import IGNORE
from photographs import Photographs

OTHER = 100


class Scenes(Photographs):
    """Draws scenes from a library. `hard` goes from 0 (plain backgrounds and the same drawing) to 1 (photographs,
    other artists' drawings, strong jitter). `natural`: the classes of photographs to draw, by default all."""

    def __init__(self, library, size, hard, rng, natural=None):
        self.library, self.size, self.hard, self.rng = library, size, hard, rng
        weights = {"emoji": 0.5, "clipart": 0.15, "stamp": 0.12, "unit": 0.08, "icon": 0.05}
        self.kinds = [k for k in weights if k in library.kinds]
        self.weights = np.array([weights[k] for k in self.kinds] + [0.15])
        wanted = natural or library.of_class
        self.natural = [c for c in wanted if len(library.of_class.get(c, [])) >= 5]
        if not self.natural:
            self.weights[-1] = 0
        # A compromise between equal frequency of classes and equal frequency of photographs.
        often = np.array([len(library.of_class[c]) ** 0.5 for c in self.natural])
        self.often = often / often.sum()
        self.weights /= self.weights.sum()
        self.other_instances = 0.4 + 0.6 * hard  # how often a class is drawn by different hands
        self.on_photographs = 0.75 * hard  # how often a composite lies on one
        self.apart = False  # the first picture's drawing occurs in no other, if its class has several

    def without_photographs(self, only=None):
        """Excludes classes cut out of photographs, or all but one kind of drawings."""
        self.natural = []
        self.weights[-1] = 0
        self.weights *= [only in (None, kind) for kind in [*self.kinds, None]]
        self.weights /= self.weights.sum()

    def draw_class(self):
        """A class number: below len(classes) drawings, then VOC's classes, cut out of photographs."""
        kind = self.rng.choice(len(self.weights), p=self.weights)
        if kind == len(self.kinds):
            return len(self.library.classes) + int(self.rng.choice(self.natural, p=self.often))
        return int(self.rng.choice(self.library.kinds[self.kinds[kind]]))

    def instances(self, number, count):
        """Cut-outs of a class, different ones if possible."""
        drawn = len(self.library.classes)
        if number >= drawn:
            how = self.rng.random()  # there are few classes of photographs
            if how < 0.3:  # itself elsewhere
                return [self.natural_cutout(number - drawn)] * count
            if self.library.things and how < 0.7:
                return self.like_one(number - drawn, count)
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

    def like_one(self, c, count):
        """Cut-outs of class `c` that look alike."""
        of = np.flatnonzero(self.library.things["classes"] == c)
        if not len(of):
            return [self.natural_cutout(c) for _ in range(count)]
        things = self.library.lookalikes(int(self.rng.choice(of)), count, self.rng)
        return [self.natural_cutout(itself, photo) for photo, itself in map(self.library.thing, things)]

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
        """(images [M, S, S, 3] uint8, labels [M, S, S] uint8, classes [T]): label t + 1 is the target t; OTHER is one of
        the further objects, of which each picture has `others` or more."""
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
        """The same for photographs of one of VOC's classes, with IGNORE where the annotation is undefined; `pasted` adds a drawn
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
            # If a picture has no room for it, it is a further object, because an empty mask defines no target.
            if all(on.any() for on in second):
                masks.append(second)
                classes.append(number)
        return self.finish(images), np.array(masks, np.uint8), classes


def batch(scenes, pictures, counts, absent=0.0):
    """One batch: counts = (composites, photographs with something pasted, pairs of photographs, plain photographs, their
    regions). The share `absent` of the episodes gets the supports of another scene's drawing, if there is one, so that
    nothing should be found.

    images [I, S, S, 3], masks [E, S, S], image_of [E], supports [E, M - 1], classes [E], others [E]: the
    episode with the same picture and the scene's other class, or itself; absent [E]."""
    images, masks, image_of, supports, classes, others, scene_of = [], [], [], [], [], [], []
    makers = (
        lambda: scenes.composite(pictures),
        lambda: scenes.photographs(pictures, True),
        lambda: scenes.pairs(pictures),
        lambda: scenes.photographs(pictures, False),
        lambda: scenes.regions(pictures),
    )
    for make in [make for make, count in zip(makers, counts) for _ in range(count)]:
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
