"""Shared by all parts of the corpus: the pictures in the files, and the list of files."""

import io
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps


def picture(width, height, channels=3, bits=8, seed=26):
    """A picture with gradients, an edge and some noise: uint8 or uint16, [height, width, channels] or [height, width]."""
    rng = np.random.default_rng([seed, width, height, channels])
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    planes = []
    for channel in range(max(channels, 1)):
        plane = 0.5 + 0.5 * np.sin((x * (channel + 1) + y * (3 - channel)) / 9.0 + channel)
        plane = np.where(x > y + 4 * channel, plane, 1.0 - 0.6 * plane)
        planes.append(np.clip(plane + rng.normal(0, 0.03, plane.shape), 0, 1))
    levels = np.round(np.stack(planes, -1) * (2**bits - 1)).astype(np.uint16 if bits > 8 else np.uint8)
    return levels if channels > 0 else levels[..., 0]


def pillow(data):
    """The file's first picture as Pillow reads it: upright RGB."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def saved(image, format, **options):
    """The bytes of a Pillow picture (or an array) in a format."""
    out = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(out, format, **options)
    return out.getvalue()


def tool(command, files, result):
    """Runs a program in a temporary folder that holds `files` (name: bytes); returns the bytes of the file `result`."""
    with tempfile.TemporaryDirectory() as folder:
        for name, data in files.items():
            Path(folder, name).write_bytes(data)
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return Path(folder, result).read_bytes()


class Corpus:
    """Files, their kinds, and the pixels that a reader should find."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.cases = []
        self.names = set()

    def add(self, name, kind, data, expected="pillow", tolerance=0, by=None, small=False):
        """Adds a file.

        kind: "FORMAT: what is special", a row of the table in docs/pictures.md.
        expected: "pillow" for Pillow's result; an array [h, w, 3] of uint8 (name its source in `by`); None for
            a file that need not be readable, and may only be refused.
        tolerance: permitted difference of a sample in levels, shown in the table.
        small: whether it is one of the few files in the repository.
        """
        assert name not in self.names, name
        self.names.add(name)
        (self.folder / name).write_bytes(data)
        case = {"file": name, "kind": kind, "tolerance": tolerance, "small": small}
        if isinstance(expected, str):
            by, expected = "Pillow", pillow(data)
        if expected is not None:
            assert expected.dtype == np.uint8 and expected.ndim == 3 and expected.shape[2] == 3, (name, expected.shape)
            case["expected"] = name.replace(".", "_") + "_expected.png"
            case["by"] = by or "made"
            Image.fromarray(expected).save(self.folder / case["expected"], optimize=True)
        self.cases.append(case)

    def close(self):
        lines = ",\n".join(json.dumps(case) for case in self.cases)
        (self.folder / "corpus.json").write_text(f"[\n{lines}\n]\n")
