"""Conversion of images and masks of all kinds."""

from __future__ import annotations

import io
import operator
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, List, NamedTuple, Optional, Protocol, Tuple, Union, cast

import numpy as np
from numpy.typing import NDArray

from . import _native
from ._errors import InputError


def whole(name: str, value: Optional[int], most: int) -> Optional[int]:
    """Checks an integer for the native module."""
    if value is None:
        return None
    number = operator.index(value)
    if not 0 <= number <= most:
        raise InputError(f"{name} is {number}; it must be a whole number from 0 to {most}")
    return number


class PillowImage(Protocol):
    """A Pillow image."""

    @property
    def mode(self) -> str: ...

    def convert(self, mode: str) -> Any: ...

    def save(self, fp: Any, format: Optional[str] = ...) -> None: ...


class HasArray(Protocol):
    """An object that NumPy converts to an array, such as a PyTorch tensor on the CPU."""

    def __array__(self) -> Any: ...


ImageLike = Union[str, "os.PathLike[str]", bytes, bytearray, memoryview, NDArray[Any], PillowImage, HasArray]
"""An image: a path; a file's content as bytes; an array `[H, W]`, `[H, W, 3]` or `[H, W, 4]` of uint8; or a Pillow image.

Files are read as displayed: upright by EXIF, in the colours of their profile, on white where they are transparent. Pixels of
arrays and Pillow images are used unchanged without alpha: for Pillow `numpy.asarray(image.convert("RGB"))`."""

Point = Tuple[float, float]
Stroke = Sequence[Point]


class Box(NamedTuple):
    """A rectangle in pixels from the top left corner.

    >>> box = Box(40, 30, 160, 150)
    >>> box.x, box.width, box.corners
    (40, 160, (40, 30, 200, 180))
    """

    x: int
    y: int
    width: int
    height: int

    @property
    def corners(self) -> Tuple[int, int, int, int]:
        """Left, top, right and bottom; right and bottom lie outside."""
        return self.x, self.y, self.x + self.width, self.y + self.height


@dataclass(frozen=True)
class Marks:
    """Marks instead of a mask: where in the picture the thing is, and where it is not.

    `boxes` are corners `(left, top, right, bottom)` in pixels, or a `Box` of a result. Each of `inside` and `outside` is a point
    `(x, y)` or a stroke, a list of points. Strokes are `width` pixels wide, by default 3 % of the picture's longer side.

    >>> marks = Marks(boxes=[(154, 12, 242, 78)], outside=[(5, 5)])
    >>> int(marks.mask("examples/lemons/lemon_1.png").sum())
    3674
    """

    boxes: Sequence[Tuple[int, int, int, int]] = ()
    inside: Sequence[Union[Point, Stroke]] = ()
    outside: Sequence[Union[Point, Stroke]] = ()
    width: Optional[float] = None

    def mask(self, image: ImageLike) -> NDArray[np.bool_]:
        """The mask that the marks give in `image`, as a preview: a bool array `[H, W]`. Needs no device."""
        width, height, made, _ = _native.read_mask(picture(image), self._native())
        return np.frombuffer(made, dtype=np.bool_).reshape(height, width)

    def _native(self) -> _native._Marks:
        lines = [(points(drawn), self.width, inside) for all_, inside in ((self.inside, True), (self.outside, False)) for drawn in all_]
        return [corners(box) for box in self.boxes], lines


def corners(box: Sequence[int]) -> Tuple[int, int, int, int]:
    """Converts a box for the native module."""
    given = box.corners if isinstance(box, Box) else tuple(box)
    try:
        left, top, right, bottom = (operator.index(corner) for corner in given)
    except (TypeError, ValueError):
        raise InputError(f"the box {given} is not four whole numbers: its left, top, right and bottom in pixels") from None
    if not all(0 <= corner < 2**32 for corner in (left, top, right, bottom)):
        raise InputError(f"the box {given} does not lie in a picture: its corners are pixels from the top left, 0 or more")
    return left, top, right, bottom


