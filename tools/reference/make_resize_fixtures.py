"""Writes tests/golden/resize (PIL's bilinear resize of uint8 RGB) and tests/golden/images (odd file kinds, decoded).

    python make_resize_fixtures.py [--output DIR]

Each folder has a `cases.json` that names the pairs.
"""

import argparse
import json
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from pictures import draw

GOLDEN = Path(__file__).resolve().parents[2] / "tests" / "golden"
SEED = 77

# (width, height) of the input and of the output
RESIZES = [
    ((123, 77), (64, 64)),  # down, odd, not square
    ((31, 45), (64, 64)),  # up, odd
    ((64, 64), (64, 64)),  # nothing to do
    ((65, 63), (64, 64)),  # one down, one up, by a hair
    ((101, 203), (97, 97)),  # odd to odd
    ((256, 192), (128, 128)),  # a whole factor on one side
    ((640, 3), (64, 64)),  # ten to one down, many times up
    ((5, 331), (24, 24)),
    ((1, 1), (17, 17)),
    ((2, 2), (33, 33)),
    ((90, 120), (1, 1)),  # everything into one pixel
    ((48, 30), (37, 80)),  # not square
    ((60, 80), (64, 64)),  # a portrait, as 480 x 640 to 512 x 512
]


def texture(rng, width, height):
    """A drawn picture, with hard black and white checks in one half so that clamping and rounding matter."""
    pixels = np.array(draw(rng, width, height)[0])
    y, x = np.mgrid[0:height, 0:width]
    checks = (x < width // 2) & (rng.random((height, width)) < 0.08)
    pixels[checks] = np.where(rng.random((checks.sum(), 1)) < 0.5, 0, 255)
    return Image.fromarray(pixels)


def write_resizes(directory):
    rng = np.random.default_rng(SEED)
    cases = []
    for source, target in RESIZES:
        picture = texture(rng, *source)
        names = f"in_{source[0]}x{source[1]}.png", f"out_{source[0]}x{source[1]}_{target[0]}x{target[1]}.png"
        picture.save(directory / names[0], optimize=True)
        resized = picture.resize(target, Image.BILINEAR)
        resized.save(directory / names[1], optimize=True)
        # Pillow up to 11 always filters along rows first; from 13 on, along columns first if the height shrinks most.
        rows_first = picture.resize((target[0], source[1]), Image.BILINEAR).resize(target, Image.BILINEAR)
        order = names[1]
        if rows_first.tobytes() != resized.tobytes():
            order = names[1].replace(".png", "_rows_first.png")
            rows_first.save(directory / order, optimize=True)
        width, height = target
        cases.append({"input": names[0], "output": names[1], "rows_first": order, "width": width, "height": height})
    (directory / "cases.json").write_text(json.dumps(cases, indent=1) + "\n")


def write_png16(path, samples):
    """A 16-bit PNG of [H, W] grey or [H, W, 3] RGB samples: PIL writes no 16-bit colour."""
    height, width = samples.shape[:2]
    colour_type = 0 if samples.ndim == 2 else 2
    rows = samples.astype(">u2").reshape(height, -1)
    raw = b"".join(b"\0" + row.tobytes() for row in rows)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)


