import io
import warnings

import numpy as np
import pytest
from PIL import Image

import diffews_wgpu
from diffews_wgpu import DiffewsError, DiffewsWarning, InputError, Marks, Segmenter

IMAGE = np.full((20, 30, 3), 90, np.uint8)
MASK = np.zeros((20, 30), bool)
MASK[5:15, 8:20] = True


def test_arrays_of_every_layout(segmenter, bank, crate):
    picture = np.asarray(Image.open(crate).convert("RGB"))
    whole = segmenter.segment(bank, picture)
    alpha = np.concatenate([picture, np.zeros_like(picture[:, :, :1])], axis=2)
    framed = np.pad(picture, ((3, 4), (5, 6), (0, 0)))[3:-4, 5:-6]
    for same in (alpha, np.asfortranarray(picture), framed, picture[::-1][::-1]):
        assert segmenter.segment(bank, same).map.tobytes() == whole.map.tobytes()
    grey = picture[:, :, 0]
    three = segmenter.segment(bank, np.stack([grey] * 3, axis=2)).map.tobytes()
    assert segmenter.segment(bank, grey).map.tobytes() == segmenter.segment(bank, grey[:, :, None]).map.tobytes() == three
    assert segmenter.segment(bank, Image.fromarray(grey)).map.tobytes() == three


def test_what_numpy_makes_arrays_of(segmenter, bank, crate):
    class Tensor:
        def __array__(self, dtype=None, copy=None):
            return np.asarray(Image.open(crate).convert("RGB"))

    assert segmenter.segment(bank, Tensor()).map.tobytes() == segmenter.segment(bank, crate).map.tobytes()


def test_results_are_arrays_of_ones_own(segmenter, bank, crate):
    result = segmenter.segment(bank, crate)
    assert result.mask is result.mask and result.mask.flags.writeable and result.probability.flags.writeable
    assert result.mask.shape == result.probability.shape == result.shape == np.asarray(Image.open(crate)).shape[:2]
    assert 0 <= result.probability.min() and result.probability.max() <= 1
    level = 0.25
    assert result.at(absolute_threshold=level).mask.sum() == (result.probability > level).sum()
    assert set(result.seconds) == {"encode query", "query pass", "decode"} and "score" in repr(result)


@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float32, bool])
@pytest.mark.parametrize("value", [1, 255])
def test_masks_of_one_value(segmenter, crate, bank, lemon, kind, value):
    shape = np.asarray(Image.open(lemon[1]).convert("L")) > 127
    other = segmenter.encode(lemon[0], (shape * np.int64(value)).astype(kind))
    assert segmenter.segment(other, crate).map.tobytes() == segmenter.segment(bank, crate).map.tobytes()


@pytest.mark.parametrize(
    "image, words",
    [
        (IMAGE.astype(np.float32) / 255, "float32"),
        (IMAGE.astype(np.uint16), "uint16"),
        (IMAGE.astype(np.float32) * np.nan, "float32"),
        (IMAGE[None], r"\(1, 20, 30, 3\)"),
        (IMAGE[:, :, :2], r"\(20, 30, 2\)"),
        (IMAGE[:0], r"\(0, 30, 3\)"),
        (np.zeros(7, np.uint8), r"\(7,\)"),
        (np.array("text"), "<U4"),
        (Image.new("F", (4, 4)), "mode F"),
        (Image.new("I;16", (4, 4)), "mode I;16"),
        (b"no picture", "image's bytes"),
        (b"", "image's bytes"),
    ],
)
def test_images_that_will_not_do(segmenter, bank, image, words):
    with pytest.raises(ValueError, match=words) as raised:
        segmenter.segment(bank, image)
    assert isinstance(raised.value, InputError) and isinstance(raised.value, DiffewsError)
    with pytest.raises(ValueError, match=words):
        segmenter.encode(image, MASK)


