"""Segment by example on any GPU: one picture with a mask in, the same kind of thing found in others.

>>> import diffews_wgpu
>>> segmenter = diffews_wgpu.Segmenter()
>>> bank = segmenter.encode("examples/0/support.png", "examples/0/support_mask.png")
>>> result = segmenter.segment(bank, "examples/0/query.png")
>>> result.mask.shape == result.probability.shape == result.shape
True
"""

from ._errors import (
    DeviceError,
    DiffewsError,
    DiffewsWarning,
    ExistsError,
    FileError,
    InputError,
    NotFoundError,
    OutOfMemoryError,
)
from ._inputs import Box, ImageLike, Marks, MaskLike
from ._native import __version__
from ._result import Object, Result
from ._segmenter import Bank, Device, Segmenter, devices
from ._write import ResultLike, write

__all__ = [
    "Bank",
    "Box",
    "Device",
    "DeviceError",
    "DiffewsError",
    "DiffewsWarning",
    "ExistsError",
    "FileError",
    "ImageLike",
    "InputError",
    "Marks",
    "MaskLike",
    "NotFoundError",
    "Object",
    "OutOfMemoryError",
    "Result",
    "ResultLike",
    "Segmenter",
    "__version__",
    "devices",
    "write",
]
