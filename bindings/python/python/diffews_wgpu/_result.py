"""The result for an image."""

from __future__ import annotations

import os
from functools import cached_property
from typing import Dict, List, Optional, Tuple, Union

import numpy as np
from numpy.typing import NDArray

from . import _native
from ._inputs import Box, whole


class Object:
    """A connected component of a mask."""

    def __init__(self, native: _native.MaskObject, shape: Tuple[int, int]) -> None:
        self._native = native
        self._shape = shape
        self.area = native.area
        """Number of pixels."""
        self.box = Box(*native.bounding_box)
        self.score = native.score or 0.0
        """The mean of the probability inside, from 0 to 1."""

    @cached_property
    def mask(self) -> NDArray[np.bool_]:
        """`[H, W]`, of the image's size."""
        return np.frombuffer(self._native.mask(), dtype=np.bool_).reshape(self._shape)

    def __repr__(self) -> str:
        return f"Object(area={self.area}, box={self.box}, score={self.score:.3f})"


class Result:
    """The result for one image. Arrays are created on first access and cached."""

    def __init__(self, native: _native.Prediction) -> None:
        self._native = native
        width, height = native.size
        self.shape: Tuple[int, int] = (height, width)
        """Height and width of the image."""
        self.file: Optional[str] = native.file
        """The path of the image, as it was given; None where it was no path."""
        self.seconds: Dict[str, float] = dict(native.seconds)
        """Seconds of each stage."""
        self.precision = native.precision
        """The precision of the computation: f32, f16 or q8."""

    @cached_property
    def mask(self) -> NDArray[np.bool_]:
        """`[H, W]`, of the image's size: True for foreground."""
        return np.frombuffer(self._native.mask(), dtype=np.bool_).reshape(self.shape)

    @cached_property
    def probability(self) -> NDArray[np.float32]:
        """`[H, W]`, from 0 to 1: the network's map, enlarged bilinearly to the image's size."""
        return np.frombuffer(self._native.probability(), dtype=np.float32).reshape(self.shape)

    @cached_property
    def map(self) -> NDArray[np.float32]:
        """The network's map before enlargement, `[S, S]` from 0 to 1, as `infer --probability map.npy` writes it."""
        width, height = self._native.map_size
        return np.frombuffer(self._native.map(), dtype=np.float32).reshape(height, width)

    @cached_property
    def score(self) -> float:
        """The network's confidence that the thing is there, from 0 to 1: the mean of the map above the threshold."""
        return self._native.score()

    @cached_property
    def box(self) -> Optional[Box]:
        """The bounding box of the mask, or None if it is empty."""
        found = self._native.bounding_box()
        return None if found is None else Box(*found)

    @property
    def found(self) -> bool:
        """Whether the mask is not empty."""
        return self.box is not None

    @cached_property
    def objects(self) -> List[Object]:
        """The connected components of the mask, the largest first."""
        return self.find_objects()

    def find_objects(self, *, min_area: int = 0, fill_holes: bool = False, largest: bool = False) -> List[Object]:
        """The components of at least `min_area` pixels, optionally with filled holes, or only the largest."""
        least = whole("min_area", min_area, 2**64 - 1) or 0
        return [Object(part, self.shape) for part in self._native.objects(least, fill_holes, largest)]

    def at(
        self, threshold: Optional[float] = None, *, absolute_threshold: Optional[float] = None, min_score: Optional[float] = None
    ) -> Result:
        """The same map with another threshold or minimum score. Computes nothing on the device."""
        return Result(self._native.at(threshold, absolute_threshold, min_score))

    def save(self, path: Union[str, os.PathLike[str]], *, overwrite: bool = False) -> None:
        """Writes the mask as a PNG, white on black, whole or not at all. `diffews_wgpu.write` writes other formats."""
        self._native.save(os.fsdecode(path), overwrite)

    def __repr__(self) -> str:
        height, width = self.shape
        return f"<Result {width} x {height}, {f'score {self.score:.3f}, {self.box}' if self.found else 'nothing found'}>"
