"""ComfyUI: a node that finds in images what a mask shows in another. Put this file into `custom_nodes/diffews/` as `__init__.py`, and install
the package into ComfyUI's environment. It has a device of its own beside PyTorch's; `max_memory` of `Segmenter` bounds what it takes.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from diffews_wgpu import DeviceError, Segmenter

try:
    from comfy.model_management import throw_exception_if_processing_interrupted as check
except ImportError:  # outside of ComfyUI, for tests

    def check() -> None:
        pass


@lru_cache(maxsize=1)
def segmenter(weights: str, unet: str) -> Segmenter:
    return Segmenter(weights or None, unet=unet or None)


def pictures(images: torch.Tensor) -> list[np.ndarray]:
    """ComfyUI's [B, H, W, C] of 0 to 1 in uint8."""
    return list((images.detach().cpu().clamp(0, 1) * 255 + 0.5).to(torch.uint8).numpy())


class FindByExample:
    CATEGORY = "mask"
    RETURN_TYPES = ("MASK", "MASK", "BOOLEAN")
    RETURN_NAMES = ("mask", "probability", "found")
    FUNCTION = "find"

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        part = {"min": 0.0, "max": 1.0, "step": 0.01}
        return {
            "required": {
                "example": ("IMAGE",),
                "example_mask": ("MASK",),
                "images": ("IMAGE",),
                "threshold": ("FLOAT", {"default": 0.25, **part}),
                "min_score": ("FLOAT", {"default": 0.0, **part}),
            },
            "optional": {"weights": ("STRING", {"default": ""}), "unet": ("STRING", {"default": ""})},
        }

    def find(self, example, example_mask, images, threshold, min_score, weights="", unet=""):
        engine, progress = segmenter(weights, unet), lambda stage, done: check()
        try:
            bank = engine.encode(pictures(example), list(example_mask.cpu().numpy() > 0.5), progress=progress)
            found = engine.segment(bank, pictures(images), threshold=threshold, min_score=min_score, progress=progress)
        except DeviceError:
            segmenter.cache_clear()  # A device that was lost stays lost: the next run opens it again.
            raise
        masks = torch.from_numpy(np.stack([result.mask for result in found]).astype(np.float32))
        return masks, torch.from_numpy(np.stack([result.probability for result in found])), any(result.found for result in found)


NODE_CLASS_MAPPINGS = {"DiffewsFindByExample": FindByExample}
NODE_DISPLAY_NAME_MAPPINGS = {"DiffewsFindByExample": "Find by example (DiffewS)"}
