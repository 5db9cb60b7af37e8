"""JPEG files."""

from PIL import Image

from common import picture, saved, tool

# cjpeg's -sample: the factors of Y, Cb and Cr (the last two are 1x1 if omitted), and the kind's name.
SAMPLINGS = {
    "1x1": "4:4:4",
    "2x1": "4:2:2",
    "2x2": "4:2:0",
    "1x2": "4:4:0",
    "4x1": "4:1:1",
    "1x4": "a quarter of the height",
    "4x2": "4:1:0",
    "3x1": "a third of the width",
    "2x2,2x1": "Cb 2x1 and Cr 1x1 of 2x2",
    "2x2,1x2": "Cb 1x2 and Cr 1x1 of 2x2",
    "2x2,1x1,2x2": "Cr whole, Cb a quarter",
    "1x1,2x1,1x1": "luma sampled less than chroma",
    "1x1,2x2,1x1": "luma sampled less than chroma",
    "2x1,1x2,1x1": "luma sampled less than chroma",
    "2x1,1x1,2x2": "luma sampled less than chroma",
}
# Kind of coding: options of cjpeg, and its scan script.
CODINGS = {
    "baseline": ([], None),
    "progressive": (["-progressive"], None),
    "separate scans": ([], "0;\n1;\n2;\n"),
    "Cb and Cr share a scan": ([], "0;\n1 2;\n"),
    "restart markers": (["-restart", "2B"], None),
    "arithmetic coding": (["-arithmetic"], None),
}
# Odd sizes reveal errors beyond the last whole block.
SIZES = [(1, 1), (3, 5), (16, 16), (17, 15), (33, 31), (48, 50), (97, 3)]
# Kept in the repository: sampling and coding, of 33 x 31.
SMALL = {
    ("2x2", "baseline"),
    ("2x1", "baseline"),
    ("1x2", "baseline"),
    ("4x1", "baseline"),
    ("2x2", "progressive"),
    ("2x2", "restart markers"),
    ("1x2", "separate scans"),
    ("2x2", "separate scans"),
}


def write(corpus):
    sampled(corpus)
    colours(corpus)
    incomplete(corpus)


def encoded(pixels, *options, scans=None, quality=75):
    """cjpeg's (libjpeg-turbo) JPEG of the pixels."""
    height, width = pixels.shape[:2]
    files = {"in.ppm": b"P6 %d %d 255\n" % (width, height) + pixels.tobytes()}
    command = ["cjpeg", "-quality", str(quality), *options, "-outfile", "out.jpg", "in.ppm"]
    if scans:
        files["scans.txt"] = scans.encode()
        command[1:1] = ["-scans", "scans.txt"]
    return tool(command, files, "out.jpg")


def sampled(corpus):
    number = 0
    for sample, sampling in SAMPLINGS.items():
        for coding, (options, scans) in CODINGS.items():
            for width, height in SIZES:
                number += 1
                quality = (40, 75, 95)[number % 3]
                data = encoded(picture(width, height), "-sample", sample, *options, scans=scans, quality=quality)
                name = f"jpeg_{sample}_{coding}_{width}x{height}.jpg".replace(",", "_").replace(" ", "_").lower()
                small = (width, height) == (33, 31) and (sample, coding) in SMALL
                corpus.add(name, f"JPEG: {sampling}, {coding}", data, small=small)


def colours(corpus):
    for width, height in [(16, 16), (33, 31)]:
        pixels = picture(width, height)
        image = Image.fromarray(pixels)
        inks = Image.merge("CMYK", [*image.split(), Image.fromarray(pixels[..., 0] // 3 + 20)])
        odd = (width, height) == (33, 31)
        for coding, options in {"baseline": {}, "progressive": {"progressive": True}}.items():
            name = f"{coding}_{width}x{height}.jpg"
            corpus.add(f"jpeg_grey_{name}", f"JPEG: grey, {coding}", saved(image.convert("L"), "JPEG", **options))
            cmyk = saved(inks, "JPEG", quality=90, **options)
            corpus.add(f"jpeg_cmyk_{name}", f"JPEG: CMYK, {coding}", cmyk)
            # The same samples as YCCK, which the last byte of Adobe's marker declares.
            at = cmyk.index(b"Adobe\0") + 11
            ycck = cmyk[:at] + b"\x02" + cmyk[at + 1 :]
            corpus.add(f"jpeg_ycck_{name}", f"JPEG: YCCK, {coding}", ycck, small=odd and coding == "baseline")
        corpus.add(f"jpeg_rgb_{width}x{height}.jpg", "JPEG: RGB, not YCbCr", encoded(pixels, "-rgb"), small=odd)
        twelve = bytearray(encoded(pixels))
        twelve[twelve.index(b"\xff\xc0") + 4] = 12
        corpus.add(f"jpeg_12_bits_{width}x{height}.jpg", "JPEG: 12 bits", bytes(twelve), expected=None)
    # Stray bytes between the segments: libjpeg warns and continues.
    data = encoded(picture(33, 31), "-sample", "2x2")
    at = data.index(b"\xff\xdb")
    corpus.add("jpeg_stray_bytes.jpg", "JPEG: stray bytes between segments", data[:at] + b"stray" + data[at:])


def incomplete(corpus):
    """Progressive files without their last scans, properly terminated: libjpeg smooths the missing data."""
    data = encoded(picture(64, 48), "-sample", "2x2", "-progressive")
    starts = [at for at in range(len(data) - 1) if data[at : at + 2] == b"\xff\xda"]
    for scans in (1, 2, 4):
        # Each scan is preceded by its tables.
        tables = data.find(b"\xff\xc4", starts[scans - 1], starts[scans])
        end = starts[scans] if tables < 0 else tables
        name = f"jpeg_first_{scans}_scans.jpg"
        corpus.add(name, "JPEG: progressive, the last scans missing", data[:end] + b"\xff\xd9")
