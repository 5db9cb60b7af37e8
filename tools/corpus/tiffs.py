"""TIFF files."""

import io
import struct

import numpy as np
import tifffile
from PIL import Image

from common import picture, pillow, saved, tool


def rgb8(samples, bits=8):
    """The samples' first band or first three bands as 8-bit RGB: 16 bits keep their high byte."""
    levels = samples >> (bits - 8) if bits > 8 else samples
    levels = levels.astype(np.uint8)
    return np.repeat(levels[..., None], 3, -1) if levels.ndim == 2 else np.ascontiguousarray(levels[..., :3])


def written(samples, **options):
    out = io.BytesIO()
    tifffile.imwrite(out, samples, **{"photometric": "rgb" if samples.ndim == 3 else "minisblack"} | options)
    return out.getvalue()


def add(corpus, name, kind, data, truth, **options):
    """Adds a file with known pixels. They are right even if Pillow reads others, or none."""
    try:
        by = "Pillow" if np.array_equal(pillow(data), truth) else "the samples written"
    except Exception:
        by = "the samples written"
    corpus.add(f"tiff_{name}.tif", f"TIFF: {kind}", data, truth, by=by, **options)


def write(corpus):
    layouts(corpus)
    depths(corpus)
    extra_bands(corpus)
    palettes(corpus)
    libtiff(corpus)
    several(corpus)
    odd(corpus)


def layouts(corpus):
    """Compression, predictor, strips and tiles, planes, byte order, for RGB and grey."""
    for channels in (1, 3):
        samples = picture(70, 50, channels)
        samples = samples[..., 0] if channels == 1 else samples
        color = "RGB" if channels == 3 else "grey"
        for compression in (None, "lzw", "zlib", "packbits"):
            for predictor in (False, True) if compression in ("lzw", "zlib") else (False,):
                for tile in (None, (16, 16), (48, 32)):
                    for planar in ("contig", "separate") if channels == 3 else ("contig",):
                        for order in "<>":
                            data = written(
                                np.moveaxis(samples, -1, 0) if planar == "separate" else samples,
                                compression=compression, predictor=predictor, tile=tile, planarconfig=planar if channels == 3 else None,
                                byteorder=order, rowsperstrip=None if tile else 17, photometric="rgb" if channels == 3 else "minisblack",
                            )  # fmt: skip
                            how = "tiles" if tile else "strips"
                            planes = ", planes apart" if planar == "separate" else ""
                            name = "_".join(filter(None, (
                                color.lower(), compression or "plain", predictor and "predictor", how,
                                tile and str(tile[0]), planar == "separate" and "planes", "le" if order == "<" else "be",
                            )))  # fmt: skip
                            kind = f"{color}, 8 bits, {how}{planes}"
                            small = order == "<" and tile == (48, 32) and bool(planes) and (predictor or not compression)
                            add(corpus, name, kind, data, rgb8(samples), small=small)


