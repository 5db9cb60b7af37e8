"""PNG, WebP, BMP and GIF files; orientations."""

import numpy as np
from PIL import Image

from common import picture, saved


def write(corpus):
    pngs(corpus)


def pngs(corpus):
    rgb = picture(33, 21)
    corpus.add("png_rgb.png", "PNG: RGB, 8 bits", saved(rgb, "PNG"), small=True)
