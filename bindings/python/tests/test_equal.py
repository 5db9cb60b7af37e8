"""Results are those of the command, to the last bit."""

import json

import numpy as np
import pytest
from PIL import Image

from diffews_wgpu import Marks

EXAMPLES = ["0", "1", "2"]


def read(path):
    return np.asarray(Image.open(path))


def infer(command, folder, *args):
    found = json.loads(
        command("infer", *args, "--output", folder / "mask.png", "--probability", folder / "map.npy", "--json", "--quiet")
    )
    return read(folder / "mask.png") > 0, np.load(folder / "map.npy"), found


def same(result, mask, map_, found):
    assert result.mask.dtype == np.bool_ and result.map.dtype == result.probability.dtype == np.float32
    assert np.array_equal(result.mask, mask)
    assert result.map.tobytes() == map_.tobytes() and result.map.shape == map_.shape
    assert np.float32(result.score) == np.float32(found["score"])
    assert result.found == found["found"]
    as_json = lambda box: box and {"x": box.x, "y": box.y, "width": box.width, "height": box.height}
    assert as_json(result.box) == found["bounding_box"]
    objects = [(o.area, as_json(o.box), np.float32(o.score)) for o in result.objects]
    assert objects == [(o["area"], o["bounding_box"], np.float32(o["score"])) for o in found["objects"]]
    parts = np.zeros_like(mask)
    for one in result.objects:
        assert one.mask.sum() == one.area and not (parts & one.mask).any()
        parts |= one.mask
    assert np.array_equal(parts, mask)


@pytest.mark.parametrize("number", EXAMPLES)
def test_example_pictures(command, root, segmenter, tmp_path, number):
    support, shape, query = (root / "examples" / number / f"{name}.png" for name in ("support", "support_mask", "query"))
    by_command = infer(command, tmp_path, "--support", support, "--mask", shape, "--query", query)
    bank = segmenter.encode(support, shape)
    same(segmenter.segment(bank, query), *by_command)
    # The same pixels as arrays and as pictures of Pillow.
    arrays = segmenter.encode(read(support), read(shape) > 127)
    same(segmenter.segment(arrays, read(query)), *by_command)
    pillow = segmenter.encode(Image.open(support), Image.open(shape))
    same(segmenter.segment(pillow, Image.open(query)), *by_command)
    held = segmenter.encode(support.read_bytes(), shape.read_bytes())
    same(segmenter.segment(held, query.read_bytes()), *by_command)


def test_several_shots_of_a_picture_that_is_not_square(command, root, segmenter, crate, tmp_path):
    supports = [root / f"examples/lemons/lemon_{n}.png" for n in (1, 2, 3)]
    masks = [root / f"examples/lemons/lemon_{n}_mask.png" for n in (1, 2, 3)]
    by_command = infer(command, tmp_path, "--support", *supports, "--mask", *masks, "--query", crate)
    bank = segmenter.encode(supports, masks)
    result = segmenter.segment(bank, crate)
    same(result, *by_command)
    assert (len(bank), bank.shots, result.shape) == (3, 3, result.mask.shape)
    # The command's 16 bits are those of the enlarged map.
    command("infer", "--support", *supports, "--mask", *masks, "--query", crate, "--output", tmp_path / "again.png",
            "--probability", tmp_path / "p.png", "--quiet")
    levels = (np.float32(65535) * result.probability + np.float32(0.5)).astype(np.uint16)
    assert np.array_equal(levels, read(tmp_path / "p.png"))
    # A list in, a list out.
    assert [np.array_equal(one.mask, result.mask) for one in segmenter.segment(bank, [crate, read(crate)])] == [True, True]


