"""Errors, which also derive from Python's own exception classes: each is a `DiffewsError`, too."""

from __future__ import annotations


class DiffewsError(Exception):
    """Every error of this package except `TypeError`. The message says what happened, to which file, and what to do."""


class InputError(DiffewsError, ValueError):
    """An invalid image, mask, bank, model or number."""


class FileError(DiffewsError, OSError):
    """A file that cannot be read or written."""


class NotFoundError(DiffewsError, FileNotFoundError):
    """A missing file or directory."""


class ExistsError(DiffewsError, FileExistsError):
    """An existing file that must not be overwritten."""


class OutOfMemoryError(DiffewsError, MemoryError):
    """The device has too little memory."""


class DeviceError(DiffewsError, RuntimeError):
    """No device, a failing device, or one that computes wrong results."""


class DiffewsWarning(UserWarning):
    """A picture or mask that may be wrong, or work that was done in another way than requested."""