def points(drawn: Union[Point, Stroke]) -> List[Point]:
    """Converts a point or a stroke to a list of points."""
    first = drawn[0] if len(drawn) else ()
    stroke = [drawn] if isinstance(first, (int, float, np.number)) else drawn
    return [(float(x), float(y)) for x, y in cast(Stroke, stroke)]


MaskLike = Union[ImageLike, Marks]
"""A mask: an array `[H, W]` of bool, or of numbers with a single value besides 0; a path, bytes or a Pillow image, which are read like
the command does (white, the single label, or the single colour on black); or `Marks`."""


def is_one(value: object) -> bool:
    """Whether the value is a single image or mask, not a list."""
    return isinstance(value, (str, os.PathLike, bytes, bytearray, memoryview, Marks)) or hasattr(value, "__array__") or is_pillow(value)


def is_pillow(value: object) -> bool:
    return hasattr(value, "convert") and hasattr(value, "getbands")


def several(values: Any, what: str) -> List[Any]:
    """The values as a list."""
    if is_one(values):
        return [values]
    if not isinstance(values, Iterable):
        raise TypeError(f"{what}: {type(values).__name__} is no image; give a path, a file's bytes, a NumPy array or a picture of Pillow")
    return list(values)


def picture(image: Any) -> _native._Picture:
    """Converts an image for the native module."""
    file = of_file(image)
    if file is not None:
        return file
    if is_pillow(image):
        if image.mode[:1] in "IF":
            raise InputError(f"the image is of Pillow's mode {image.mode}, whose white is not known: scale it to 8 bits, or give the file's path")
        image = image.convert("RGB")
    elif not hasattr(image, "__array__"):
        raise TypeError(f"{type(image).__name__} is no image; give a path, a file's bytes, a NumPy array or a picture of Pillow")
    array = np.asarray(image)
    if array.dtype != np.uint8:
        raise InputError(f"the image is an array of {array.dtype}; give uint8, 0 to 255")
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in array.shape:
        raise InputError(f"the image is an array of the shape {np.asarray(image).shape}; give [height, width], [height, width, 3] or [height, width, 4]")
    height, width, channels = array.shape
    rgb = np.broadcast_to(array, (height, width, 3)) if channels == 1 else array[:, :, :3]
    return height, width, rgb.tobytes()


def mask(given: Any) -> _native._Shape:
    """Converts a mask for the native module."""
    file = of_file(given)
    if file is not None:
        return file
    if isinstance(given, Marks):
        return given._native()
    if is_pillow(given):
        # Write a PNG, so that the library distinguishes labels, colours and levels as in a file.
        written = io.BytesIO()
        try:
            given.save(written, "PNG", compress_level=1, exif=b"")
        except OSError as error:
            raise InputError(f"the mask is of Pillow's mode {given.mode}, which is none of a mask: {error}") from error
        return written.getvalue()
    if not hasattr(given, "__array__"):
        raise TypeError(f"{type(given).__name__} is no mask; give a path, a file's bytes, a NumPy array, a picture of Pillow, or Marks")
    array = np.asarray(given)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim != 2 or 0 in array.shape:
        raise InputError(f"the mask is an array of the shape {array.shape}; give [height, width]")
    if not (np.issubdtype(array.dtype, np.number) or array.dtype == np.bool_):
        raise InputError(f"the mask is an array of {array.dtype}; give bool")
    foreground = array != 0
    values = array[foreground]
    if values.size and bool((values != values[0]).any()):
        raise InputError("the mask has several values beside 0; say which are meant, as mask == 3 or mask > 127")
    return array.shape[0], array.shape[1], foreground.tobytes()


def of_file(value: Any) -> Union[str, bytes, None]:
    """The path or bytes of a file, or None."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, (str, os.PathLike)):
        return os.fsdecode(value)
    return None
