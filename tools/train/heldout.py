"""Writes held-out scenes as pictures, masks and episodes for `diffews-wgpu eval`. None of their classes and photographs
were trained on.

    python heldout.py --data DIR --output SETS [--episodes 300]
    diffews-wgpu eval --episodes SETS/composites_1.json --root SETS --json

| set | is |
|---|---|
| composites_1, composites_5 | drawings of held-out classes on held-out photographs, 1 to 3 other objects in each picture; 1 and 5 shots. The query shows a drawing that no support shows, but for classes of one drawing, whose labels say so |
| plain_1 | the same on plain grounds, emoji only, support and query drawn by different artists where there are several |
| novel_1, novel_5 | photographs of horses, sheep and cows, held out of everything |
| pairs_1 | two photographs of different ones of these side by side: what stands out is both, only the support tells which |
| seen_1 | held-out photographs of classes that were trained on |

Excluded are drawings that also occur in training under another name, and clock faces, because other times of day were trained on.

In the masks 1 is the target, 100 another object, and 255 is not scored. The pictures are made from the training material and are under its
licences: not for publication.
"""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
from episodes import OTHER, Scenes
from library import NOVEL, VOC, Library
from PIL import Image

SIZE = 256
LEAST = 0.01  # of a photograph: smaller targets are excluded from the novel and the seen set
SHOTS = 5
SAME = ", same drawing"  # of a class that has no other


class Writer:
    def __init__(self, output, name):
        self.output, self.folder, self.episodes = output, output / name.rsplit("_", 1)[0], {}
        self.folder.mkdir(parents=True, exist_ok=True)

    def scene(self, number, label, images, masks):
        """The first picture is the query, the others its supports."""
        files = []
        for m, (image, mask) in enumerate(zip(images, masks)):
            paths = [self.folder / f"{number:03}_{m}{suffix}.png" for suffix in ("", "_mask")]
            Image.fromarray(image).save(paths[0])
            Image.fromarray(mask).save(paths[1])
            files.append([str(p.relative_to(self.output)) for p in paths])
        (query, truth), *supports = files
        for shots in {1, len(supports)}:
            chosen = [{"image": i, "mask": m, "value": 1} for i, m in supports[:shots]]
            query_of = {"image": query, "mask": truth, "value": 1}
            self.episodes.setdefault(shots, []).append({"class": label, "supports": chosen, "query": query_of})

    def close(self, name):
        for shots, episodes in self.episodes.items():
            benchmark = {"name": name, "fold": 0, "shots": shots}
            text = json.dumps({"benchmark": benchmark, "episodes": episodes}, indent=1)
            (self.output / f"{name}_{shots}.json").write_text(text, encoding="utf-8")


def whole(photo, library, c):
    pixels, mask = library.photo(photo)
    return np.array(pixels), np.where(mask == 255, 255, mask == c).astype(np.uint8)


def unseen(library, trained):
    """`library` without drawings that also occur in training, and without clock faces."""
    digest = lambda lib, number: hashlib.sha256(lib.array("cutouts", number).tobytes()).digest()
    seen = {digest(trained, number) for c in trained.classes for number in c["cutouts"]}
    for kind, numbers in library.kinds.items():
        classes = [(number, library.classes[number]) for number in numbers]
        library.kinds[kind] = [
            number
            for number, c in classes
            if not any(digest(library, m) in seen for m in c["cutouts"])
            and not any(word in c["name"] for word in ("o’clock", "thirty"))
        ]
    return library


def photographs(writer, library, wanted, count, shots, rng):
    """Whole photographs at their own size, with classes in turn, and no query twice."""
    usable = {c: [p for p in library.of_class.get(c, []) if share(p, library, c) > LEAST] for c in wanted}
    usable = {c: photos for c, photos in usable.items() if len(photos) > shots}
    queries = [(c, i) for i in range(count) for c, photos in usable.items() if i < len(photos)]
    for number, (c, query) in enumerate(queries[:count]):
        others = rng.choice(len(usable[c]) - 1, shots, replace=False)
        chosen = [query, *(int(o) + int(o >= query) for o in others)]
        images, masks = zip(*(whole(usable[c][i], library, c) for i in chosen))
        writer.scene(number, VOC[c], images, masks)


def share(photo, library, c):
    return (library.photo(photo)[1] == c).mean()


def composites(writer, scenes, count, shots, seed):
    scenes.apart = True
    for number in range(count):
        scenes.rng = np.random.default_rng([seed, number])
        images, labels, (target, _) = scenes.labelled(shots + 1)
        c = scenes.library.classes[target]
        label = c["name"] + (SAME if len(c["cutouts"]) == 1 else "")
        writer.scene(number, label, images, np.where(labels > 1, OTHER, labels))


def pairs(writer, scenes, count):
    for number in range(count):
        images, (target, other), classes = scenes.pairs(2)
        label = np.where(other == 1, OTHER, target).astype(np.uint8)
        writer.scene(number, VOC[classes[0] - len(scenes.library.classes)], images, label)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path, help="the output of prepare.py")
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--episodes", type=int, default=300)
    parser.add_argument("--seed", type=int, default=77)
    args = parser.parse_args()
    drawn = unseen(Library(args.data, "held_out"), Library(args.data, "train"))
    novel = Library(args.data, "novel")

    scenes = Scenes(drawn, SIZE, 1.0, np.random.default_rng(args.seed))
    scenes.without_photographs()
    scenes.on_photographs = 1.0
    writer = Writer(args.output, "composites_1")
    composites(writer, scenes, args.episodes, SHOTS, args.seed)
    writer.close("composites")

    scenes = Scenes(drawn, SIZE, 0.0, np.random.default_rng(args.seed + 1))
    scenes.without_photographs(only="emoji")
    scenes.other_instances = 1.0
    writer = Writer(args.output, "plain_1")
    composites(writer, scenes, args.episodes // 3, 1, args.seed + 1)
    writer.close("plain")

    rng = np.random.default_rng(args.seed + 2)
    writer = Writer(args.output, "novel_1")
    photographs(writer, novel, NOVEL, args.episodes, SHOTS, rng)
    writer.close("novel")
    writer = Writer(args.output, "seen_1")
    photographs(writer, drawn, range(1, 21), args.episodes // 2, 1, rng)
    writer.close("seen")

    writer = Writer(args.output, "pairs_1")
    pairs(writer, Scenes(novel, SIZE, 1.0, np.random.default_rng(args.seed + 3), NOVEL), args.episodes // 2)
    writer.close("pairs")


if __name__ == "__main__":
    main()