def depths(corpus):
    for bits in (1, 2, 4):
        samples = picture(37, 23, 0, bits)
        truth = rgb8(samples * (255 // (2**bits - 1)))
        for photometric in ("minisblack", "miniswhite"):
            stored = samples if photometric == "minisblack" else 2**bits - 1 - samples
            rows = np.stack([pack(row, bits) for row in stored])
            data = handmade(37, 23, bits, rows.tobytes(), int(photometric == "minisblack"))
            add(corpus, f"grey{bits}_{photometric}", f"grey, {bits} bits, {photometric}", data, truth, small=bits == 2)
    for bits in (12, 16):
        for order in "<>":
            samples = picture(37, 23, 0, bits)
            if bits == 12:
                rows = np.stack([pack(row, 12) for row in samples])
                data = handmade(37, 23, 12, rows.tobytes(), 1, order)
            else:
                data = written(samples, byteorder=order)
            add(corpus, f"grey{bits}_{'le' if order == '<' else 'be'}", f"grey, {bits} bits", data, rgb8(samples, bits))
    for order in "<>":
        for compression, predictor in ((None, False), ("lzw", True), ("zlib", True)):
            for tile in (None, (32, 16)):
                samples = picture(61, 43, 3, 16)
                data = written(samples, byteorder=order, compression=compression, predictor=predictor, tile=tile)
                name = f"rgb16_{compression or 'plain'}_{'tiles' if tile else 'strips'}_{'le' if order == '<' else 'be'}"
                add(corpus, name, "RGB, 16 bits", data, rgb8(samples, 16), small=order == ">" and compression == "lzw")
    white = picture(33, 21, 0)
    add(corpus, "grey8_miniswhite", "grey, 8 bits, miniswhite", written(255 - white, photometric="miniswhite"), rgb8(white))
    for kind, dtype in (("32-bit floats", np.float32), ("16-bit floats", np.float16), ("64-bit floats", np.float64),
                        ("32-bit numbers", np.uint32), ("signed 16-bit numbers", np.int16)):  # fmt: skip
        for channels in (0, 3):
            samples = picture(33, 21, channels).astype(dtype)
            name = f"{'rgb' if channels else 'grey'}_{np.dtype(dtype).name}"
            corpus.add(f"tiff_{name}.tif", f"TIFF: {kind}", written(samples), None)


def extra_bands(corpus):
    for bits in (8, 16):
        for count in (1, 2, 5):
            for meaning in ("unspecified", "unassalpha", "assocalpha"):
                if count > 1 and meaning != "unspecified":
                    continue
                samples = picture(61, 43, 3 + count, bits)
                truth = rgb8(samples, bits)
                if meaning == "assocalpha":
                    alpha = (samples[..., 3:4] >> (bits - 8)).astype(np.int64)
                    truth = np.where(alpha > 0, np.minimum(truth.astype(np.int64) * 255 // np.maximum(alpha, 1), 255), 0)
                    truth = truth.astype(np.uint8)
                for compression, predictor in ((None, False), ("lzw", True), ("zlib", False), ("zlib", True)):
                    for tile in (None, (32, 16)):
                        for planar in ("contig", "separate"):
                            data = written(
                                np.moveaxis(samples, -1, 0) if planar == "separate" else samples, photometric="rgb",
                                compression=compression, predictor=predictor, tile=tile, planarconfig=planar,
                                extrasamples=[meaning] * count,
                            )  # fmt: skip
                            name = (f"rgb{bits}_{count}_{meaning}_{compression or 'plain'}{'_predictor' if predictor else ''}"
                                    f"_{'tiles' if tile else 'strips'}_{planar}")  # fmt: skip
                            what = {"unspecified": "further bands", "unassalpha": "alpha", "assocalpha": "premultiplied alpha"}
                            small = bits == 8 and predictor and compression == "lzw" and tile is not None and count == 1
                            add(corpus, name, f"RGB and {what[meaning]}, {bits} bits", data, truth, small=small)
    samples = picture(33, 21, 2)
    for meaning in ("unspecified", "unassalpha"):
        data = written(samples, photometric="minisblack", planarconfig="contig", extrasamples=[meaning])
        add(corpus, f"grey_{meaning}", "grey and alpha, 8 bits", data, rgb8(samples[..., 0]))
    for bands in (3, 5, 13):
        data = written(picture(33, 21, bands, 16), photometric="minisblack", planarconfig="contig")
        corpus.add(f"tiff_bands_{bands}.tif", "TIFF: bands that are no colours", data, None)


def palettes(corpus):
    rng = np.random.default_rng(26)
    for bits in (1, 2, 4, 8):
        colors = rng.integers(0, 256, (2**bits, 3))
        samples = rng.integers(0, 2**bits, (21, 33))
        rows = np.stack([pack(row, bits) for row in samples])
        map16 = (colors.T * 257).astype("<u2")
        data = handmade(33, 21, bits, rows.tobytes(), 3, palette=map16)
        add(corpus, f"palette{bits}", "palette", data, colors[samples].astype(np.uint8), small=bits == 4)


def libtiff(corpus):
    """Files that libtiff's tools make from a plain file."""
    rgb = picture(70, 50)
    plain = written(rgb)
    grey = picture(70, 50, 0)
    bilevel = saved(picture(70, 50, 0) > 128, "TIFF")
    one = np.where(picture(70, 50, 0) > 128, 255, 0).astype(np.uint8)
    for name, kind, options, data, truth in (
        ("lsb2msb_rgb", "bits of bytes turned (FillOrder 2)", ["-f", "lsb2msb"], plain, rgb),
        ("lsb2msb_rgb_lzw", "bits of bytes turned (FillOrder 2)", ["-f", "lsb2msb", "-c", "lzw:2"], plain, rgb),
        ("lsb2msb_grey", "bits of bytes turned (FillOrder 2)", ["-f", "lsb2msb"], written(grey), rgb8(grey)),
        ("lsb2msb_bilevel_g4", "bits of bytes turned (FillOrder 2)", ["-f", "lsb2msb", "-c", "g4"], bilevel, rgb8(one)),
        ("bilevel", "bilevel", ["-c", "none"], bilevel, rgb8(one)),
        ("bilevel_g4", "bilevel, fax of group 4", ["-c", "g4"], bilevel, rgb8(one)),
        ("bilevel_g4_strips", "bilevel, fax of group 4", ["-c", "g4", "-r", "7"], bilevel, rgb8(one)),
        ("bilevel_g3", "bilevel, fax of group 3", ["-c", "g3"], bilevel, rgb8(one)),
        ("bilevel_g3_2d", "bilevel, fax of group 3", ["-c", "g3:2d"], bilevel, rgb8(one)),
        ("bilevel_packbits", "bilevel", ["-c", "packbits"], bilevel, rgb8(one)),
        ("big", "BigTIFF", ["-8"], plain, rgb),
        ("big_tiles_lzw", "BigTIFF", ["-8", "-t", "-w", "32", "-l", "16", "-c", "lzw:2", "-p", "separate"], plain, rgb),
        ("big_endian", "made by libtiff", ["-B"], plain, rgb),
        ("zip_predictor", "made by libtiff", ["-c", "zip:2"], plain, rgb),
        ("tiles_lzw", "made by libtiff", ["-t", "-w", "16", "-l", "16", "-c", "lzw"], plain, rgb),
        ("planes_lzw", "made by libtiff", ["-p", "separate", "-c", "lzw:2", "-r", "9"], plain, rgb),
        ("one_strip", "made by libtiff", ["-r", "50", "-c", "lzw"], plain, rgb),
    ):  # fmt: skip
        made = tool(["tiffcp", *options, "in.tif", "out.tif"], {"in.tif": data}, "out.tif")
        add(corpus, name, kind, made, truth, small=name in ("lsb2msb_rgb_lzw", "bilevel_g4", "big_tiles_lzw"))
    # Many pixels, so that LZW's table fills and is cleared, in tiles and strips.
    rng = np.random.default_rng(26)
    noise = rng.integers(0, 256, (200, 300, 3), dtype=np.uint8)
    for options in (["-c", "lzw"], ["-c", "lzw", "-t", "-w", "128", "-l", "128"], ["-c", "lzw", "-r", "200"]):
        made = tool(["tiffcp", *options, "in.tif", "out.tif"], {"in.tif": written(noise)}, "out.tif")
        add(corpus, "noise_" + "_".join(o.strip("-") for o in options), "made by libtiff", made, noise)
    cmyk = picture(33, 21, 4)
    for bits in (8, 16):
        samples = cmyk if bits == 8 else picture(33, 21, 4, 16)
        high = (samples >> (bits - 8)).astype(np.int64)
        light = 255 - high[..., 3:]
        product = high[..., :3] * light + 128
        truth = np.clip(light - ((product + (product >> 8)) >> 8), 0, 255).astype(np.uint8)
        for planar in ("contig", "separate"):
            stored = np.moveaxis(samples, -1, 0) if planar == "separate" else samples
            data = written(stored, photometric="separated", planarconfig=planar)
            add(corpus, f"cmyk{bits}_{planar}", f"CMYK, {bits} bits", data, truth, small=bits == 8 and planar == "contig")
    for name, compression in (("lzma", "lzma"), ("zstd", "zstd"), ("webp", "webp"), ("jpeg2000", "jpeg2000"), ("lerc", "lerc"),
                              ("jpegxl", "jpegxl")):  # fmt: skip
        corpus.add(f"tiff_{name}.tif", "TIFF: compressed otherwise", written(rgb, compression=compression), None)
    # JPEG within TIFF is lossy, so Pillow's libtiff defines the expected pixels.
    for name, options in (
        ("jpeg", ["-c", "jpeg:90", "-r", "64"]),
        ("jpeg_rgb", ["-c", "jpeg:r:90", "-r", "8"]),
        ("jpeg_strips", ["-c", "jpeg:90", "-r", "16"]),
        ("jpeg_tiles", ["-c", "jpeg:90", "-t", "-w", "32", "-l", "16"]),
        ("jpeg_rgb_tiles", ["-c", "jpeg:r:90", "-t", "-w", "32", "-l", "16"]),
        ("jpeg_planes", ["-c", "jpeg:r:90", "-p", "separate", "-r", "16"]),
    ):
        made = tool(["tiffcp", *options, "in.tif", "out.tif"], {"in.tif": plain}, "out.tif")
        corpus.add(f"tiff_{name}.tif", "TIFF: JPEG within", made)
    made = tool(["tiffcp", "-c", "jpeg:90", "-r", "16", "in.tif", "out.tif"], {"in.tif": written(grey)}, "out.tif")
    corpus.add("tiff_jpeg_grey.tif", "TIFF: JPEG within", made)
    corpus.add("tiff_jpeg_tifffile.tif", "TIFF: JPEG within", written(rgb, compression="jpeg", tile=(32, 32)))
    ycbcr = np.asarray(Image.fromarray(rgb).convert("YCbCr"))
    corpus.add("tiff_ycbcr.tif", "TIFF: YCbCr without JPEG", written(ycbcr, photometric="ycbcr", subsampling=(1, 1)), None)
    corpus.add("tiff_ycbcr_lzw.tif", "TIFF: YCbCr without JPEG", written(ycbcr, photometric="ycbcr", subsampling=(1, 1), compression="lzw"), None)
    lab = written(rgb, photometric="cielab")
    corpus.add("tiff_lab.tif", "TIFF: CIE L*a*b*", lab, None)


def several(corpus):
    """Thumbnails and pages."""
    full, small = picture(64, 48), picture(16, 12, seed=27)
    for name, kind, first, second, truth in (
        ("thumbnail_first", "a thumbnail before the picture", (small, 1), (full, 0), full),
        ("thumbnail_last", "a thumbnail behind the picture", (full, 0), (small, 1), full),
        ("pages", "several pages", (full, 2), (small, 2), full),
    ):
        out = io.BytesIO()
        with tifffile.TiffWriter(out) as tiff:
            for samples, subfile in (first, second):
                tiff.write(samples, subfiletype=subfile, photometric="rgb")
        add(corpus, name, kind, out.getvalue(), truth, small=name in ("thumbnail_first", "pages"))
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as tiff:
        tiff.write(full, subifds=1, photometric="rgb")
        tiff.write(small, subfiletype=1, photometric="rgb")
    add(corpus, "pyramid", "smaller versions below the picture", out.getvalue(), full)


def odd(corpus):
    rgb = picture(64, 48)
    # The third of twelve tiles is missing.
    data = written(rgb, tile=(16, 16))
    truth = rgb.copy()
    truth[0:16, 32:48] = 0
    add(corpus, "sparse_tile", "tiles or strips left out", without_chunk(data, 2, 324, 325), truth, small=True)
    data = written(rgb, rowsperstrip=16)
    truth = rgb.copy()
    truth[16:32] = 0
    add(corpus, "sparse_strip", "tiles or strips left out", without_chunk(data, 1, 273, 279), truth)
    for orientation in range(1, 9):
        data = written(rgb, extratags=[(274, "H", 1, orientation, True)])
        corpus.add(f"tiff_orientation_{orientation}.tif", "TIFF: orientation", data, small=orientation == 6)
    for kind, wide in (("tall", (1, 300)), ("wide", (300, 1)), ("dot", (1, 1))):
        samples = picture(*wide)
        add(corpus, kind, "odd sizes", written(samples, compression="lzw", predictor=wide[0] > 1), samples)
    data = written(rgb)
    corpus.add("tiff_cut.tif", "TIFF: damaged", data[: len(data) // 2], None)


def pack(row, bits):
    """Packs the samples of a row from the high bits down."""
    flat = ((row[:, None].astype(np.uint32) >> np.arange(bits - 1, -1, -1)) & 1).astype(np.uint8).ravel()
    return np.packbits(flat)


def handmade(width, height, bits, data, photometric, order="<", palette=None):
    """A TIFF of one strip and one band."""
    tags = [(256, 3, [width]), (257, 3, [height]), (258, 3, [bits]), (259, 3, [1]), (262, 3, [photometric]), (273, 4, [0]),
            (277, 3, [1]), (278, 3, [height]), (279, 4, [len(data)])]  # fmt: skip
    if palette is not None:
        tags.append((320, 3, palette.ravel().tolist()))
    size = 8 + 2 + 12 * len(tags) + 4
    tail = b""
    entries = b""
    for tag, kind, values in tags:
        code = "H" if kind == 3 else "I"
        if tag == 273:
            values = [size + sum(2 * len(v) for _, k, v in tags if len(v) > 2)]
        packed = struct.pack(f"{order}{len(values)}{code}", *values)
        if len(packed) > 4:
            packed, tail = struct.pack(order + "I", size + len(tail)), tail + packed
        entries += struct.pack(order + "HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HIH", 42, 8, len(tags))
    return head + entries + struct.pack(order + "I", 0) + tail + data


def without_chunk(data, index, *tags):
    """The file with the offset and the size of one strip or tile set to 0."""
    data = bytearray(data)
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        for tag in tags:
            found = tiff.pages[0].tags[tag]
            size = {3: 2, 4: 4}[found.dtype]
            at = found.valueoffset + size * index
            data[at : at + size] = bytes(size)
    return bytes(data)
