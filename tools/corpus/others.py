"""PNG, WebP, BMP and GIF files; orientations in all formats."""

import struct
import zlib

import numpy as np
from PIL import Image

from common import picture, pillow, saved, tool


def write(corpus):
    pngs(corpus)
    webps(corpus)
    bmps(corpus)
    gifs(corpus)
    orientations(corpus)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth, color, rows, interlaced=False, before=(), behind=()):
    """A PNG from packed rows (or Adam7 passes), with chunks before and after the pixels."""
    head = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, int(interlaced))
    data = b"".join(b"\0" + row for row in rows)
    chunks = [chunk(b"IHDR", head), *before, chunk(b"IDAT", zlib.compress(data, 9)), *behind, chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def packed(samples, depth):
    """Rows as bytes: [h, w] or [h, w, c] samples, from the high bits down."""
    flat = samples.reshape(samples.shape[0], -1).astype(np.uint32)
    bits = (flat[..., None] >> np.arange(depth - 1, -1, -1)) & 1
    return [np.packbits(row.ravel().astype(np.uint8)).tobytes() for row in bits]


ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def pngs(corpus):
    for width, height in ((33, 21), (1, 1), (1, 40), (40, 1)):
        for color, channels, depths in ((0, 0, (1, 2, 4, 8, 16)), (2, 3, (8, 16)), (3, 0, (1, 2, 4, 8)), (4, 2, (8, 16)),
                                        (6, 4, (8, 16))):  # fmt: skip
            for depth in depths:
                samples = picture(width, height, channels, depth)
                before = []
                if color == 3:
                    rng = np.random.default_rng(depth)
                    colors = rng.integers(0, 256, (2**depth, 3), dtype=np.uint8)
                    before.append(chunk(b"PLTE", colors.tobytes()))
                    truth = colors[samples]
                elif depth < 8:
                    truth = np.repeat((samples * (255 // (2**depth - 1)))[..., None], 3, -1).astype(np.uint8)
                else:
                    high = (samples >> (depth - 8)).astype(np.uint8)
                    truth = high[..., :3] if color in (2, 6) else np.repeat(high.reshape(height, width, -1)[..., :1], 3, -1)
                name = {0: "grey", 2: "rgb", 3: "palette", 4: "grey_alpha", 6: "rgb_alpha"}[color]
                kind = f"PNG: {name.replace('_', ' and ').replace('rgb', 'RGB')}, {depth} bits"
                for interlaced in (False, True):
                    if interlaced:
                        passes = [samples[y::h, x::w] for x, y, w, h in ADAM7]
                        rows = [row for part in passes if part.size for row in packed(part, depth)]
                    else:
                        rows = packed(samples, depth)
                    data = png(width, height, depth, color, rows, interlaced, before)
                    try:
                        by = "Pillow" if np.array_equal(pillow(data), truth) else "the samples written"
                    except Exception:
                        by = "the samples written"
                    corpus.add(f"png_{name}{depth}_{width}x{height}{'_adam7' if interlaced else ''}.png", kind, data,
                               np.ascontiguousarray(truth), by=by)  # fmt: skip
    rgb = picture(33, 21)
    rows = packed(rgb, 8)
    corpus.add("png_rgb_trns.png", "PNG: one transparent colour", png(33, 21, 8, 2, rows, before=[chunk(b"tRNS", struct.pack(">HHH", *rgb[3, 4]))]))
    grey = picture(33, 21, 0)
    corpus.add("png_grey_trns.png", "PNG: one transparent colour", png(33, 21, 8, 0, packed(grey, 8), before=[chunk(b"tRNS", struct.pack(">H", grey[3, 4]))]))
    colors = np.random.default_rng(1).integers(0, 256, (256, 3), dtype=np.uint8)
    corpus.add("png_palette_trns.png", "PNG: palette with alpha", png(33, 21, 8, 3, packed(grey, 8), before=[
        chunk(b"PLTE", colors.tobytes()), chunk(b"tRNS", bytes(range(256)))]))  # fmt: skip
    for length in (1, 4, 767):
        data = png(33, 21, 8, 3, packed(grey % 1, 8), before=[chunk(b"PLTE", bytes(length))])
        corpus.add(f"png_palette_of_{length}_bytes.png", "PNG: a damaged palette", data, None, small=length == 4)
    corpus.add("png_animation.png", "PNG: animation", animation("PNG"), small=True)
    whole = saved(picture(64, 48), "PNG")
    for part in (0.3, 0.6, 0.9):
        corpus.add(f"png_cut_{int(part * 100)}.png", "PNG: damaged", whole[: int(len(whole) * part)], None)


def animation(format, frames=3, **options):
    pictures = [Image.fromarray(picture(40, 30, seed=seed)) for seed in range(frames)]
    return saved(pictures[0], format, save_all=True, append_images=pictures[1:], duration=50, **options)


def webps(corpus):
    for width, height in ((64, 48), (33, 21), (16, 16), (17, 1), (1, 17), (1, 1)):
        rgb, rgba = picture(width, height), picture(width, height, 4)
        size = f"{width}x{height}"
        corpus.add(f"webp_lossless_{size}.webp", "WebP: lossless", saved(rgb, "WEBP", lossless=True), small=size == "33x21")
        corpus.add(f"webp_lossless_alpha_{size}.webp", "WebP: lossless with alpha", saved(rgba, "WEBP", lossless=True, exact=True))
        for quality in (20, 80, 95):
            corpus.add(f"webp_lossy_{size}_{quality}.webp", "WebP: lossy", saved(rgb, "WEBP", quality=quality), small=quality == 80 and size == "33x21")
        corpus.add(f"webp_lossy_alpha_{size}.webp", "WebP: lossy with alpha", saved(rgba, "WEBP", quality=80, exact=True))
        source = {"in.png": saved(rgb, "PNG")}
        for name, options in (("simple_filter", ["-nostrong", "-f", "60"]), ("segments", ["-segments", "4", "-q", "30"]),
                              ("partitions", ["-partition_limit", "50", "-q", "60"]), ("near_lossless", ["-near_lossless", "40"])):  # fmt: skip
            data = tool(["cwebp", *options, "in.png", "-o", "out.webp"], source, "out.webp")
            corpus.add(f"webp_{name}_{size}.webp", "WebP: made by cwebp", data)
    corpus.add("webp_animation.webp", "WebP: animation", animation("WEBP", lossless=True), small=True)
    corpus.add("webp_animation_lossy.webp", "WebP: animation", animation("WEBP", quality=80))
    # The first frame claims a width of 0.
    data = bytearray(animation("WEBP", quality=80))
    at = data.index(b"VP8 ") + 8 + 6
    data[at : at + 2] = b"\0\0"
    corpus.add("webp_no_size.webp", "WebP: a frame of no size", bytes(data), None, small=True)
    whole = saved(picture(64, 48), "WEBP", quality=80)
    for part in (0.3, 0.6, 0.9):
        corpus.add(f"webp_cut_{int(part * 100)}.webp", "WebP: damaged", whole[: int(len(whole) * part)], None)


def bmps(corpus):
    for width, height in ((33, 21), (32, 8), (1, 1), (5, 3)):
        rgb, grey = picture(width, height), picture(width, height, 0)
        size = f"{width}x{height}"
        corpus.add(f"bmp_rgb_{size}.bmp", "BMP: 24 bits", saved(rgb, "BMP"), small=size == "33x21")
        corpus.add(f"bmp_grey_{size}.bmp", "BMP: palette", saved(grey, "BMP"))
        corpus.add(f"bmp_1_{size}.bmp", "BMP: palette", saved(Image.fromarray(grey > 128), "BMP"))
        corpus.add(f"bmp_palette_{size}.bmp", "BMP: palette", saved(Image.fromarray(rgb).quantize(7), "BMP"))
        corpus.add(f"bmp_rgba_{size}.bmp", "BMP: 32 bits", saved(picture(width, height, 4), "BMP"))
        # Pillow rounds 5 bits down to 8; others round to nearest.
        corpus.add(f"bmp_16_{size}.bmp", "BMP: 16 bits", bmp16(rgb), tolerance=1)
        corpus.add(f"bmp_top_down_{size}.bmp", "BMP: from the top down", bmp_top_down(rgb))
    flat = np.repeat(np.arange(16, dtype=np.uint8) % 5, 4)[None].repeat(6, 0)
    corpus.add("bmp_rle8.bmp", "BMP: run lengths", bmp_rle8(flat), small=True)


def bmp_head(width, height, bits, compression, colors, size):
    offset = 54 + 4 * colors
    return struct.pack("<2sIHHIIiiHHIIiiII", b"BM", offset + size, 0, 0, offset, 40, width, height, 1, bits, compression, size, 0, 0, colors, 0)


def bmp16(rgb):
    """Five bits per colour channel."""
    levels = rgb.astype(np.uint16) >> 3
    rows = (levels[..., 0] << 10 | levels[..., 1] << 5 | levels[..., 2]).astype("<u2")[::-1]
    data = b"".join(row.tobytes().ljust(-(-2 * len(row) // 4) * 4, b"\0") for row in rows)
    return bmp_head(rgb.shape[1], rgb.shape[0], 16, 0, 0, len(data)) + data


def bmp_top_down(rgb):
    rows = [row[:, ::-1].tobytes() for row in rgb]
    data = b"".join(row.ljust(-(-len(row) // 4) * 4, b"\0") for row in rows)
    return bmp_head(rgb.shape[1], -rgb.shape[0], 24, 0, 0, len(data)) + data


def bmp_rle8(indices):
    data = b""
    for row in indices[::-1]:
        runs = np.split(row, np.nonzero(np.diff(row))[0] + 1)
        data += b"".join(bytes([len(run), run[0]]) for run in runs) + b"\0\0"
    data += b"\0\1"
    palette = b"".join(bytes([40 * i, 255 - 40 * i, 7 * i, 0]) for i in range(5))
    return bmp_head(indices.shape[1], indices.shape[0], 8, 1, 5, len(data)) + palette + data


def gifs(corpus):
    for width, height in ((33, 21), (64, 48), (1, 1), (3, 50)):
        for colors in (2, 5, 16, 256):
            image = Image.fromarray(picture(width, height)).quantize(colors)
            for interlace in (0, 1):
                data = saved(image, "GIF", interlace=interlace)
                corpus.add(f"gif_{width}x{height}_{colors}_{interlace}.gif", "GIF: one frame", data, small=(width, colors, interlace) == (33, 16, 1))
    image = Image.fromarray(picture(33, 21)).quantize(16)
    corpus.add("gif_transparent.gif", "GIF: one transparent colour", saved(image, "GIF", transparency=3))
    corpus.add("gif_animation.gif", "GIF: animation", animation("GIF"), small=True)
    # The only frame is smaller than the screen.
    data = bytearray(saved(image, "GIF"))
    data[6:10] = struct.pack("<HH", 50, 40)
    corpus.add("gif_partial.gif", "GIF: a first frame smaller than the picture", bytes(data), None)
    corpus.add("gif_cut.gif", "GIF: damaged", saved(image, "GIF")[:300], None)


def exif(orientation, kind="H", order="<"):
    """EXIF data with only an orientation, as a SHORT ("H") or a LONG ("I")."""
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HIH", 42, 8, 1)
    value = struct.pack(order + kind, orientation).ljust(4, b"\0")
    return head + struct.pack(order + "HHI", 274, 3 if kind == "H" else 4, 1) + value + struct.pack(order + "I", 0)


def xmp(orientation, attribute=True):
    inside = f' tiff:Orientation="{orientation}"/>' if attribute else f"><tiff:Orientation>{orientation}</tiff:Orientation></rdf:Description>"
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/"{inside}</rdf:RDF></x:xmpmeta>'
    ).encode()


def orientations(corpus):
    rgb = picture(33, 21)
    rows = packed(rgb, 8)
    for n in range(1, 9):
        corpus.add(f"png_exif_{n}.png", "PNG: orientation in EXIF", png(33, 21, 8, 2, rows, before=[chunk(b"eXIf", exif(n))]))
        corpus.add(f"webp_exif_{n}.webp", "WebP: orientation in EXIF", saved(rgb, "WEBP", lossless=True, exif=exif(n)))
    for kind in "HI":
        for order in "<>":
            name = f"{'short' if kind == 'H' else 'long'}_{'le' if order == '<' else 'be'}"
            data = exif(6, kind, order)
            what = "orientation in EXIF" if kind == "H" else "orientation in EXIF as LONG"
            corpus.add(f"png_exif_{name}.png", f"PNG: {what}", png(33, 21, 8, 2, rows, before=[chunk(b"eXIf", data)]), small=name == "long_be")
            corpus.add(f"webp_exif_{name}.webp", f"WebP: {what}", saved(rgb, "WEBP", lossless=True, exif=data))
    behind = png(33, 21, 8, 2, rows, behind=[chunk(b"eXIf", exif(8))])
    corpus.add("png_exif_behind.png", "PNG: orientation in EXIF behind the pixels", behind, small=True)
    for attribute in (True, False):
        text = b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(5, attribute)
        packed_text = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(xmp(5, attribute))
        name = "attribute" if attribute else "element"
        corpus.add(f"png_xmp_{name}.png", "PNG: orientation in XMP alone", png(33, 21, 8, 2, rows, before=[chunk(b"iTXt", text)]), small=attribute)
        corpus.add(f"png_xmp_{name}_packed.png", "PNG: orientation in XMP alone", png(33, 21, 8, 2, rows, behind=[chunk(b"iTXt", packed_text)]))
        corpus.add(f"webp_xmp_{name}.webp", "WebP: orientation in XMP alone", saved(rgb, "WEBP", lossless=True, xmp=xmp(7, attribute)))
    both = [chunk(b"eXIf", exif(3)), chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(6))]
    corpus.add("png_exif_and_xmp.png", "PNG: orientation in EXIF and XMP", png(33, 21, 8, 2, rows, before=both))
    profile = b"\nexif\n%8d\n" % (6 + len(exif(6))) + (b"Exif\0\0" + exif(6)).hex().encode() + b"\n"
    text = chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(profile))
    corpus.add("png_exif_text.png", "PNG: orientation in EXIF in a text", png(33, 21, 8, 2, rows, before=[text]))
