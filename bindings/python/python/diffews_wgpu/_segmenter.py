"""A model on a device, and its banks of examples."""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Dict, List, Literal, Optional, Tuple, Union, overload

from . import _native
from ._errors import DiffewsWarning, InputError
from ._inputs import ImageLike, MaskLike, is_one, mask, picture, several, whole
from ._result import Result

Path = Union[str, "os.PathLike[str]"]
Progress = Callable[[str, float], object]
"""Called with a stage and its progress from 0 to 1. An exception stops the work and is raised from the call."""


@dataclass(frozen=True)
class Device:
    """An adapter, as in `diffews-wgpu devices`."""

    index: Optional[int]
    """Its index in `devices()`, for `Segmenter(adapter=...)`."""
    name: str
    backend: str
    device_type: str
    driver: str
    shader_f16: bool
    memory_bytes: Optional[int]
    max_buffer_bytes: int
    max_binding_bytes: int

    def __str__(self) -> str:
        return f"{self.name} ({self.backend})"


def _device(facts: Mapping[str, Any]) -> Device:
    return Device(**{field.name: facts[field.name] for field in fields(Device)})


def devices(backend: Optional[str] = None) -> List[Device]:
    """All adapters, or those of a backend: vulkan, metal, dx12 or gl."""
    return [_device(facts) for facts in json.loads(_native.devices(backend))]


def _native_bank(bank: Bank) -> _native.Bank:
    if not isinstance(bank, Bank):
        raise TypeError(f"{type(bank).__name__} is no Bank; encode examples or load a file")
    return bank._native


def _native_negative(negative: Optional[Bank]) -> Optional[_native.Bank]:
    return None if negative is None else _native_bank(negative)


def _tiles(side: Optional[int], overlap: Optional[int]) -> Optional[Tuple[int, int]]:
    side, overlap = whole("tile", side, 2**32 - 1), whole("overlap", overlap, 2**32 - 1)
    if side is None:
        if overlap is not None:
            raise InputError("overlap is of tiles; give tile, too")
        return None
    return side, side // 4 if overlap is None else overlap


def _seconds(tune: Union[bool, float]) -> Optional[float]:
    """Most seconds to tune, if given."""
    if isinstance(tune, bool):
        return None
    seconds = float(tune)
    if not 0 <= seconds < math.inf:
        raise InputError(f"tune is {tune}; it must be True, False, or a number of seconds")
    return seconds


def _warn(told: Iterable[str]) -> None:
    # The warning points to the caller of the public method.
    for line in told:
        warnings.warn(line, DiffewsWarning, stacklevel=3)


class Bank:
    """Encoded examples, on the device of the segmenter that made them, for any number of queries."""

    def __init__(self, native: _native.Bank, segmenter: Segmenter) -> None:
        self._native = native
        self.segmenter = segmenter

    @property
    def shots(self) -> int:
        """Number of examples."""
        return self._native.shots

    def save(self, path: Path, *, f32: bool = False, name: Optional[str] = None, overwrite: bool = False) -> None:
        """Writes it to a file atomically; any adapter can load it with the same model and size.

        With `f32`, results equal this bank's to the last bit; otherwise numbers have 16 bits and the file is half as large.
        """
        self._native.save(os.fsdecode(path), f32, name, overwrite)

    def __len__(self) -> int:
        return self.shots

    def __repr__(self) -> str:
        return f"<Bank of {self.shots} example{'' if self.shots == 1 else 's'}, {self._native.precision}>"


