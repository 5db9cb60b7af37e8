"""Writes tests/golden/masks: masks of every kind that files hold, with their foreground.

    python make_mask_fixtures.py [--output DIR]

`cases.json` states for each file how to read it, the resulting mask, and the messages ("note: ..." or "warning:
..." with a part of the line).
"""

import argparse
import io
import json
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from pictures import draw

GOLDEN = Path(__file__).resolve().parents[2] / "tests" / "golden" / "masks"
SEED = 91
WIDTH, HEIGHT = 46, 34


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(samples, bits, colour_type, palette=None, transparent=None):
    """A PNG of these samples, [H, W] or [H, W, C], of any depth: PIL writes neither 16-bit colour nor 2 bits per pixel."""
    height, width = samples.shape[:2]
    if bits == 16:
        rows = [row.astype(">u2").tobytes() for row in samples.reshape(height, -1)]
    else:
        wide = np.unpackbits(samples.reshape(height, -1, 1).astype(np.uint8), axis=2)[..., 8 - bits :]
        rows = [np.packbits(row.reshape(-1)).tobytes() for row in wide]
    data = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0))
    if palette is not None:
        data += chunk(b"PLTE", bytes(palette))
    if transparent is not None:
        data += chunk(b"tRNS", bytes(transparent))
    data += chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows), 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


