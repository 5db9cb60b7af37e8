# %% [markdown]
# # Find lemons by example
# Cells are those of Jupyter and VS Code ("percent format"). Run it in this repository's folder: `python bindings/python/examples/lemons.py`.

# %%
from pathlib import Path

import numpy as np
from PIL import Image

from diffews_wgpu import Marks, Segmenter, devices

for device in devices():
    print(device.index, device, device.driver)

lemons = Path("examples/lemons")
segmenter = Segmenter()
segmenter

# %% [markdown]
# ## Show what is meant
# Each example is a picture with a mask. Together they are a bank, which is encoded once.

# %%
pictures = [lemons / f"lemon_{n}.png" for n in (1, 2, 3)]
masks = [lemons / f"lemon_{n}_mask.png" for n in (1, 2, 3)]
bank = segmenter.encode(pictures, masks)
print(bank)

# %% [markdown]
# ## Find it
# A score says whether the thing is there at all: look at the scores first, then choose `min_score`.

# %%
photos = sorted((lemons / "photos").glob("*.png"))
results = segmenter.segment(bank, photos)
for path, result in zip(photos, results):
    print(f"{path.name}: score {result.score:.2f}, {len(result.find_objects(min_area=200))} objects")


# %%
def painted(path, result, colour=(255, 0, 128)):
    """The picture with its mask over it."""
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(float)
    pixels[result.mask] = 0.5 * pixels[result.mask] + 0.5 * np.array(colour)
    return Image.fromarray(pixels.astype(np.uint8))


sheet = np.hstack([np.asarray(painted(path, result.at(min_score=0.7))) for path, result in zip(photos, results)])
Image.fromarray(sheet)

# %% [markdown]
# ## No mask at hand
# A box around the thing does; look at the mask that is made of it.

# %%
marks = Marks(boxes=[(154, 12, 242, 78)])
print(f"{marks.mask(pictures[0]).sum()} pixels by the box, {(np.asarray(Image.open(masks[0]).convert('L')) > 127).sum()} by the mask")
one = segmenter.segment(segmenter.encode(pictures[0], marks), photos[2])
print(one)

# %% [markdown]
# ## Go on with what was found
# A good result is another example.

# %%
found = results[2]
more = segmenter.encode([*pictures, photos[2]], [*masks, found.mask])
print(more, segmenter.segment(more, photos[0]))
