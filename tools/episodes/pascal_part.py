"""Pascal-Part: classes (object+part) in turn; picture and object are drawn until the part is present, and pictures are
cropped to the object. Supports are distinct."""

import json

EPISODES = 2500
FOLDS = ["animals", "indoor", "person", "vehicles"]
LEFT_OUT = "aeroplane+TAIL"
VOC = "Pascal-Part/VOCdevkit/VOC2010"


def make(writer, draws, fold, shots):
    from common import union

    objects = json.loads((writer.root / VOC / "all_obj_part_to_image.json").read_text())[FOLDS[fold]]["object"]
    parts = [(o, p, images) for o, entry in objects.items() for p, images in entry["part"].items()]
    classes = [(o, p, i["val"]) for o, p, i in parts if i["train"] and i["val"] and f"{o}+{p}" != LEFT_OUT]
    total = sum(len(images["val"]) for _, _, images in parts)

    for i in range(min(total, EPISODES)):
        name, part, images = classes[i % len(classes)]

        def drawn(taken):
            """Draws a picture not in `taken`, and an object of this name in it that has the part."""
            while True:
                image = draws.choose(images)
                if image in taken:
                    continue
                text = (writer.root / VOC / f"Annotations_Part_json_merged_part_classes/{image}.json").read_text()
                found = [o for o in json.loads(text)["object"] if o["name"] == name]
                chosen = draws.choose(list(enumerate(found)))
                masks = [mask for p in chosen[1]["parts"] if p["name"] == part for mask in p["mask"]]
                if masks:
                    return image, chosen, masks

        def example(image, chosen, masks):
            number, found = chosen
            box = tuple(int(v) for v in found["bndbox"].values())
            path = f"{VOC}/JPEGImages/{image}.jpg"
            return writer.image_with(path, union(masks, writer.size(path)), f"{name}{number}_{part}", box)

        if len(set(images)) <= shots:
            raise ValueError(f"{name}+{part} has {len(set(images))} pictures, too few for {shots} supports and a query")
        query = drawn([])
        supports = []
        while len(supports) < shots:
            supports.append(drawn([query[0], *(s[0] for s in supports)]))
        writer.add(f"{name}+{part}", [example(*s) for s in supports], example(*query))