@pytest.mark.parametrize(
    "mask, words",
    [
        (MASK[:, :-1], "29 x 20 pixels but its picture is 30 x 20"),
        (MASK.T, "20 x 30"),
        (MASK[None], r"\(1, 20, 30\)"),
        (np.arange(600).reshape(20, 30), "several values"),
        (np.where(MASK, np.nan, 0), "several values"),
        (np.full((20, 30), "x"), "<U1"),
        (Image.new("L", (30, 21)), "30 x 21"),
        (Image.new("F", (30, 20)), "mode F"),
        (b"no picture", "mask's bytes"),
        (Marks(), "nothing is marked"),
        (Marks(boxes=[(5, 5, 5, 9)]), "box"),
        (Marks(boxes=[(-1, 5, 9, 9)]), "box .*top left"),
        (Marks(boxes=[diffews_wgpu.Box(2, 5, -9, 9)]), "box .*top left"),
        (Marks(boxes=[(1, 5, 2**32, 9)]), "box .*top left"),
        (Marks(boxes=[(1, 5, 9.5, 9)]), "four whole numbers"),
        (Marks(boxes=[(1, 5, 9)]), "four whole numbers"),
        (Marks(inside=[(99, 5)]), "99,5"),
        (Marks(inside=[(float("nan"), 5)]), "NaN"),
        (Marks(inside=[[(1, 1), (9, 9)]], width=-1), "width"),
    ],
)
def test_masks_that_will_not_do(segmenter, mask, words):
    with pytest.raises(ValueError, match=words):
        segmenter.encode(IMAGE, mask)


def test_what_is_of_no_such_type(segmenter, bank, lemon):
    for wrong in (None, 3, object()):
        with pytest.raises(TypeError, match=type(wrong).__name__):
            segmenter.segment(bank, wrong)
        with pytest.raises(TypeError):
            segmenter.encode(lemon[0], wrong)
    with pytest.raises(TypeError, match="NoneType"):
        segmenter.segment(bank, [lemon[0], None])
    for wrong in (None, "cat.bank", segmenter):
        with pytest.raises(TypeError, match="is no Bank"):
            segmenter.segment(wrong, lemon[0])


def test_numbers_of_examples(segmenter, lemon):
    with pytest.raises(ValueError, match=r"2 image\(s\) and 1 mask\(s\)"):
        segmenter.encode([lemon[0]] * 2, lemon[1])
    with pytest.raises(ValueError, match="at least one example"):
        segmenter.encode([], [])
    assert segmenter.segment(segmenter.encode(*lemon), []) == []


def test_files_that_are_not_there(segmenter, bank, lemon, tmp_path):
    for wrong in (tmp_path / "missing.png", str(tmp_path / "missing.png")):
        with pytest.raises(FileNotFoundError, match="missing.png: cannot be read") as raised:
            segmenter.segment(bank, wrong)
        assert isinstance(raised.value, DiffewsError)
    with pytest.raises(FileNotFoundError):
        segmenter.encode(lemon[0], tmp_path / "missing.png")
    with pytest.raises(OSError, match="is a directory"):
        segmenter.segment(bank, tmp_path)
    (tmp_path / "text.png").write_text("not a picture, but text")
    with pytest.raises(ValueError, match="text.png"):
        segmenter.segment(bank, tmp_path / "text.png")


def test_areas_that_will_not_do(segmenter, bank, crate):
    with pytest.raises(InputError, match="min_area is -1"):
        segmenter.segment(bank, crate).find_objects(min_area=-1)


def animation(frames):
    written = io.BytesIO()
    first, *others = [Image.new("RGB", (30, 20), (0, 0, 40 * i)) for i in range(frames)]
    first.save(written, "WEBP", save_all=True, append_images=others, lossless=True)
    return written.getvalue()


def test_odd_pictures_are_told_of(segmenter, bank, tmp_path):
    odd = animation(3)
    (tmp_path / "odd.webp").write_bytes(odd)
    for find in (
        lambda: segmenter.segment(bank, odd),
        lambda: segmenter.segment(bank, [tmp_path / "odd.webp"]),
        lambda: segmenter.segment_classes({"a": bank, "b": bank}, odd),
        lambda: segmenter.encode(odd, MASK),
    ):
        with pytest.warns(DiffewsWarning, match="3 frames") as told:
            find()
        # Each is of the line above.
        assert [warning.filename for warning in told] == [__file__]
    transparent = io.BytesIO()
    Image.new("RGBA", (30, 20), (0, 0, 0, 0)).save(transparent, "PNG")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        segmenter.segment(bank, transparent.getvalue())


