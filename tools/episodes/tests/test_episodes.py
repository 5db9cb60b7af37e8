"""Small trees in the benchmarks' layouts, and the episodes that the published evaluation would draw from them.

Each expectation walks the data with numpy's own global generator, like the published code; the tools implement the
same draws differently. Run with pytest, or as a script.
"""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

TOOL = Path(__file__).parent.parent


def run(benchmark, root, fold=0, shots=1, fails=False):
    output = root / "out" / f"{benchmark}_{fold}_{shots}.json"
    command = [sys.executable, str(TOOL), benchmark, "--root", str(root), "--fold", str(fold), "--shots", str(shots)]
    done = subprocess.run([*command, "--output", str(output)], capture_output=True, text=True)
    if fails:
        assert done.returncode != 0 and "Traceback" not in done.stderr, done.stderr
        return done.stderr
    assert done.returncode == 0, done.stderr
    return json.loads(output.read_text())


def draw(items):
    """As the published code draws. An array of objects keeps dictionaries and tuples as they are."""
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return np.random.choice(array, 1, replace=False)[0]


def picture(path, size=(12, 10), shade=100, exif=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.full((size[1], size[0], 3), shade, np.uint8))
    image.save(path, **({"exif": exif} if exif else {}))


def numbers(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array, np.uint8)).save(path)


def rle(array):
    code = coco_mask.encode(np.asfortranarray(array.astype(np.uint8)))
    return {"size": code["size"], "counts": code["counts"].decode("ascii")}


def check_head(made, name, count, fold, shots):
    head = {"name": name, "shots": shots} | ({} if fold is None else {"fold": fold})
    assert made["benchmark"] == head
    assert made["ignore"] == (255 if name == "pascal" else None)
    assert len(made["episodes"]) == count
    assert all(len(e["supports"]) == shots for e in made["episodes"])


def test_coco(tmp_path):
    fold, shots = 1, 2
    names = {fold + 4 * v: [f"val2014/{fold}_{v}_{i}.jpg" for i in range(3 + v % 3)] for v in range(20)}
    base = tmp_path / "COCO2014"
    for listed in names.values():
        for name in listed:
            picture(base / name)
            numbers(base / "annotations" / name.replace(".jpg", ".png"), np.zeros((10, 12)))
    (base / "splits/val").mkdir(parents=True)
    (base / f"splits/val/fold{fold}.pkl").write_bytes(pickle.dumps(names))
    made = run("coco", tmp_path, fold, shots)
    check_head(made, "coco", 1000, fold, shots)
    np.random.seed(0)
    for episode in made["episodes"]:
        number = np.random.choice([fold + 4 * v for v in range(20)], 1, replace=False)[0]
        query = np.random.choice(names[number], 1, replace=False)[0]
        supports = []
        while len(supports) < shots:
            name = np.random.choice(names[number], 1, replace=False)[0]
            if name != query:
                supports.append(name)
        assert [e["image"] for e in [episode["query"], *episode["supports"]]] == [
            f"COCO2014/{name}" for name in [query, *supports]
        ]
        assert episode["query"]["value"] == number + 1
        assert episode["query"]["mask"] == f"COCO2014/annotations/{query[:-4]}.png"
    assert {e["class"] for e in made["episodes"]} >= {"bicycle", "bus", "teddy bear"}


def test_pascal(tmp_path):
    listed = [(f"2007_{i:06}", 6 + i % 3) for i in range(9)]
    base = tmp_path / "VOC2012"
    for name, number in listed:
        picture(base / f"JPEGImages/{name}.jpg")
        numbers(base / f"SegmentationClassAug/{name}.png", np.full((10, 12), number))
    (base / "splits/val").mkdir(parents=True)
    (base / "splits/val/fold1.txt").write_text("".join(f"{name}__{number:02}\n" for name, number in listed))
    made = run("pascal", tmp_path, 1, 1)
    check_head(made, "pascal", 1000, 1, 1)
    np.random.seed(0)
    for i, episode in enumerate(made["episodes"]):
        query, number = listed[i % 9]
        while True:
            support = np.random.choice([n for n, c in listed if c == number], 1, replace=False)[0]
            if support != query:
                break
        assert episode["query"]["image"] == f"VOC2012/JPEGImages/{query}.jpg"
        assert episode["supports"][0]["image"] == f"VOC2012/JPEGImages/{support}.jpg"
        assert (episode["class"], episode["query"]["value"]) == (["bus", "car", "cat"][number - 6], number)


