"""What is not meant, and results in the formats of other tools: the command's own files, byte for byte."""

import json

import numpy as np
import pytest
from PIL import Image

from diffews_wgpu import ExistsError, InputError, write

OF_RUN = ["coco", "coco-results", "labelstudio"]
OF_IMAGE = {"png": "png", "tiff": "tif", "yolo": "txt", "labelme": "json", "labelmap": "png", "npz": "npz", "geojson": "geojson"}


@pytest.fixture(scope="module")
def other(segmenter, root):
    """Examples of something else."""
    return segmenter.encode(root / "examples/0/support.png", root / "examples/0/support_mask.png")


@pytest.fixture(scope="module")
def banks(tmp_path_factory, bank, other):
    folder = tmp_path_factory.mktemp("banks")
    bank.save(folder / "lemon.bank", f32=True)
    other.save(folder / "cat.bank", f32=True)
    return folder


@pytest.fixture(scope="module")
def photos(root):
    return sorted((root / "examples/lemons/photos").glob("*.png"))[:2]


def test_files_of_a_run_are_the_commands(command, segmenter, bank, banks, photos, tmp_path):
    results = segmenter.segment(bank, photos)
    for name in OF_RUN:
        for flags, options in [((), {}), (("--tolerance", 1.5, "--min-area", 90), {"tolerance": 1.5, "min_area": 90})]:
            command("infer", "--bank", banks / "lemon.bank", "--query", *photos, "--format", name, "--output", tmp_path / "c.json", "--quiet", "--force",
                    *flags)
            write(tmp_path / "p.json", results, name, overwrite=True, **options)
            assert (tmp_path / "p.json").read_bytes() == (tmp_path / "c.json").read_bytes(), (name, options)


@pytest.mark.parametrize("name", OF_IMAGE)
def test_files_of_an_image_are_the_commands(command, segmenter, bank, banks, crate, tmp_path, name):
    own, its = (tmp_path / f"{who}.{OF_IMAGE[name]}" for who in ("own", "its"))
    command("infer", "--bank", banks / "lemon.bank", "--query", crate, "--format", name, "--output", its, "--quiet", "--fill-holes")
    write(own, segmenter.segment(bank, crate), name, fill_holes=True)
    assert own.read_bytes() == its.read_bytes()


@pytest.mark.parametrize("name", ["png", "coco", "yolo", "npz"])
def test_classes_are_the_commands(command, segmenter, bank, other, banks, crate, tmp_path, name):
    own, its = (tmp_path / f"{who}.{OF_IMAGE.get(name, 'json')}" for who in ("own", "its"))
    command("infer", "--class", f"lemon={banks}/lemon.bank", f"cat={banks}/cat.bank", "--query", crate, "--format", name, "--margin", 0.02,
            "--output", its, "--quiet")
    found = segmenter.segment_classes({"lemon": bank, "cat": other}, crate)
    write(own, found, name, margin=0.02)
    assert own.read_bytes() == its.read_bytes()


def test_what_is_not_meant(command, root, segmenter, bank, other, lemon, crate, tmp_path):
    not_meant = root / "examples/0/support.png", root / "examples/0/support_mask.png"
    found = json.loads(
        command("infer", "--support", lemon[0], "--mask", lemon[1], "--negative", not_meant[0], "--mask", not_meant[1], "--query", crate,
                "--output", tmp_path / "m.png", "--json", "--quiet")
    )
    result = segmenter.segment(bank, crate, negative=other)
    assert np.array_equal(result.mask, np.asarray(Image.open(tmp_path / "m.png")) > 0)
    assert [o.area for o in result.objects] == [o["area"] for o in found["objects"]]
    assert np.float32(result.score) == np.float32(found["score"])
    alone = segmenter.segment(bank, crate)
    assert not (result.mask & ~alone.mask).any() and np.array_equal(result.probability, alone.probability)
    # Where both are as sure, the thing keeps what they contend for.
    assert np.array_equal(segmenter.segment(bank, crate, negative=bank).mask, alone.mask)
    # It stays where the threshold is another one, and where classes are several.
    again = segmenter.segment_classes({"lemon": bank}, crate, negative=other)["lemon"]
    assert np.array_equal(again.at(threshold=0.5).mask, result.at(threshold=0.5).mask)
    write(tmp_path / "w.png", result, "png")
    assert (tmp_path / "w.png").read_bytes() == (tmp_path / "m.png").read_bytes()


def test_what_cannot_be_written(segmenter, bank, other, crate, tmp_path):
    result, pixels = segmenter.segment(bank, crate), segmenter.segment(bank, np.asarray(Image.open(crate).convert("RGB")))
    assert result.file == str(crate) and pixels.file is None
    named = segmenter.segment_classes({"lemon": bank}, crate)
    for results, options, words in [
        (result, {"format": "bmp"}, "it must be one of png"),
        ([result, result], {"format": "yolo"}, "a file of its own"),
        (pixels, {}, "what it is called"),
        (result, {"images": ["a.png", "b.png"]}, "1 result"),
        (result, {"margin": 2.0}, "margin"),
        (result, {"tolerance": -1.0}, "tolerance"),
        (result, {"min_area": -1}, "min_area"),
        ([result, named], {}, "same classes"),
        ({}, {}, "no class"),
        ({"a": result, "b": result.at(threshold=0.5)}, {}, "one threshold"),
        ({"a": result, "b": segmenter.segment(bank, crate, negative=other)}, {}, "one call"),
        ({"a/b": result}, {"format": "npz"}, "a/b"),
    ]:
        with pytest.raises(InputError, match=words):
            write(tmp_path / "none", results, **options)
    assert not list(tmp_path.iterdir())
    write(tmp_path / "a.json", pixels, images=["picture.png"])
    assert json.loads((tmp_path / "a.json").read_text())["images"][0]["file_name"] == "picture.png"
    with pytest.raises(ExistsError):
        write(tmp_path / "a.json", result)
    write(tmp_path / "a.json", [], overwrite=True)
    assert json.loads((tmp_path / "a.json").read_text())["images"] == []