def deep(path, bits):
    """A grey picture of 16 bits that uses so many."""
    levels = np.linspace(0, 2**bits - 1, 600).reshape(20, 30).astype(np.uint16)
    Image.fromarray(levels).save(path)
    return path


@pytest.mark.filterwarnings("ignore::diffews_wgpu.DiffewsWarning")
def test_banks_that_read_a_picture_in_different_ways(segmenter, bank, lemon, tmp_path):
    ten, twelve = (segmenter.encode(deep(tmp_path / f"{bits}.png", bits), MASK) for bits in (10, 12))
    query = deep(tmp_path / "query.png", 9)
    for banks in ({"10": ten, "12": twelve}, {"12": twelve, "10": ten}):
        with pytest.raises(InputError, match="query.png: .* each bank separately"):
            segmenter.segment_classes(banks, query)
    assert len(segmenter.segment_classes({"12": twelve, "again": twelve}, query)) == 2
    # Of 8 bits it is the same to all.
    assert len(segmenter.segment_classes({"10": ten, "12": twelve, "lemon": bank}, lemon[0])) == 3


def test_odd_masks_are_told_of(segmenter, lemon):
    with pytest.warns(DiffewsWarning, match="False everywhere"):
        segmenter.encode(IMAGE, np.zeros((20, 30), bool))
    black = io.BytesIO()
    Image.new("L", (30, 20)).save(black, "PNG")
    with pytest.warns(DiffewsWarning, match="the mask: "):
        segmenter.encode(IMAGE, black.getvalue())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        segmenter.encode(*lemon)


@pytest.mark.parametrize(
    "options, error, words",
    [
        ({"weights": "missing"}, FileNotFoundError, "missing"),
        ({"unet": "missing"}, ValueError, "UNet"),
        ({"precision": "f8"}, ValueError, "auto, f32, f16, q8"),
        ({"fit": "stretch"}, ValueError, "squash, pad, crop"),
        ({"backend": "cuda"}, ValueError, "vulkan"),
        ({"adapter": "no such adapter"}, RuntimeError, "no such adapter"),
        ({"adapter": 99}, RuntimeError, "99"),
        ({"size": 161}, ValueError, "161"),
        ({"size": 0}, ValueError, "0"),
        ({"size": -1}, ValueError, "size is -1"),
        ({"max_memory": 2**70}, ValueError, "max_memory"),
        ({"guided_filter": -1}, ValueError, "guided_filter"),
        ({"threshold": 1.5}, ValueError, "from 0 to 1"),
        ({"threshold": float("nan")}, ValueError, "from 0 to 1"),
        ({"threshold": 0.5, "absolute_threshold": 0.5}, ValueError, "not both"),
        ({"min_score": -1}, ValueError, "from 0 to 1"),
        ({"guided_filter": 99}, ValueError, "radius"),
        ({"kv_sample": 0}, ValueError, "sample"),
        ({"tune": True, "cache": False}, ValueError, "cache"),
        ({"tune": float("nan")}, ValueError, "tune is nan"),
        ({"tune": float("inf")}, ValueError, "tune is inf"),
        ({"tune": -1}, ValueError, "tune is -1"),
        ({"max_memory": 1000}, MemoryError, "bytes|memory"),
        ({"size": "large"}, TypeError, "str"),
    ],
)
def test_options_that_will_not_do(options, error, words):
    with pytest.raises(error, match=words):
        Segmenter(**options)


def test_what_it_is(segmenter, bank):
    assert segmenter.size == 160 and segmenter.precision == "f32"
    assert segmenter.adapter.name in repr(segmenter) and segmenter.adapter.backend in str(segmenter.adapter)
    assert segmenter.adapter.index in [device.index for device in diffews_wgpu.devices()]
    assert repr(bank) == "<Bank of 1 example, f32>"
    assert diffews_wgpu.__version__.count(".") == 2
