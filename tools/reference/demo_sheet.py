"""The README's picture: for each demo set its support with the mask, the query, and what `make demo` found.

    make demo && python tools/reference/demo_sheet.py        # writes docs/demo.png
"""

from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
SIDE, GAP = 192, 8
PAINT = np.array([255, 64, 32])


def picture(path):
    return Image.open(path).convert("RGB").resize((SIDE, SIDE), Image.BILINEAR)


def painted(image, mask):
    """`image` with `mask` laid over it, so that the example reads at a glance."""
    inside = np.asarray(Image.open(mask).convert("L").resize((SIDE, SIDE), Image.NEAREST))[..., None] >= 128
    pixels = np.asarray(image, float)
    return Image.fromarray(np.where(inside, 0.5 * pixels + 0.5 * PAINT, pixels).astype(np.uint8))


def main():
    sets = sorted(p for p in (ROOT / "examples").iterdir() if p.is_dir())
    sheet = Image.new("RGB", (3 * SIDE + 2 * GAP, len(sets) * (SIDE + GAP) - GAP), "white")
    for row, folder in enumerate(sets):
        support = painted(picture(folder / "support.png"), folder / "support_mask.png")
        query = picture(folder / "query.png")
        found = picture(ROOT / "demo" / f"{folder.name}_overlay.png")
        for column, tile in enumerate([support, query, found]):
            sheet.paste(tile, (column * (SIDE + GAP), row * (SIDE + GAP)))
    sheet.save(ROOT / "docs" / "demo.png", optimize=True)


if __name__ == "__main__":
    main()
