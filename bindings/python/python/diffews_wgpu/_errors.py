"""What goes wrong, in classes that Python's users look for: each is a `DiffewsError`, too."""

from __future__ import annotations


class DiffewsError(Exception):
    """Every error of this package but a `TypeError`. Its message says what happened, to which file, and what to do."""


class InputError(DiffewsError, ValueError):
    """An image, a mask, a bank, a model or a number that will not do."""


class FileError(DiffewsError, OSError):
    """A file that cannot be read or written."""


class NotFoundError(DiffewsError, FileNotFoundError):
    """A file or a directory that is not there."""


class ExistsError(DiffewsError, FileExistsError):
    """A file that is there and was not to be overwritten."""


class OutOfMemoryError(DiffewsError, MemoryError):
    """More than the device has."""


class DeviceError(DiffewsError, RuntimeError):
    """No device, one that fails, or one that does not compute right."""


class DiffewsWarning(UserWarning):
    """A picture or a mask that is perhaps not what was meant, or work that was done in another way than asked for."""
