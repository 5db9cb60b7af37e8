"""Draws the scenes of examples/ from held-out drawings of the Open Clip Art Library (public domain) on our own backgrounds.

    python examples.py --data DIR [--output ../../examples] [--seeds 2 1 2]

Support and query show different drawings of the same object, among other objects. One seed per scene; the defaults are those
of the committed scenes.
"""

import argparse
from pathlib import Path

import numpy as np
from canvas import paste, plain_ground
from library import Library
from PIL import Image

SIZE = 256
# Target in the support, targets in the query, other objects in both: (class, number of the drawing).
SETS = [
    (
        ("bugs c_rollandin_francesco_ar", 0),
        [("bugs coccinella_rollandin_arc", 0), ("bugs coccinelle_tanguy_jacq", 0)],
        [("bugs libellule_tanguy_jacq", 0), ("bugs abeille_tanguy_jacq", 0), ("bugs ragnetto_incazzato_archi", 0)],
    ),
    (
        ("fruit lemon_simple", 0),
        [("fruit lemon_whole_ganson", 0), ("fruit lemon", 0)],
        [("fruit cherries", 0), ("fruit pasteque", 0), ("desserts muffin_jean_victor_balin", 0)],
    ),
    (
        ("toys stylized_teddy_bear_wit", 0),
        [("toys simple_teddy_bear_gerald", 0)],
        [("toys beach_ball", 0), ("toys kiddy_train_orlando_kara", 0), ("games 8ball_form_jarno_vasama", 0)],
    ),
]
# For docs/guide.md: three pictures of the object with masks, and a folder to search. Its last picture has no such object.
GUIDE = [("fruit lemon_simple", 0), ("fruit lemon_whole_ganson", 0), ("fruit lemon", 0)]
GUIDE_SEED = 5


def guide(folder, drawing, others):
    rng = np.random.default_rng(GUIDE_SEED)
    lemons = [drawing(*lemon) for lemon in GUIDE]
    pick = lambda count: [others[i] for i in rng.choice(len(others), count, replace=False)]
    (folder / "photos").mkdir(parents=True, exist_ok=True)
    for number, lemon in enumerate(lemons, 1):
        image, mask = scene([lemon], pick(2), rng)
        Image.fromarray(image).save(folder / f"lemon_{number}.png", optimize=True)
        Image.fromarray(mask).save(folder / f"lemon_{number}_mask.png", optimize=True)
    for number, count in enumerate((1, 2, 2, 0), 1):
        image, _ = scene([lemons[i] for i in rng.choice(3, count, replace=False)], pick(3), rng)
        Image.fromarray(image).save(folder / "photos" / f"crate_{number}.png", optimize=True)


def scene(cutouts, others, rng):
    while True:
        canvas, label = plain_ground(SIZE, rng), np.zeros((SIZE, SIZE), np.uint8)
        things = [(1, c) for c in cutouts] + [(2, c) for c in others]
        placed = [
            paste(canvas, label, number, cutout, rng, (0.28, 0.42), 0.05, label > 0)
            for number, cutout in (things[i] for i in rng.permutation(len(things)))
        ]
        if all(placed):
            return np.clip(canvas, 0, 255).astype(np.uint8), np.where(label == 1, 255, 0).astype(np.uint8)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path, help="the output of prepare.py")
    parser.add_argument("--output", type=Path, default=Path(__file__).resolve().parents[2] / "examples")
    parser.add_argument("--seeds", type=int, nargs=3, default=[2, 1, 2])
    args = parser.parse_args()
    library = Library(args.data, "held_out")
    members = {c["name"].removeprefix("clipart "): c["cutouts"] for c in library.classes}
    drawing = lambda name, number: library.array("cutouts", members[name][number])

    guide(args.output / "lemons", drawing, [drawing(*other) for _, _, others in SETS[1:] for other in others])
    for i, (support, query, others) in enumerate(SETS):
        rng = np.random.default_rng([i, args.seeds[i]])
        folder = args.output / str(i)
        folder.mkdir(parents=True, exist_ok=True)
        things = [drawing(*other) for other in others]
        pictures = {
            "support": scene([drawing(*support)], things[:2], rng),
            "query": scene([drawing(*target) for target in query], things, rng),
        }
        for name, (image, mask) in pictures.items():
            Image.fromarray(image).save(folder / f"{name}.png", optimize=True)
            Image.fromarray(mask).save(folder / f"{name}_{'mask' if name == 'support' else 'truth'}.png", optimize=True)


if __name__ == "__main__":
    main()
