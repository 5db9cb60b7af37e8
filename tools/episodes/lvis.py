"""LVIS-92i: 2300 episodes per fold, with classes in turn; query and supports are drawn."""

import pickle

EPISODES = 2300
FOLDS = 10


def make(writer, draws, fold, shots):
    from common import others, union

    with open(writer.root / "LVIS/lvis_val.pkl", "rb") as file:
        annotations = pickle.load(file)
    enough = [category for category in annotations if len(annotations[category]) > shots]
    classes = [enough[fold + FOLDS * v] for v in range(len(enough) // FOLDS)]
    for i in range(EPISODES):
        category = classes[i % len(classes)]
        images = list(annotations[category])
        query = draws.choose(images)
        supports = others(draws, images, query, shots)

        def example(name):
            image = f"LVIS/coco/{name}"
            parts = [a["segmentation"] for a in annotations[category][name]["annotations"]]
            return writer.image_with(image, union(parts, writer.size(image)), f"class{category}")

        writer.add(str(category), [example(s) for s in supports], example(query))
