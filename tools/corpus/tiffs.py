"""TIFF files."""

from common import picture, saved


def write(corpus):
    corpus.add("tiff_rgb.tif", "TIFF: RGB, 8 bits", saved(picture(33, 21), "TIFF"), small=True)