def test_fss(tmp_path):
    for category in ["zebra", "abacus"]:
        for i in range(1, 11):
            picture(tmp_path / f"FSS-1000/data/{category}/{i}.jpg")
            numbers(tmp_path / f"FSS-1000/data/{category}/{i}.png", np.full((10, 12), 255))
    (tmp_path / "FSS-1000/splits").mkdir()
    (tmp_path / "FSS-1000/splits/test.txt").write_text("zebra\nabacus\n")
    made = run("fss", tmp_path, shots=5)
    check_head(made, "fss", 20, None, 5)
    np.random.seed(0)
    order = [(c, str(n)) for c in ["abacus", "zebra"] for n in [1, 10, 2, 3, 4, 5, 6, 7, 8, 9]]
    for episode, (category, query) in zip(made["episodes"], order):
        supports = []
        while len(supports) < 5:
            number = str(np.random.choice(range(1, 11), 1, replace=False)[0])
            if number != query:
                supports.append(number)
        assert episode["class"] == category
        assert episode["query"]["mask"] == f"FSS-1000/data/{category}/{query}.png"
        assert [s["image"] for s in episode["supports"]] == [f"FSS-1000/data/{category}/{n}.jpg" for n in supports]


def test_lvis(tmp_path):
    square = np.zeros((10, 12), bool)
    square[2:5, 3:9] = True
    polygon = [[0.0, 0.0, 4.0, 0.0, 4.0, 4.0, 0.0, 4.0]]
    annotations = {}
    for category in range(100, 125):
        # Classes with two pictures have too few for two shots.
        count = 2 if category % 5 == 0 else 4
        for i in range(count):
            picture(tmp_path / f"LVIS/coco/val2017/{category}_{i}.jpg")
        parts = [{"segmentation": rle(square)}, {"segmentation": polygon}]
        annotations[category] = {f"val2017/{category}_{i}.jpg": {"annotations": parts} for i in range(count)}
    (tmp_path / "LVIS/lvis_val.pkl").write_bytes(pickle.dumps(annotations))
    made = run("lvis", tmp_path, 3, 2)
    check_head(made, "lvis", 2300, 3, 2)
    enough = [c for c in annotations if c % 5]
    classes = [enough[3], enough[13]]
    np.random.seed(0)
    for i, episode in enumerate(made["episodes"]):
        category = classes[i % 2]
        query = draw(list(annotations[category]))
        supports = []
        while len(supports) < 2:
            name = draw(list(annotations[category]))
            if name != query:
                supports.append(name)
        assert episode["class"] == str(category)
        assert [e["image"] for e in [episode["query"], *episode["supports"]]] == [f"LVIS/coco/{n}" for n in [query, *supports]]
    mask = np.asarray(Image.open(tmp_path / "out" / made["episodes"][0]["query"]["mask"]))
    expected = square.copy()
    expected[:4, :4] = True
    assert mask.dtype == np.uint8 and np.array_equal(mask, np.where(expected, 255, 0))


def test_paco_part(tmp_path):
    square = np.zeros((10, 12), bool)
    square[2:5, 3:9] = True
    order = [1000 + (5 * i) % 448 for i in range(448)]
    cid2img, img2anno = {}, {}
    for category in order[:40]:
        count = 1 if category % 4 == 1 else 3
        entries = []
        for i in range(count):
            number, name = category * 10 + i, f"val2017/{category}_{i}.jpg"
            picture(tmp_path / "PACO-Part/coco" / name, shade=20 * i)
            entries.append({number: f"coco/{name}"})
            img2anno[number] = [
                {"category_id": category, "obj_ann_id": key, "obj_bbox": [2.6, 1.2, 6.0, 7.0], "segmentation": rle(square)}
                for key in (5, 5, 9)
            ] + [{"category_id": 1, "obj_ann_id": 3, "obj_bbox": [0, 0, 1, 1], "segmentation": rle(square)}]
        # A picture is listed for each of its parts.
        cid2img[category] = [entries[0], *entries, *entries]
    (tmp_path / "PACO-Part/paco").mkdir()
    val = {"cid2img": cid2img, "img2anno": img2anno}
    (tmp_path / "PACO-Part/paco/paco_part_val.pkl").write_bytes(pickle.dumps(val))
    train = {"cid2img": {c: [] for c in order}, "img2anno": {}}
    (tmp_path / "PACO-Part/paco/paco_part_train.pkl").write_bytes(pickle.dumps(train))
    made = run("paco_part", tmp_path, 2, 1)
    check_head(made, "paco_part", 2500, 2, 1)
    classes = [c for c in order[2::4] if c in cid2img and c % 4 != 1]
    np.random.seed(0)
    for episode in made["episodes"]:
        category = np.random.choice(classes, 1, replace=False)[0]
        images = [{category * 10 + i: f"coco/val2017/{category}_{i}.jpg"} for i in range(3)]
        query = list(np.random.choice(images, 1, replace=False)[0].values())[0]
        chosen = np.random.choice([5, 9], 1, replace=False)[0]
        while True:
            support = list(np.random.choice(images, 1, replace=False)[0].values())[0]
            if support != query:
                break
        other = np.random.choice([5, 9], 1, replace=False)[0]
        assert episode["class"] == str(category)
        for example, name, key in [(episode["query"], query, chosen), (episode["supports"][0], support, other)]:
            stem = Path(name).stem
            assert example["image"].endswith(f"{stem}_class{category}_object{key}.png"), example
    example = made["episodes"][0]["query"]
    mask = np.asarray(Image.open(tmp_path / "out" / example["mask"]))
    assert np.array_equal(mask, np.where(square[1:8, 2:8], 255, 0))
    assert Image.open(tmp_path / "out" / example["image"]).size == (6, 7)


