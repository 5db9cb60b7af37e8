"""Recipes and examples run; those of programs that are not installed here are left out."""

import importlib.util
import logging
import runpy
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from diffews_wgpu import DeviceError


def recipe(root, name):
    path = root / "docs/recipes" / f"{name}.py"
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if line.strip()]) <= 60
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB"))


def test_the_notebook(root, monkeypatch, capsys):
    monkeypatch.chdir(root)
    runpy.run_path(str(root / "bindings/python/examples/lemons.py"))
    told = capsys.readouterr().out
    assert "crate_3.png: score 0.9" in told and "<Bank of 4 examples, f32>" in told


def test_cvat(root, bank, segmenter, crate, tmp_path):
    cvataa = pytest.importorskip("cvat_sdk.auto_annotation")
    from cvat_sdk import models
    from cvat_sdk.auto_annotation.driver import _AnnotationMapper, _DetectionFunctionContextImpl
    from cvat_sdk.masks import decode_mask

    bank.save(tmp_path / "lemon.bank", f32=True)
    function = recipe(root, "cvat_function").create(min_area=200, lemon=str(tmp_path / "lemon.bank"))
    image = Image.open(crate)
    result = segmenter.segment(bank, crate)
    objects = result.find_objects(min_area=200)

    def shapes(least=None, polygons=False):
        context = _DetectionFunctionContextImpl(frame_name="crate.png", conf_threshold=least, conv_mask_to_poly=polygons)
        return function.detect(context, image)

    found = shapes()
    assert len(found) == len(objects) > 0
    for shape, one in zip(found, objects):
        decoded = decode_mask(shape.points, image_width=image.width, image_height=image.height)
        assert np.array_equal(decoded, one.mask)
    assert shapes(least=0.999) == []
    with pytest.raises(cvataa.BadFunctionError):
        shapes(polygons=True)
    # CVAT's own check of what functions say and give.
    label = models.Label(name="lemon", id=77, type="mask", attributes=[], sublabels=[])
    mapper = _AnnotationMapper(logging.getLogger(), function.spec.labels, [label], allow_unmatched_labels=False, conv_mask_to_poly=False)
    mapper.validate_and_remap(found, 3)
    assert {(shape.label_id, shape.frame) for shape in found} == {(77, 3)}


def test_comfyui(root, bank, segmenter, lemon, crate):
    torch = pytest.importorskip("torch")
    node = recipe(root, "comfyui_node").NODE_CLASS_MAPPINGS["DiffewsFindByExample"]()
    tensor = lambda path: torch.from_numpy(pixels(path).astype(np.float32) / 255)[None]
    shape = torch.from_numpy(np.asarray(Image.open(lemon[1]).convert("L")).astype(np.float32) / 255)[None]
    two = torch.cat([tensor(crate), tensor(crate).flip(2)])
    mask, probability, found = getattr(node, node.FUNCTION)(tensor(lemon[0]), shape, two, threshold=0.25, min_score=0.0)
    assert mask.shape == probability.shape == two.shape[:3] and mask.dtype == probability.dtype == torch.float32 and found is True
    result = segmenter.segment(bank, crate, threshold=0.25)
    assert np.array_equal(mask[0].numpy() > 0, result.mask) and np.array_equal(probability[0].numpy(), result.probability)
    assert set(node.INPUT_TYPES()["required"]) == {"example", "example_mask", "images", "threshold", "min_score"}


def test_napari(root, bank, segmenter, lemon, crate, monkeypatch):
    pytest.importorskip("napari")
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    from napari.layers import Image as Picture
    from napari.layers import Labels

    module = recipe(root, "napari_widget")
    marked = Labels((np.asarray(Image.open(lemon[1]).convert("L")) > 127).astype(np.uint8))
    widget = module.find_by_example()
    find = lambda search: widget(picture=Picture(pixels(lemon[0]), rgb=True), marked=marked, search=search, min_area=200)
    result = segmenter.segment(bank, crate, threshold=0.25)
    objects = result.find_objects(min_area=200)
    data, options, kind = find(Picture(pixels(crate), rgb=True, name="crate"))
    assert kind == "labels" and options["name"] == "found in crate" and data.shape == result.shape
    assert data.max() == len(objects) and all(np.array_equal(data == n, one.mask) for n, one in enumerate(objects, start=1))
    stack = np.stack([pixels(crate)[:, :, 0].astype(np.uint16) * 257] * 2)
    data, _, _ = find(Picture(stack, contrast_limits=(0, 65535)))
    grey = segmenter.segment(bank, pixels(crate)[:, :, 0], threshold=0.25)
    assert data.shape == stack.shape and np.array_equal(data[1] > 0, np.any([o.mask for o in grey.find_objects(min_area=200)], axis=0))


class Lost:
    """A segmenter whose device was lost."""

    opened = 0

    def __init__(self, *args, **kwargs):
        Lost.opened += 1

    def encode(self, *args, **kwargs):
        raise DeviceError("lost")


def panel(root, monkeypatch):
    """The panel's function, without napari."""
    napari, layers, magicgui = (ModuleType(name) for name in ("napari", "napari.layers", "magicgui"))
    napari.layers, magicgui.magic_factory = layers, lambda **_: lambda function: function
    for module in (napari, layers, magicgui):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return recipe(root, "napari_widget")


def layer(data, **more):
    return SimpleNamespace(data=data, rgb=False, name="layer", **more)


def test_a_lost_device_is_opened_again(root, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", ModuleType("torch"))
    module = recipe(root, "comfyui_node")
    module.Segmenter, module.pictures = Lost, lambda images: images
    mask = SimpleNamespace(cpu=lambda: SimpleNamespace(numpy=lambda: np.ones((1, 4, 4))))
    other = panel(root, monkeypatch)
    other.Segmenter = Lost
    plane = layer(np.ones((4, 4), np.uint8))
    for work in (lambda: module.FindByExample().find([], mask, [], 0.25, 0.0), lambda: other.find_by_example(plane, plane, plane)):
        opened = Lost.opened
        for _ in range(2):
            with pytest.raises(DeviceError):
                work()
        assert Lost.opened == opened + 2


def test_layers_of_napari(root, monkeypatch):
    module = panel(root, monkeypatch)
    stack = layer(np.ones((3, 4, 4), np.uint8))
    with pytest.raises(ValueError, match=r"3 plane\(s\) and layer has 1"):
        module.find_by_example(stack, layer(np.ones((4, 4), int)), stack)
    (constant,) = module.planes(layer(np.full((4, 4), 7.0), contrast_limits=(7.0, 7.0)))
    assert constant.dtype == np.uint8 and not constant.any()