class Segmenter:
    """A model on a device. It may be used from several threads: one call computes, the others wait.

    >>> from diffews_wgpu import Segmenter
    >>> segmenter = Segmenter()
    >>> bank = segmenter.encode("examples/lemons/lemon_1.png", "examples/lemons/lemon_1_mask.png")
    >>> result = segmenter.segment(bank, "examples/lemons/photos/crate_3.png")
    >>> result.mask.shape, result.mask.dtype, result.found
    ((256, 256), dtype('bool'), True)
    >>> [found.area for found in result.find_objects(min_area=200)]
    [4436, 2607]
    """

    def __init__(
        self,
        weights: Optional[Path] = None,
        *,
        unet: Optional[Path] = None,
        size: Optional[int] = None,
        precision: Literal["auto", "f32", "f16", "q8"] = "auto",
        adapter: Union[int, str, None] = None,
        backend: Optional[Literal["vulkan", "metal", "dx12", "gl"]] = None,
        fit: Literal["squash", "pad", "crop"] = "squash",
        threshold: Optional[float] = None,
        absolute_threshold: Optional[float] = None,
        min_score: float = 0.0,
        guided_filter: Union[int, Tuple[int, float], None] = None,
        shots: int = 1,
        kv_sample: Optional[int] = None,
        kv_seed: int = 0,
        max_memory: Optional[int] = None,
        self_check: bool = True,
        cache: Union[bool, Path] = True,
        tune: Union[bool, float] = False,
        progress: Optional[Progress] = None,
    ) -> None:
        """Opens a device and loads a model to it.

        weights, unet: directories in the diffusers layout; without them the small demonstration model inside this package.
        size: side of the square that images are scaled to; by default the model's own.
        precision: how values are stored; auto is f32, or half precision if f32 does not fit.
        adapter, backend: an index or a part of a name from `devices()`; by default the best.
        fit: how images are made square: squash as in the paper, pad, or crop to the middle.
        threshold: as a part of the map's maximum; absolute_threshold: as a fixed value; by default the model's own.
        min_score: masks of results with a lower score are empty.
        guided_filter: radius, or radius and epsilon, of the filter that refines outlines by colours; 0 is off; by default the model's own.
        shots: examples of the largest bank, for the memory plan.
        kv_sample, kv_seed: keep a random sample of the keys, as many as this number of examples has, drawn by the seed.
        max_memory: most bytes to use on the device.
        self_check: whether the device must pass a self-check.
        cache: directory for results of self-checks, compiled pipelines and measured forms: True is the command's own, False is none.
        tune: measure the fastest kernel forms, for at most this many seconds if it is a number. Without it, results are equal to
        the last bit each time.
        """
        if guided_filter is not None:
            radius, epsilon = guided_filter if isinstance(guided_filter, tuple) else (guided_filter, 1e-5)
            guided_filter = whole("guided_filter", radius, 2**32 - 1) or 0, float(epsilon)
        place = _native.cache_dir() if cache is True else None if cache is False else os.fsdecode(cache)
        asked: Dict[str, Any] = {
            "weights": None if weights is None else os.fsdecode(weights),
            "unet": None if unet is None else os.fsdecode(unet),
            "size": whole("size", size, 2**32 - 1),
            "precision": precision,
            "backend": backend,
            "adapter": None if adapter is None else str(adapter),
            "shots": whole("shots", shots, 2**32 - 1),
            "kv_sample": whole("kv_sample", kv_sample, 2**32 - 1),
            "kv_seed": whole("kv_seed", kv_seed, 2**64 - 1),
            "fit": fit,
            "guided_filter": guided_filter,
            "threshold": threshold,
            "absolute_threshold": absolute_threshold,
            "min_score": min_score,
            "max_memory": whole("max_memory", max_memory, 2**64 - 1),
            "self_check": self_check,
            "cache": place,
            "tune": bool(tune),
            "tune_seconds": _seconds(tune),
        }
        self._native = _native.Segmenter(asked, progress)
        _warn(self._native.warnings)

    @property
    def size(self) -> int:
        """Side of the square that images are scaled to."""
        return self._native.size

    @property
    def precision(self) -> str:
        """How values are stored: f32, f16 or q8."""
        return self._native.precision

    @property
    def model(self) -> str:
        """Name of the model."""
        return self._native.model

    @property
    def adapter(self) -> Device:
        """The device in use."""
        return _device(json.loads(self._native.adapter))

    def encode(
        self,
        images: Union[ImageLike, Iterable[ImageLike]],
        masks: Union[MaskLike, Iterable[MaskLike]],
        *,
        progress: Optional[Progress] = None,
    ) -> Bank:
        """Encodes one example, an image and its mask, or several, a list of each, to a bank."""
        all_images, all_masks = several(images, "images"), several(masks, "masks")
        if len(all_images) != len(all_masks):
            raise InputError(f"{len(all_images)} image(s) and {len(all_masks)} mask(s); give one mask for each image, in order")
        pictures = [picture(one) for one in all_images]
        bank = self._native.encode(pictures, [mask(one) for one in all_masks], progress)
        _warn(bank.warnings)
        return Bank(bank, self)

    def load_bank(self, paths: Union[Path, Iterable[Path]], *, progress: Optional[Progress] = None) -> Bank:
        """Loads one or several files of `Bank.save` or `diffews-wgpu bank encode` as one bank."""
        files = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
        bank = self._native.load_bank([os.fsdecode(file) for file in files], progress)
        _warn(bank.warnings)
        return Bank(bank, self)

    @overload
    def segment(  # type: ignore[overload-overlap]
        self,
        bank: Bank,
        images: ImageLike,
        *,
        threshold: Optional[float] = None,
        absolute_threshold: Optional[float] = None,
        min_score: Optional[float] = None,
        tile: Optional[int] = None,
        overlap: Optional[int] = None,
        negative: Optional[Bank] = None,
        progress: Optional[Progress] = None,
    ) -> Result: ...

    @overload
    def segment(
        self,
        bank: Bank,
        images: Iterable[ImageLike],
        *,
        threshold: Optional[float] = None,
        absolute_threshold: Optional[float] = None,
        min_score: Optional[float] = None,
        tile: Optional[int] = None,
        overlap: Optional[int] = None,
        negative: Optional[Bank] = None,
        progress: Optional[Progress] = None,
    ) -> List[Result]: ...

    def segment(
        self,
        bank: Bank,
        images: Union[ImageLike, Iterable[ImageLike]],
        *,
        threshold: Optional[float] = None,
        absolute_threshold: Optional[float] = None,
        min_score: Optional[float] = None,
        tile: Optional[int] = None,
        overlap: Optional[int] = None,
        negative: Optional[Bank] = None,
        progress: Optional[Progress] = None,
    ) -> Union[Result, List[Result]]:
        """Segments an image by the bank's examples. Returns a result, or a list of results for a list of images.

        threshold, absolute_threshold, min_score: in the place of those of the segmenter.
        tile, overlap: cut images into squares of so many pixels, each segmented by itself: for small things in large images. They
            overlap by a quarter where it is not said.
        negative: examples of what looks alike but is not meant: it keeps its pixels.
        """
        native, tiles, other = _native_bank(bank), _tiles(tile, overlap), _native_negative(negative)
        results: List[Result] = []
        for image in several(images, "images"):
            (found,) = self._native.segment([native], picture(image), threshold, absolute_threshold, min_score, tiles, other, progress)
            _warn(found.warnings)
            results.append(Result(found))
        return results[0] if is_one(images) else results

    def segment_classes(
        self,
        banks: Mapping[str, Bank],
        image: ImageLike,
        *,
        threshold: Optional[float] = None,
        absolute_threshold: Optional[float] = None,
        min_score: Optional[float] = None,
        tile: Optional[int] = None,
        overlap: Optional[int] = None,
        negative: Optional[Bank] = None,
        progress: Optional[Progress] = None,
    ) -> Dict[str, Result]:
        """Segments an image by several classes and returns a result for each name. The image is encoded once. Options as in `segment`."""
        if not banks:
            raise InputError("there is no class; give at least one bank")
        natives = [_native_bank(bank) for bank in banks.values()]
        tiles, other = _tiles(tile, overlap), _native_negative(negative)
        found = self._native.segment(natives, picture(image), threshold, absolute_threshold, min_score, tiles, other, progress)
        for result in found:
            _warn(result.warnings)
        return dict(zip(banks, map(Result, found)))

    def __repr__(self) -> str:
        return f"<Segmenter of {self.model}, {self.size} x {self.size}, {self.precision}, on {self.adapter}>"