def test_pascal_part(tmp_path):
    voc = tmp_path / "Pascal-Part/VOCdevkit/VOC2010"
    square = np.zeros((10, 12), bool)
    square[2:5, 3:9] = True
    images = [f"2008_{i:06}" for i in range(5)]
    (voc / "Annotations_Part_json_merged_part_classes").mkdir(parents=True)
    documents = {}
    for i, image in enumerate(images):
        picture(voc / f"JPEGImages/{image}.jpg")
        head, tail = ({"name": n, "mask": [rle(square)]} for n in ("HEAD", "TAIL"))
        box = {"xmin": "1", "ymin": "1", "xmax": "9", "ymax": "6"}
        # One of two cats shows no tail, so drawing it means drawing again.
        objects = [
            {"name": "dog", "bndbox": box, "parts": [head]},
            {"name": "cat", "bndbox": box, "parts": [head, tail]},
            {"name": "cat", "bndbox": box, "parts": [head]},
        ]
        documents[image] = objects
        path = voc / f"Annotations_Part_json_merged_part_classes/{image}.json"
        path.write_text(json.dumps({"object": objects}))
    split = {"train": ["x"], "val": images}
    tree = {"object": {"cat": {"part": {"HEAD": split, "TAIL": split, "PAW": {"train": [], "val": images}}}}}
    leave_out = {"object": {"aeroplane": {"part": {"TAIL": split, "WHEEL": split}}}}
    (voc / "all_obj_part_to_image.json").write_text(json.dumps({"animals": tree, "vehicles": leave_out}))
    made = run("pascal_part", tmp_path, 0, 2)
    # Every listed picture counts, including those of parts that are not classes.
    check_head(made, "pascal_part", 15, 0, 2)
    np.random.seed(0)
    for i, episode in enumerate(made["episodes"]):
        part = ["HEAD", "TAIL"][i % 2]
        taken = []
        while len(taken) < 3:
            image = np.random.choice(images, 1, replace=False)[0]
            if image in [t[0] for t in taken]:
                continue
            found = [o for o in documents[image] if o["name"] == "cat"]
            chosen = np.random.choice(found, 1, replace=False)[0]
            if part in [p["name"] for p in chosen["parts"]]:
                taken.append((image, found.index(chosen)))
        assert episode["class"] == f"cat+{part}"
        for example, (image, number) in zip([episode["query"], *episode["supports"]], taken):
            assert example["image"].endswith(f"{image}_cat{number}_{part}.png"), example
    mask = np.asarray(Image.open(tmp_path / "out" / made["episodes"][0]["query"]["mask"]))
    assert np.array_equal(mask, np.where(square[1:6, 1:9], 255, 0))


def test_pictures_lie_as_they_are_stored(tmp_path):
    """A picture with an EXIF orientation is copied without it, so that it matches its mask in any program."""
    exif = Image.Exif()
    exif[0x0112] = 6
    for i in range(1, 11):
        picture(tmp_path / f"FSS-1000/data/a/{i}.jpg", exif=exif if i == 3 else None)
        numbers(tmp_path / f"FSS-1000/data/a/{i}.png", np.full((10, 12), 255))
    (tmp_path / "FSS-1000/splits").mkdir()
    (tmp_path / "FSS-1000/splits/test.txt").write_text("a\n")
    made = run("fss", tmp_path)
    third = [e["query"]["image"] for e in made["episodes"] if e["query"]["mask"].endswith("/3.png")]
    stored = Image.open(tmp_path / "out" / third[0])
    assert stored.size == (12, 10) and stored.getexif().get(0x0112, 1) == 1
    assert sum("stored" in e["query"]["image"] for e in made["episodes"]) == 1


def test_faults_are_told(tmp_path):
    assert "fold0.pkl" in run("coco", tmp_path, fails=True)
    assert "folds 0 to 3" in run("coco", tmp_path, fold=4, fails=True)
    assert "at least 1" in run("coco", tmp_path, shots=0, fails=True)
    (tmp_path / "FSS-1000/splits").mkdir(parents=True)
    (tmp_path / "FSS-1000/splits/test.txt").write_text("a\n")
    picture(tmp_path / "FSS-1000/data/a/1.jpg")
    assert "is the data set complete" in run("fss", tmp_path, fails=True)


if __name__ == "__main__":
    import tempfile

    for name, test in list(globals().items()):
        if name.startswith("test_"):
            with tempfile.TemporaryDirectory() as folder:
                test(Path(folder))
            print(name, "ok")