def write_images(directory):
    rng = np.random.default_rng(SEED + 1)
    picture, mask = draw(rng, 41, 28)
    bits = np.array(mask) > 0
    cases = []

    def case(kind, name, expected, tolerance, why):
        stem = name.replace(".", "_")
        expected.save(directory / f"{stem}_expected.png", optimize=True)
        entry = {"kind": kind, "file": name, "expected": f"{stem}_expected.png", "tolerance": tolerance, "why": why}
        cases.append(entry)

    def image(name, tolerance, why, expected=None):
        if expected is None:
            expected = ImageOps.exif_transpose(Image.open(directory / name)).convert("RGB")
        case("image", name, expected, tolerance, why)

    def as_mask(name, why):
        case("mask", name, mask, 0, why)

    for orientation in range(2, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        name = f"exif_{orientation}.jpg"
        picture.save(directory / name, quality=92, subsampling=0, exif=exif)
        image(name, 0, f"EXIF orientation {orientation} is applied")
    inks = Image.merge("CMYK", [*picture.split(), Image.fromarray(np.array(picture)[..., 0] // 3 + 20)])
    inks.save(directory / "cmyk.jpg", quality=95)
    image("cmyk.jpg", 0, "CMYK JPEG (Adobe, inverted): r = (255 - c) * (255 - k) / 255")
    picture.convert("L").save(directory / "grey.jpg", quality=92)
    image("grey.jpg", 0, "one-channel JPEG")
    picture.save(directory / "progressive.jpg", quality=92, subsampling=0, progressive=True)
    image("progressive.jpg", 0, "progressive JPEG")

    wide = np.array(picture).astype(np.uint16) * 257 ^ rng.integers(0, 200, (28, 41, 3)).astype(np.uint16)
    write_png16(directory / "rgb16.png", wide)
    image("rgb16.png", 1, "16-bit colour PNG: PIL keeps the high byte, rounding is as good")
    write_png16(directory / "grey16.png", wide[..., 0])
    high = Image.fromarray((wide[..., 0] >> 8).astype(np.uint8)).convert("RGB")
    image("grey16.png", 1, "16-bit grey PNG, high byte (PIL's own convert clips at 255 and would give white)", high)
    picture.convert("L").save(directory / "grey.png")
    image("grey.png", 0, "one-channel PNG")
    picture.quantize(16).save(directory / "palette.png")
    image("palette.png", 0, "palette PNG")
    alpha = picture.convert("RGBA")
    alpha.putalpha(mask)
    alpha.save(directory / "rgba.png")
    image("rgba.png", 0, "alpha is dropped, not composited")
    picture.save(directory / "rgb.bmp")
    image("rgb.bmp", 0, "BMP")
    picture.save(directory / "rgb.tiff", compression="tiff_lzw")
    image("rgb.tiff", 0, "TIFF, LZW")
    picture.save(directory / "rgb.webp", lossless=True)
    image("rgb.webp", 0, "WebP, lossless")

    indexed = Image.fromarray(np.where(bits, 0, 1).astype(np.uint8), "P")
    indexed.putpalette([255, 255, 255, 0, 0, 0])
    indexed.save(directory / "mask_palette.png")
    as_mask("mask_palette.png", "palette mask whose index 0 is white: indices are not levels")
    only_alpha = Image.merge("RGBA", [Image.new("L", mask.size, 0)] * 3 + [mask])
    only_alpha.save(directory / "mask_alpha.png")
    as_mask("mask_alpha.png", "black everywhere, the mask is in the alpha channel")
    mask.convert("1").save(directory / "mask_1bit.png")
    as_mask("mask_1bit.png", "one bit per pixel")
    levels = np.where(bits, rng.integers(128, 256, bits.shape), rng.integers(0, 128, bits.shape)).astype(np.uint8)
    Image.fromarray(levels).save(directory / "mask_levels.png")
    as_mask("mask_levels.png", "grey levels: 128 and above is foreground, 127 and below is not")
    write_png16(directory / "mask_16bit.png", levels.astype(np.uint16) * 257)
    as_mask("mask_16bit.png", "the same in 16 bits")
    mask.convert("RGB").save(directory / "mask_rgb.png")
    as_mask("mask_rgb.png", "three channels")
    (directory / "cases.json").write_text(json.dumps(cases, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=GOLDEN)
    root = parser.parse_args().output
    for name, write in (("resize", write_resizes), ("images", write_images)):
        directory = root / name
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        write(directory)
        print(f"{directory}: seed {SEED}, {len(list(directory.iterdir()))} files")


if __name__ == "__main__":
    main()
