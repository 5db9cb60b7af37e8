"""Results in the formats of other tools."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Dict, List, Literal, Optional, Tuple, Union

from . import _native
from ._errors import InputError
from ._inputs import whole
from ._result import Result

Format = Literal["png", "tiff", "coco", "coco-results", "yolo", "labelme", "labelstudio", "labelmap", "npz", "geojson"]
ResultLike = Union[Result, Mapping[str, Result]]
"""What was found in an image: of `Segmenter.segment`, or the classes of `Segmenter.segment_classes`."""


def write(
    path: Union[str, os.PathLike[str]],
    results: Union[ResultLike, Iterable[ResultLike]],
    format: Format = "coco",
    *,
    images: Optional[Sequence[str]] = None,
    tolerance: Optional[float] = None,
    margin: float = 0.0,
    min_area: int = 0,
    fill_holes: bool = False,
    largest: bool = False,
    overwrite: bool = False,
) -> None:
    """Writes what was found in an image, or in each of several, as `diffews-wgpu infer --format` does: whole or not at all.

    format: coco, coco-results and labelstudio have one file for all images; yolo, labelme, npz, geojson, labelmap, png and tiff have one
        for each. YOLO's numbers of classes count them from 0 in their order.
    images: what the images are called in the file, else their paths as they were given.
    tolerance: polygons leave the outlines by at most so many pixels; without it COCO has runs, and other formats each corner.
    margin: pixels for which the best two classes are closer than this are of none.
    min_area, fill_holes, largest: as of `Result.find_objects`.

    >>> import json, tempfile
    >>> from diffews_wgpu import Segmenter, write
    >>> segmenter = Segmenter()
    >>> bank = segmenter.encode("examples/lemons/lemon_1.png", "examples/lemons/lemon_1_mask.png")
    >>> folder = tempfile.mkdtemp()
    >>> write(folder + "/lemons.json", segmenter.segment(bank, ["examples/lemons/photos/crate_3.png"]), min_area=200)
    >>> len(json.load(open(folder + "/lemons.json"))["annotations"])
    2
    """
    all_found: List[ResultLike] = [results] if isinstance(results, (Result, Mapping)) else list(results)
    if images is not None and len(images) != len(all_found):
        raise InputError(f"{len(all_found)} result(s) and {len(images)} name(s) of images; give one for each")
    names = _names(all_found)
    items: List[Tuple[str, List[_native.Prediction]]] = []
    for at, found in enumerate(all_found):
        classes = [found] if isinstance(found, Result) else [found[name] for name in names or ()]
        if not classes:
            raise InputError(f"result {at + 1} has no class")
        name = classes[0].file if images is None else images[at]
        if name is None:
            raise InputError(f"the image of result {at + 1} was no path; say with images what it is called in the file")
        items.append((name, [one._native for one in classes]))
    asked: Dict[str, Any] = {
        "format": format,
        "tolerance": tolerance,
        "margin": margin,
        "min_area": whole("min_area", min_area, 2**64 - 1) or 0,
        "fill_holes": fill_holes,
        "largest": largest,
        "overwrite": overwrite,
    }
    _native.write(os.fsdecode(path), asked, names, items)


def _names(all_found: Sequence[ResultLike]) -> Optional[List[str]]:
    """The names of the classes, where they have names: the same in each image."""
    kinds = {None if isinstance(found, Result) else tuple(found) for found in all_found}
    if len(kinds) > 1:
        raise InputError("the results are not of the same classes in the same order; write them to different files")
    names = next(iter(kinds), None)
    return None if names is None else list(names)