def saved(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6


def voc_palette():
    """PASCAL VOC's colours: successive groups of three bits of the number go to the channels, from the highest bit down."""
    colours = []
    for number in range(256):
        for channel in range(3):
            colours.append(sum((number >> (3 * i + channel) & 1) << (7 - i) for i in range(3)))
    return colours


class Cases:
    def __init__(self, directory):
        self.directory, self.list = directory, []

    def expect(self, name, foreground):
        Image.fromarray(np.where(foreground, 255, 0).astype(np.uint8)).save(self.directory / f"{name}.png", optimize=True)

    def add(self, name, data, said, why, expected="object", **reading):
        (self.directory / name).write_bytes(data)
        self.read(name, said, why, expected, **reading)

    def read(self, name, said, why, expected="object", **reading):
        self.list.append({"file": name, "reading": reading, "expected": f"{expected}.png", "said": said, "why": why})


def write(directory):
    rng = np.random.default_rng(SEED)
    cases = Cases(directory)
    picture, mask = draw(rng, WIDTH, HEIGHT)
    picture = np.clip(np.array(picture) + rng.integers(-60, 60, (HEIGHT, WIDTH, 3)), 0, 255)
    thing = np.array(mask) > 0
    grown = np.array(mask.filter(ImageFilter.MaxFilter(5))) > 0
    ring = grown & ~thing
    other = ~grown & ~np.array(mask.filter(ImageFilter.MaxFilter(9))).astype(bool)
    other[:, WIDTH // 3 :] = False
    other[: HEIGHT // 2] = False
    assert thing.sum() > 100 and ring.sum() > 50 and other.sum() > 50, (thing.sum(), ring.sum(), other.sum())
    assert not thing[[0, -1]].any() or not thing[:, [0, -1]].any()
    for name, foreground in [("object", thing), ("both", thing | other), ("ring", ring), ("not_object", ~thing), ("other", other)]:
        cases.expect(name, foreground)

    def numbers(*parts, ground=0):
        samples = np.full((HEIGHT, WIDTH), ground, np.int64)
        for where, value in parts:
            samples[where] = value
        return samples

    def colours(*parts, ground=(0, 0, 0)):
        samples = np.empty((HEIGHT, WIDTH, len(ground)), np.int64)
        samples[...] = ground
        for where, colour in parts:
            samples[where] = colour
        return samples

    # Labels in grey
    one, several = ["note: 1 ("], ["warning: --mask-value K takes one of them"]
    ignored = numbers((ring, 255), (thing, 1))
    cases.add("labels_0_1.png", png(numbers((thing, 1)), 8, GREY), one, "one label")
    cases.add("labels_0_1_255.png", png(ignored, 8, GREY), ["note: 255 as ignored"], "one label, 255 is ignored")
    cases.read("labels_0_1_255.png", [], "the label by its number", value=1)
    cases.read("labels_0_1_255.png", [], "the ignored border by its number", "ring", value=255)
    cases.read("labels_0_1_255.png", [], "all but the label", "not_object", value=1, invert=True)
    cases.add("labels_0_15_255.png", png(numbers((ring, 255), (thing, 15)), 8, GREY), ["note: 15 ("], "a label of VOC")
    cases.add("labels_0_100.png", png(numbers((thing, 100)), 8, GREY), ["note: 100 ("], "one label, of some brightness")
    many = numbers((ring, 255), (thing, 1), (other, 2))
    cases.add("labels_0_1_2_255.png", png(many, 8, GREY), several, "two labels are taken together", "both")
    cases.read("labels_0_1_2_255.png", [], "one of two labels", "other", value=2)
    cases.add("labels_2_bits.png", png(numbers((thing, 1)), 2, GREY), one, "a label in two bits is a third of white")
    cases.read("labels_2_bits.png", [], "numbers are those that the file stores", value=1)
    cases.add("labels_1_bit_inverted.png", png(numbers((~thing, 1)), 1, GREY), ["warning: is it inverted?"], "asked", "not_object")
    cases.read("labels_1_bit_inverted.png", [], "and inverted", invert=True)
    trimap = numbers((ring, 128), (thing, 255))
    cases.add("trimap.png", png(trimap, 8, GREY), ["warning: 128 ("], "half of white and more, which is said", "grown")
    cases.expect("grown", grown)
    cases.read("trimap.png", [], "white alone", value=255)

    # 16 bits
    cases.add("deep_0_1.png", png(numbers((thing, 1)), 16, GREY), one, "a label in 16 bits")
    cases.add("deep_0_255.png", png(numbers((thing, 255)), 16, GREY), [], "an 8-bit mask in 16 bits")
    cases.add("deep_0_257.png", png(numbers((thing, 257)), 16, GREY), ["note: 257 ("], "a label beyond 8 bits")
    cases.read("deep_0_257.png", [], "by its number", value=257)
    cases.add("deep_0_4095.png", png(numbers((thing, 4095)), 16, GREY), ["note: 4095 ("], "12 of 16 bits")
    cases.add("deep_0_65535.png", png(numbers((thing, 65535)), 16, GREY), [], "black and white in 16 bits")
    cases.add("deep_labels.png", png(numbers((thing, 1000), (other, 26001)), 16, GREY), several, "instance numbers", "both")
    cases.add("deep_rgb_0_255.png", png(colours((thing, (255, 255, 255))), 16, RGB), [], "8 bits in 16-bit colour")
    ramp = np.where(thing, rng.integers(2100, 4096, thing.shape), rng.integers(0, 2000, thing.shape))
    cases.add("deep_12_bits.png", png(ramp, 16, GREY), ["warning: neither near black nor near white"], "levels of 12 bits")
    cases.add(
        "deep_0_255.tif", saved(Image.fromarray(numbers((thing, 255)).astype(np.uint16)), "TIFF"), [], "the same as TIFF"
    )

    # Palettes
    voc = voc_palette()
    palette = lambda samples, **o: png(samples, 8, PALETTE, voc, **o)  # noqa: E731
    cases.add("voc_one.png", palette(numbers((ring, 255), (thing, 15))), ["note: 15 ("], "VOC: indices, not colours")
    cases.add("voc_two.png", palette(numbers((ring, 255), (thing, 15), (other, 7))), several, "VOC with two classes", "both")
    cases.read("voc_two.png", [], "by its index", value=15)
    cases.read("voc_two.png", [], "by its colour", color=voc[45:48])
    cases.add("palette_alike.png", png(numbers((thing, 1)), 8, PALETTE, [0] * 6), one, "all colours of the palette are black")
    clear = palette(numbers((thing, 3), (other, 4)), transparent=[0])
    cases.add("palette_clear.png", clear, several, "index 0 is transparent, two labels", "both")
    inverted = png(numbers((thing, 1)), 4, PALETTE, [255, 255, 255, 0, 0, 0])
    cases.add("palette_white_first.png", inverted, ["warning: is it inverted?"], "black and white count by colour", "not_object")

    # Colours
    red = colours((thing, (200, 30, 30)))
    cases.add("red_on_black.png", png(red, 8, RGB), ["note: 200,30,30 ("], "one colour on black")
    cases.add("voc_colours.png", png(colours((ring, (224, 224, 192)), (thing, (128, 0, 0))), 8, RGB), ["note: 128,0,0 ("], "VOC as RGB")
    two = png(colours((thing, (17, 39, 0)), ground=(200, 171, 44)), 8, RGB)
    asked = ["warning: 17,39,0 (", "warning: is it inverted?"]
    cases.add("two_colours.png", two, asked, "neither black nor white: the brighter, which is said", "not_object")
    cases.read("two_colours.png", [], "inverted", invert=True)
    cases.read("two_colours.png", [], "by its colour", color=[17, 39, 0])
    three = png(colours((thing, (200, 30, 30)), (other, (30, 30, 200))), 8, RGB)
    cases.add("three_colours.png", three, ["warning: --mask-color R,G,B takes one of them"], "two colours on black", "both")
    big = lambda samples: Image.fromarray(samples.astype(np.uint8)).resize((WIDTH * 8, HEIGHT * 8), Image.NEAREST)  # noqa: E731
    cases.expect("object_large", np.array(big(np.where(thing, 255, 0))) > 0)
    jpeg = saved(big(red), "JPEG", quality=90, subsampling=0)
    (directory / "red.jpg").write_bytes(jpeg)
    cases.read("red.jpg", ["note: was taken as foreground"], "JPEG: colours that are near are one", "object_large")
    cases.read("red.jpg", [], "and so for the flag", "object_large", color=[200, 30, 30])
    soft = big(np.where(thing, 100, 0)).resize((WIDTH, HEIGHT), Image.BOX)
    cases.add("dim_soft.png", saved(soft, "PNG"), ["note: 100 ("], "a dim mask")

    # Alpha
    white = (255, 255, 255)
    hidden = np.zeros(thing.shape, bool)
    hidden[:, WIDTH - 8 :] = True
    hidden &= ~grown
    black_white = colours((thing, (*white, 255)), (hidden, (*white, 0)), ground=(0, 0, 0, 255))
    taken = ["warning: transparent and were taken as background"]
    cases.add("alpha_white_hidden.png", png(black_white, 8, RGBA), taken, "white hidden under transparency is background")
    black_black = colours((thing, (*white, 255)), (hidden, (0, 0, 0, 0)), ground=(0, 0, 0, 255))
    cases.add("alpha_black_hidden.png", png(black_black, 8, RGBA), ["note: transparent"], "black is background either way")
    labels = colours((thing, (1, 1, 1, 255)), (hidden, (*white, 0)), ground=(0, 0, 0, 255))
    cases.add("alpha_label.png", png(labels, 8, RGBA), ["note: 1 (", "note: transparent"], "a label, some of it transparent")
    cut = np.dstack([picture // 5, np.where(thing, 255, 0)])
    cases.add("cutout_dark.png", png(cut, 8, RGBA), ["warning: --mask-alpha"], "a dark photograph, cut out")
    cases.read("cutout_dark.png", [], "confirmed", alpha=True)
    bright = np.dstack([picture, np.where(thing, 255, 0)])
    bright[~thing] = (255, 255, 255, 0)
    cases.add("cutout.png", png(bright, 8, RGBA), ["warning: --mask-alpha"], "a photograph, cut out of white")
    strokes = colours((thing, (0, 0, 0, 255)), ground=(*white, 0))
    cases.add("alpha_strokes.png", png(strokes, 8, RGBA), ["warning: white hidden under it"], "black on hidden white")
    grey_alpha = colours((thing, (255, 255)), ground=(0, 255))
    cases.add("grey_alpha_opaque.png", png(grey_alpha, 8, GREY_ALPHA), [], "alpha that says nothing")
    cases.add("alpha_labels.png", png(colours((thing, (0, 1)), ground=(0, 0)), 8, GREY_ALPHA), [], "a label in alpha")
    nothing = colours((thing, (255, 0)), ground=(0, 0))
    cases.add("all_clear.png", png(nothing, 8, GREY_ALPHA), ["warning: transparent all over"], "hidden colours are all there is")
    trns = png(numbers((thing, 255)), 8, GREY, transparent=[0, 0])
    cases.add("trns_black.png", trns, [], "black is transparent")
    trns = png(numbers((~thing, 255)), 8, GREY, transparent=[0, 255])
    cases.add("trns_white.png", trns, ["warning: white hidden under it"], "white is transparent: black is what can be seen")
    (directory / "cases.json").write_text(json.dumps(cases.list, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=GOLDEN)
    directory = parser.parse_args().output
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    write(directory)
    print(f"{directory}: seed {SEED}, {len(list(directory.iterdir()))} files")


if __name__ == "__main__":
    main()
