"""JPEG files."""

from common import picture, saved


def write(corpus):
    corpus.add("jpeg_444.jpg", "JPEG: 4:4:4", saved(picture(48, 32), "JPEG", quality=95, subsampling=0), tolerance=2)
