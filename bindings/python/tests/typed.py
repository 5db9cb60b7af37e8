"""Read by mypy, not run: what the package's types say, and what they refuse."""

from pathlib import Path
from typing import Dict, List, Optional, Tuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import diffews_wgpu
from diffews_wgpu import Bank, Box, Marks, Result, Segmenter

segmenter: Segmenter = Segmenter("weights", unet=Path("unet"), size=512, precision="f16", progress=lambda stage, done: print(stage, done))
array: NDArray[np.uint8] = np.zeros((4, 4, 3), np.uint8)
bank: Bank = segmenter.encode(array, np.zeros((4, 4), bool))
more: Bank = segmenter.encode(["a.png", Path("b.png"), Image.new("RGB", (4, 4))], [Marks(inside=[(1, 2)]), b"bytes", "c.png"])
one: Result = segmenter.segment(bank, "a.png")
also_one: Result = segmenter.segment(bank, Image.open("a.png"))
several: List[Result] = segmenter.segment(bank, [Path("a.png"), array])
named: Dict[str, Result] = segmenter.segment_classes({"cat": bank}, array)
mask: NDArray[np.bool_] = one.mask
probability: NDArray[np.float32] = one.probability
box: Optional[Box] = one.box
areas: List[Tuple[int, float]] = [(found.area, found.score) for found in one.objects]
diffews_wgpu.write("found.json", [one, also_one], "coco", tolerance=1)
diffews_wgpu.write(Path("labels.png"), named, format="labelmap", margin=0.1)
without: Result = segmenter.segment(bank, "a.png", negative=more)
shots: int = len(bank) + segmenter.load_bank("cat.bank").shots
name: str = segmenter.adapter.name + diffews_wgpu.devices()[0].driver + diffews_wgpu.__version__

segmenter.encode("a.png")  # type: ignore[call-arg]
Segmenter(precision="f8")  # type: ignore[arg-type]
segmenter.segment(bank, 3)  # type: ignore[call-overload]
