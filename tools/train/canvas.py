"""Building blocks of scenes: colour changes, crops of photographs, backgrounds, pasted cut-outs."""

import cv2
import numpy as np
from PIL import Image

cv2.setNumThreads(1)


def jitter(rgb, rng, strength):
    """Brightness, contrast, saturation, a little hue; float32 in 0..255."""
    x = rgb.astype(np.float32)
    grey = x.mean(-1, keepdims=True)
    x = grey + (x - grey) * rng.uniform(1 - strength, 1 + strength)
    x = (x - 128) * rng.uniform(1 - strength, 1 + strength) + 128 + rng.uniform(-60, 60) * strength
    return np.clip(x * rng.uniform(1 - 0.25 * strength, 1 + 0.25 * strength, 3).astype(np.float32), 0, 255)


def cropped(pixels, mask, height, width, rng, scale=(0.55, 1.0)):
    """A random part of a photograph at height x width, with its class index. The aspect ratio is off by at most a third for a
    square; for a narrower part, half of the difference is cropped and half is squeezed."""
    h, w = mask.shape
    s = rng.uniform(*scale)
    stretch = rng.uniform(0.87, 1.15)
    tall, wide = min(1.0, (height / width) ** 0.5), min(1.0, (width / height) ** 0.5)
    ch, cw = min(h, max(8, int(h * s * tall * stretch))), min(w, max(8, int(w * s * wide / stretch)))
    y, x = rng.integers(0, h - ch + 1), rng.integers(0, w - cw + 1)
    how = cv2.INTER_AREA if ch >= height else cv2.INTER_LINEAR
    part = cv2.resize(np.ascontiguousarray(pixels[y : y + ch, x : x + cw]), (width, height), interpolation=how)
    label = np.ascontiguousarray(mask[y : y + ch, x : x + cw])
    label = cv2.resize(label, (width, height), interpolation=cv2.INTER_NEAREST)
    if rng.random() < 0.5:
        part, label = part[:, ::-1], label[:, ::-1]
    return np.ascontiguousarray(part), np.ascontiguousarray(label)


def plain_ground(size, rng):
    a, b = rng.uniform(0, 255, (2, 3))
    if rng.random() < 0.4:
        b = a
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0:size, 0:size] / size
    t = np.clip(0.5 + (x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle), 0, 1)[..., None]
    ground = a + (b - a) * t
    if rng.random() < 0.4:
        cells = int(rng.integers(3, 24))
        noise = rng.normal(0, rng.uniform(5, 50), (cells, cells, int(rng.choice([1, 3])))).astype(np.float32)
        noise = cv2.resize(noise, (size, size), interpolation=int(rng.choice([cv2.INTER_NEAREST, cv2.INTER_CUBIC])))
        ground = ground + noise.reshape(size, size, -1)
    return np.clip(ground, 0, 255).astype(np.float32)


def paste(canvas, label, number, cutout, rng, scale, strength, avoid):
    """Pastes a cut-out on a float canvas, turned, scaled and mirrored at random, and writes `number` where it is opaque to
    `label`. Tries to cover little of `avoid`. Returns False if it finds no position."""
    size = canvas.shape[0]
    h, w = cutout.shape[:2]
    long = max(h, w)
    s = rng.uniform(*scale) * size / long
    pixels = np.ascontiguousarray(cutout)
    if s < 0.7:
        pixels = cv2.resize(pixels, (max(2, round(w * s)), max(2, round(h * s))), interpolation=cv2.INTER_AREA)
        h, w = pixels.shape[:2]
        s = 1.0
    rgb = jitter(pixels[..., :3], rng, strength)
    alpha = pixels[..., 3:].astype(np.float32) / 255
    rgba = np.concatenate([rgb * alpha, alpha], -1)
    angle = np.deg2rad(rng.normal(0, 15))
    mirror = -1 if rng.random() < 0.5 else 1
    shear = rng.uniform(-0.1, 0.1)
    a = s * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ [[mirror, shear], [0, 1]]
    half = np.abs(a) @ [w / 2, h / 2]
    for _ in range(6):
        low = np.minimum(half * 0.8, size / 2)
        centre = rng.uniform(low, size - low)
        matrix = np.concatenate([a, (centre - a @ [w / 2, h / 2])[:, None]], 1).astype(np.float32)
        moved = cv2.warpAffine(rgba, matrix, (size, size), flags=cv2.INTER_LINEAR, borderValue=0)
        opaque = moved[..., 3] > 0.5
        area = opaque.sum()
        if area < 12:
            return False
        if (opaque & avoid).sum() <= 0.15 * min(area, max(avoid.sum(), 1)):
            canvas *= 1 - moved[..., 3:]
            canvas += moved[..., :3]
            label[opaque] = number
            return True
    return False


def shrunk(b, size):
    """Resizes a batch to size x size like the engine: pictures by PIL's bilinear filter, masks by the nearest pixel."""
    drawn = b["images"].shape[1]
    if drawn == size:
        return b
    rows = np.arange(size) * drawn // size
    images = [np.asarray(Image.fromarray(image).resize((size, size), Image.BILINEAR)) for image in b["images"]]
    return b | {"images": np.array(images), "masks": b["masks"][:, rows][:, :, rows]}
