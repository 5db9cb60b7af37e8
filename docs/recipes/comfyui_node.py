"""ComfyUI: a node that takes an example image with a mask and finds the same thing in other images.

Copy this file to `custom_nodes/diffews/__init__.py` and install the package into ComfyUI's environment. The node opens its own device beside
PyTorch's; `max_memory` of `Segmenter` limits its memory.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from diffews_wgpu import DeviceError, Segmenter

try:
    from comfy.model_management import throw_exception_if_processing_interrupted as check
except ImportError:  # Outside ComfyUI, in tests.

    def check() -> None:
        pass


@lru_cache(maxsize=1)
def segmenter(weights: str, unet: str) -> Segmenter:
    return Segmenter(weights or None, unet=unet or None)


def pictures(images: torch.Tensor) -> list[np.ndarray]:
    """ComfyUI's images, [B, H, W, C] from 0 to 1, as uint8."""
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
            segmenter.cache_clear()  # A lost device stays lost: the next run opens a new one.
            raise
        masks = torch.from_numpy(np.stack([result.mask for result in found]).astype(np.float32))
        return masks, torch.from_numpy(np.stack([result.probability for result in found])), any(result.found for result in found)


NODE_CLASS_MAPPINGS = {"DiffewsFindByExample": FindByExample}
NODE_DISPLAY_NAME_MAPPINGS = {"DiffewsFindByExample": "Find by example (DiffewS)"}
