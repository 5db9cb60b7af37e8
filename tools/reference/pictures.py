"""Drawn pictures with a mask: smooth backgrounds, waves, a few shapes. Nothing here derives from a photograph."""

import numpy as np
from PIL import Image, ImageDraw


def draw(rng, width, height):
    """An RGB picture and the mask of one of its shapes (8-bit, 0 or 255)."""
    y, x = np.mgrid[0:height, 0:width] / max(width, height)
    ground = np.zeros((height, width, 3))
    for channel in range(3):
        a, b, c = rng.uniform(-1, 1, 3)
        ground[..., channel] = 120 + 90 * (a * x + b * y) + 40 * c
    for _ in range(2):
        direction, frequency, phase = rng.uniform(0, np.pi), rng.uniform(15, 70), rng.uniform(0, 6)
        wave = np.sin(frequency * (x * np.cos(direction) + y * np.sin(direction)) + phase)
        ground += wave[..., None] * rng.uniform(5, 30, 3)
    picture = Image.fromarray(np.clip(ground, 0, 255).astype(np.uint8))
    brush = ImageDraw.Draw(picture)
    mask = Image.new("L", (width, height), 0)
    for index in range(3):
        colour = tuple(int(v) for v in rng.integers(0, 256, 3))
        w, h = width * rng.uniform(0.25, 0.55), height * rng.uniform(0.25, 0.55)
        left, top = rng.uniform(0, width - w), rng.uniform(0, height - h)
        box = [left, top, left + w, top + h]
        if rng.random() < 0.5:
            brush.ellipse(box, fill=colour)
            shape = lambda canvas, fill: canvas.ellipse(box, fill=fill)  # noqa: E731
        else:
            corners = [(left, top + h * rng.random()), (left + w * rng.random(), top), (left + w, top + h), (left, top + h)]
            brush.polygon(corners, fill=colour)
            shape = lambda canvas, fill: canvas.polygon(corners, fill=fill)  # noqa: E731
        # the last shape is the marked one: nothing is drawn over it
        if index == 2:
            shape(ImageDraw.Draw(mask), 255)
    return picture, mask


def write_episode(directory, rng, support_sizes, query_size):
    """support_<i>.png, support_<i>_mask.png and query.png; returns the paths, relative to the directory."""
    supports = []
    for i, size in enumerate(support_sizes):
        picture, mask = draw(rng, *size)
        supports.append([f"support_{i}.png", f"support_{i}_mask.png"])
        picture.save(directory / supports[-1][0], optimize=True)
        mask.save(directory / supports[-1][1], optimize=True)
    draw(rng, *query_size)[0].save(directory / "query.png", optimize=True)
    return supports, "query.png"
