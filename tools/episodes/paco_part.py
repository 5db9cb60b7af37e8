"""PACO-Part: 2500 episodes per fold; class, picture and object are drawn, and pictures are cropped to the object."""

import pickle

EPISODES = 2500
FOLDS = 4
CLASSES = 448


def make(writer, draws, fold, shots):
    from common import union

    def load(split):
        with open(writer.root / f"PACO-Part/paco/paco_part_{split}.pkl", "rb") as file:
            return pickle.load(file)

    train, val = load("train"), load("val")
    # {class: [(picture id, path)]}, each picture once, at its first occurrence.
    images = {}
    for category, entries in val["cid2img"].items():
        once = {}
        for entry in entries:
            ((number, path),) = entry.items()
            once.setdefault(number, path)
        images[category] = list(once.items())
    order = list(train["cid2img"])
    if len(order) != CLASSES:
        raise ValueError(f"paco_part_train.pkl has {len(order)} classes, but the benchmark has {CLASSES}")
    classes = [c for c in (order[fold + FOLDS * v] for v in range(CLASSES // FOLDS)) if len(images.get(c, ())) > shots]

    for _ in range(EPISODES):
        category = draws.choose(classes)

        def drawn():
            number, path = draws.choose(images[category])
            return number, "/".join(path.split("/")[-2:])

        def drawn_object(number):
            objects = {}
            for annotation in val["img2anno"][number]:
                if annotation["category_id"] == category:
                    objects.setdefault(annotation["obj_ann_id"], []).append(annotation)
            return draws.choose(list(objects.items()))

        def example(name, chosen):
            key, parts = chosen
            x, y, width, height = parts[0]["obj_bbox"]
            image = f"PACO-Part/coco/{name}"
            mask = union([p["segmentation"] for p in parts], writer.size(image))
            box = (int(x), int(y), int(x + width), int(y + height))
            return writer.image_with(image, mask, f"class{category}_object{key}", box)

        number, query = drawn()
        chosen = drawn_object(number)
        supports = []
        while len(supports) < shots:
            number, name = drawn()
            if name != query:
                supports.append((name, drawn_object(number)))
        writer.add(str(category), [example(*s) for s in supports], example(query, chosen))
