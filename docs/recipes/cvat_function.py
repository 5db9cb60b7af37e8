"""CVAT: annotates a task's frames from banks, with `cvat-cli` or an agent.

    diffews-wgpu bank encode --support a.png --mask a_m.png -o cat.bank     # or Bank.save in Python
    cvat-cli --auth USER task auto-annotate 7 --function-file cvat_function.py -p cat=str:cat.bank -p dog=str:dog.bank --conf-threshold 0.6

Each `-p LABEL=str:FILE` is a label of the task and its bank. `weights`, `unet` and `min_area` (as int) are options. Each object becomes a mask shape.
"""

from __future__ import annotations

import cvat_sdk.auto_annotation as cvataa
import cvat_sdk.models as models
import PIL.Image
from cvat_sdk.masks import encode_mask

from diffews_wgpu import Segmenter


class FewShotFunction:
    def __init__(self, weights: str | None = None, unet: str | None = None, min_area: int = 100, **banks: str) -> None:
        if not banks:
            raise ValueError("no bank is given: name at least one label and its bank, as -p cat=str:cat.bank")
        self._segmenter = Segmenter(weights, unet=unet)
        self._banks = {label: self._segmenter.load_bank(path) for label, path in banks.items()}
        self._min_area = min_area

    @property
    def spec(self) -> cvataa.DetectionFunctionSpec:
        labels = [cvataa.label_spec(label, number, type="mask") for number, label in enumerate(self._banks)]
        return cvataa.DetectionFunctionSpec(labels=labels)

    def detect(self, context: cvataa.DetectionFunctionContext, image: PIL.Image.Image) -> list[models.LabeledShapeRequest]:
        if context.conv_mask_to_poly:
            raise cvataa.BadFunctionError("this function returns masks: call it without conversion to polygons")
        # A frame with a low score has no objects; CVAT's threshold then filters the objects of the others.
        least = context.conf_threshold or 0.0
        found = self._segmenter.segment_classes(self._banks, image, min_score=least)
        shapes = []
        for number, result in enumerate(found.values()):
            for thing in result.find_objects(min_area=self._min_area):
                if thing.score >= least:
                    shapes.append(cvataa.mask(number, encode_mask(thing.mask, thing.box.corners)))
        return shapes


create = FewShotFunction
