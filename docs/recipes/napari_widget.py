"""napari: a panel that takes labels in one image layer as the example and finds the same thing in another layer.

    python napari_widget.py example.png photos/*.png

Paint the example on the labels layer, choose the layer to search, and press "Find". Stacks are searched plane by plane. The result is a
labels layer with a number for each object. To continue, correct it and choose it and its image as the example.
"""

from __future__ import annotations

import sys
from functools import lru_cache

import napari.layers
import numpy as np
from magicgui import magic_factory

from diffews_wgpu import DeviceError, Segmenter


@lru_cache(maxsize=1)
def segmenter() -> Segmenter:
    return Segmenter()


def planes(layer: napari.layers.Image) -> list[np.ndarray]:
    """The layer's images as uint8, with its displayed contrast."""
    data = np.asarray(layer.data)
    if data.dtype != np.uint8:
        low, high = layer.contrast_limits
        data = np.clip((data.astype(np.float32) - low) / ((high - low) or 1) * 255 + 0.5, 0, 255).astype(np.uint8)
    shape = data.shape[-3:] if layer.rgb else data.shape[-2:]
    return list(data.reshape(-1, *shape))


@magic_factory(call_button="Find", threshold={"max": 1.0, "step": 0.05}, min_area={"max": 10**6})
def find_by_example(
    picture: napari.layers.Image, marked: napari.layers.Labels, search: napari.layers.Image, threshold: float = 0.25, min_area: int = 50
) -> napari.types.LayerDataTuple:
    shown = np.asarray(marked.data) > 0
    pictures, masks = planes(picture), shown.reshape(-1, *shown.shape[-2:])
    if len(pictures) != len(masks):
        raise ValueError(f"{picture.name} has {len(pictures)} plane(s) and {marked.name} has {len(masks)}: use labels of the image's shape")
    pairs = [(plane, mask) for plane, mask in zip(pictures, masks) if mask.any()]
    found = []
    try:
        bank = segmenter().encode([plane for plane, _ in pairs], [mask for _, mask in pairs])
        results = segmenter().segment(bank, planes(search), threshold=threshold)
    except DeviceError:
        segmenter.cache_clear()  # A lost device stays lost: the next call opens a new one.
        raise
    for result in results:
        labels = np.zeros(result.shape, np.int32)
        for number, thing in enumerate(result.find_objects(min_area=min_area), start=1):
            labels[thing.mask] = number
        found.append(labels)
    ndim = search.data.ndim - (1 if search.rgb else 0)
    return np.stack(found).reshape(search.data.shape[:ndim]), {"name": f"found in {search.name}"}, "labels"


if __name__ == "__main__":
    viewer = napari.Viewer()
    for path in sys.argv[1:]:
        viewer.open(path)
    first = viewer.layers[0]
    viewer.add_labels(np.zeros(first.data.shape[: first.data.ndim - (1 if first.rgb else 0)], np.int32), name="what to find")
    viewer.window.add_dock_widget(find_by_example(), name="Find by example")
    napari.run()
