#!/usr/bin/env python3
"""Checks that other tools can read the output of tests/formats.rs, and find the original masks in it.

    tools/formats/check.py DIR        the test `other_tools_read_what_is_written` calls it

Tools that are not installed are skipped with a message: pycocotools, label-studio-converter, ultralytics, labelme, shapely, Pillow, PyYAML.
"""

import contextlib
import importlib
import io
import json
import sys
import tempfile
import unittest.mock
from pathlib import Path

try:
    import numpy as np
except ImportError:
    sys.exit(print("all skipped: numpy is not installed"))

CASES = Path(__file__).resolve().parents[2] / "tests/golden/formats/cases.json"


def masks():
    """For each case, the mask [height, width] of 0 and 1."""
    found = []
    for case in json.loads(CASES.read_text()):
        mask = np.zeros((case["height"], case["width"]), np.uint8)
        for y, start, end in case["runs"]:
            mask[y, start:end] = 1
        found.append(mask)
    return found


def filled(lines, shape):
    """Pixels with centres inside the lines, by the even-odd rule."""
    height, width = shape
    inside = np.zeros(shape, np.uint8)
    centres = np.arange(height) + 0.5
    for line in lines:
        for (x0, y0), (x1, y1) in zip(line, np.roll(line, -1, axis=0)):
            for y in np.flatnonzero((centres > min(y0, y1)) & (centres < max(y0, y1))):
                x = x0 + (x1 - x0) * (centres[y] - y0) / (y1 - y0)
                inside[y, np.arange(width) + 0.5 > x] ^= 1
    return inside


def coco(directory, masks):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        for name in ["coco.json", "coco_polygons.json", "coco_simplified.json"]:
            data = COCO(str(directory / name))
            assert sorted(data.imgs) == list(range(1, len(masks) + 1))
            for number, mask in enumerate(masks, 1):
                annotations = data.imgToAnns[number]
                assert len(annotations) == int(mask.any())
                for annotation in annotations:
                    seen = data.annToMask(annotation)
                    if name != "coco_simplified.json":
                        assert np.array_equal(seen, mask), (name, number)
                    elif mask.sum() > 1000:
                        assert (seen & mask).sum() / (seen | mask).sum() > 0.9, (name, number)
        data = COCO(str(directory / "coco.json"))
        scores = COCOeval(data, data.loadRes(str(directory / "results.json")), "segm")
        scores.evaluate()
        scores.accumulate()
        scores.summarize()
    assert scores.stats[0] > 0.999, scores.stats


def label_studio(directory, masks):
    from label_studio_converter.brush import decode_rle

    tasks = json.loads((directory / "label_studio.json").read_text())
    assert len(tasks) == len(masks)
    for task, mask in zip(tasks, masks):
        for result in task["predictions"][0]["result"]:
            shape = (result["original_height"], result["original_width"], 4)
            assert np.array_equal(decode_rle(result["value"]["rle"]).reshape(shape)[:, :, 3], mask * 255)


def yolo_lines(directory, masks):
    for number, mask in enumerate(masks, 1):
        text = (directory / f"{number}.txt").read_text().splitlines()
        scale = np.array(mask.shape[::-1])
        lines = [np.array(line.split()[1:], float).reshape(-1, 2) * scale for line in text]
        assert np.array_equal(filled(lines, mask.shape), mask), number


def yolo_ultralytics(directory, masks):
    from PIL import Image
    from ultralytics.data.utils import polygon2mask, verify_image_label

    with tempfile.TemporaryDirectory() as pictures:
        for number, mask in enumerate(masks, 1):
            if min(mask.shape) < 10:
                continue  # It does not accept such small pictures.
            picture = f"{pictures}/{number}.png"
            Image.fromarray(mask).save(picture)
            read = verify_image_label((picture, str(directory / f"{number}.txt"), "", False, 2, 0, 0, False))
            assert read[8] == 0 and len(read[3]) == int(mask.any()), read
            for segment in read[3]:
                seen = polygon2mask(mask.shape, [(segment * mask.shape[::-1] + 1e-3).reshape(-1)])
                assert seen[mask > 0].all(), number


def yolo_yaml(directory, _):
    import yaml

    names = json.loads((directory / "names.json").read_text())
    data = yaml.safe_load((directory / "data.yaml").read_text())
    assert data["names"] == dict(enumerate(names)), data


def labelme(directory, masks):
    # Its windows and models are not needed, but are imported with the rest.
    for name in ["onnxruntime", "PyQt5", "PyQt5.QtCore", "PyQt5.QtGui", "PyQt5.QtWidgets"]:
        try:
            importlib.import_module(name)
        except ImportError:
            sys.modules[name] = unittest.mock.MagicMock()
    from labelme._label_file import read_label_file
    from labelme.utils import shape_to_mask
    from PIL import Image

    for number, mask in enumerate(masks, 1):
        path = directory / f"{number}.labelme.json"
        # It opens the picture as well.
        Image.fromarray(mask).save(directory / json.loads(path.read_text())["imagePath"])
        seen = np.zeros(mask.shape, bool)
        for shape in read_label_file(str(path)).shapes:
            seen |= shape_to_mask(mask.shape, shape["points"], shape["shape_type"])
        # Its fill also draws the outline.
        assert seen[mask > 0].all(), number


def labelme_lines(directory, masks):
    for number, mask in enumerate(masks, 1):
        data = json.loads((directory / f"{number}.labelme.json").read_text())
        lines = [np.array(shape["points"], float) for shape in data["shapes"]]
        assert np.array_equal(filled(lines, mask.shape), mask), number


def geojson(directory, masks):
    from shapely.geometry import shape

    for number, mask in enumerate(masks, 1):
        data = json.loads((directory / f"{number}.geojson").read_text())
        assert len(data["features"]) == int(mask.any())
        for feature in data["features"]:
            geometry = shape(feature["geometry"])
            assert geometry.is_valid and geometry.area == mask.sum(), number
            parts = getattr(geometry, "geoms", [geometry])
            assert all(p.exterior.is_ccw and not any(h.is_ccw for h in p.interiors) for p in parts), number
            lines = [np.array(r.coords)[:-1] for p in parts for r in [p.exterior, *p.interiors]]
            assert np.array_equal(filled(lines, mask.shape), mask), number


def label_map(directory, masks):
    from PIL import Image

    for number, mask in enumerate(masks, 1):
        with Image.open(directory / f"{number}.labels.png") as picture:
            assert picture.mode == "P" and picture.getpalette()[3:6] == [128, 0, 0]
            assert np.array_equal(np.array(picture), mask * (1 + number % 2))


def npz(directory, masks):
    names = json.loads((directory / "names.json").read_text())
    for number, mask in enumerate(masks, 1):
        with np.load(directory / f"{number}.npz") as maps:
            assert set(maps) == {"cat", "a \"b\" 猫"} and maps["cat"].dtype == np.float32
            assert np.array_equal(maps["cat"], mask) and np.array_equal(maps["a \"b\" 猫"], mask * np.float32(0.25))
    assert names


def main():
    directory = Path(sys.argv[1])
    every = masks()
    for check in [
        coco, label_studio, yolo_lines, yolo_ultralytics, yolo_yaml, labelme, labelme_lines, geojson, label_map, npz,
    ]:
        try:
            check(directory, every)
        except ImportError as error:
            print(f"{check.__name__}: skipped, {error}")
        else:
            print(f"{check.__name__}: {len(every)} masks, all unchanged")


main()