def test_thresholds_scores_and_objects(command, segmenter, bank, lemon, crate, tmp_path):
    support, shape = lemon
    here = ("--support", support, "--mask", shape, "--query", crate, "--force")
    for flags, rule in [
        (("--threshold", "0.6"), {"threshold": 0.6}),
        (("--absolute-threshold", "0.3"), {"absolute_threshold": 0.3}),
        (("--min-score", "0.99"), {"min_score": 0.99}),
    ]:
        by_command = infer(command, tmp_path, *here, *flags)
        same(segmenter.segment(bank, crate, **rule), *by_command)
        same(segmenter.segment(bank, crate).at(**rule), *by_command)
    mask, _, found = infer(command, tmp_path, *here, "--min-area", "300", "--fill-holes")
    objects = segmenter.segment(bank, crate).find_objects(min_area=300, fill_holes=True)
    assert [o.area for o in objects] == [o["area"] for o in found["objects"]]
    assert np.array_equal(np.any([o.mask for o in objects], axis=0), mask)


def test_tiles(command, segmenter, bank, lemon, crate, tmp_path):
    by_command = infer(command, tmp_path, "--support", lemon[0], "--mask", lemon[1], "--query", crate, "--tile", "160", "--overlap", "30")
    same(segmenter.segment(bank, crate, tile=160, overlap=30), *by_command)
    for wrong in ({"tile": 3}, {"tile": 160, "overlap": 100}, {"overlap": 9}):
        with pytest.raises(ValueError, match="tile"):
            segmenter.segment(bank, crate, **wrong)


def test_marks(command, segmenter, lemon, crate, tmp_path):
    by_command = infer(command, tmp_path, "--support", lemon[0], "--box", "154,12,242,78", "--point", "5,5,-", "--query", crate,
                       "--save-mask", tmp_path / "made.png")
    marks = Marks(boxes=[(154, 12, 242, 78)], outside=[(5, 5)])
    same(segmenter.segment(segmenter.encode(lemon[0], marks), crate), *by_command)
    assert np.array_equal(marks.mask(lemon[0]), read(tmp_path / "made.png") > 0)


def test_classes(command, root, segmenter, lemon, tmp_path):
    support, shape, query = (root / "examples/0" / f"{name}.png" for name in ("support", "support_mask", "query"))
    command("infer", "--support", f"cat:{support}", "--mask", shape, "--support", f"lemon:{lemon[0]}", "--mask", lemon[1], "--query", query,
            "--output", tmp_path / "labels.png", "--probability", tmp_path, "--quiet")
    banks = {"cat": segmenter.encode(support, shape), "lemon": segmenter.encode(*lemon)}
    found = segmenter.segment_classes(banks, query)
    assert list(found) == ["cat", "lemon"]
    for name, result in found.items():
        levels = (np.float32(65535) * result.probability + np.float32(0.5)).astype(np.uint16)
        assert np.array_equal(levels, read(tmp_path / f"query_{name}_probability.png"))


def test_files_are_read_as_they_are_displayed(command, root, segmenter, bank, tmp_path):
    for name in ("exif_6.jpg", "rgba.png", "palette.png", "grey16.png", "cmyk.jpg"):
        query = root / "tests/golden/images" / name
        command("infer", "--bank", saved(bank, tmp_path), "--query", query, "--output", tmp_path / "m.png", "--force", "--quiet")
        assert np.array_equal(segmenter.segment(bank, query).mask, read(tmp_path / "m.png") > 0), name
    # Pillow's pixels are taken as they are: neither turned nor put on white.
    turned = Image.open(root / "tests/golden/images/exif_6.jpg")
    assert segmenter.segment(bank, turned).shape == (turned.height, turned.width)
    assert segmenter.segment(bank, root / "tests/golden/images/exif_6.jpg").shape == (turned.width, turned.height)


def saved(bank, folder):
    bank.save(folder / "f32.bank", f32=True, overwrite=True)
    return folder / "f32.bank"


def test_models_and_options_are_the_commands(command, root, lemon, crate, tmp_path):
    from diffews_wgpu import Segmenter

    weights = root / "tests/golden/odd"
    flags = ["--support", lemon[0], "--mask", lemon[1], "--query", crate, "--fit", "pad", "--precision", "f16", "--guided-filter", "4"]
    by_command = infer(command, tmp_path, "--weights", weights, *flags)
    other = Segmenter(weights, fit="pad", precision="f16", guided_filter=4)
    same(other.segment(other.encode(*lemon), crate), *by_command)
    assert other.precision == "f16" and other.size == by_command[2]["size"]
