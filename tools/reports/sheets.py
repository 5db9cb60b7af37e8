"""Draws the README's sheets of pictures, docs/demo.png and docs/task_*.png, from what its own commands make.

    python tools/reports/sheets.py [--program target/release/diffews-wgpu]

The commands in the README's blocks marked `sh` run in an empty folder that has examples/. Needs Pillow and NumPy.
"""

import argparse
import shlex
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parents[2]
SIDE, GAP, ARROW = 176, 8, 40
PAINT = np.array([255, 64, 32])
GREY = (128, 128, 128, 255)  # Seen on white and on black.
LEMONS = "examples/lemons"


def commands():
    """The README's commands, lines that end in a backslash joined."""
    blocks = (ROOT / "README.md").read_text().split("```sh\n")[1:]
    return "".join(block.split("```")[0] for block in blocks).replace("\\\n", " ").splitlines()


def tile(picture):
    """`picture` in a square, the rest transparent."""
    shown = picture.convert("RGBA")
    shown.thumbnail((SIDE, SIDE), Image.LANCZOS)
    square = Image.new("RGBA", (SIDE, SIDE))
    square.paste(shown, ((SIDE - shown.width) // 2, (SIDE - shown.height) // 2))
    return square


def painted(image, mask):
    """An example with its mask laid over it."""
    pixels = np.asarray(Image.open(image).convert("RGB"), float)
    inside = np.asarray(Image.open(mask).convert("L"))[..., None] >= 128
    return tile(Image.fromarray(np.where(inside, 0.5 * pixels + 0.5 * PAINT, pixels).astype(np.uint8)))


def boxed(image, box):
    picture = Image.open(image).convert("RGB")
    ImageDraw.Draw(picture).rectangle(box, outline=tuple(PAINT), width=3)
    return tile(picture)


def sheet(name, rows):
    """Rows of tiles; None is an arrow."""
    width = max(sum(ARROW if part is None else SIDE for part in row) + GAP * (len(row) - 1) for row in rows)
    whole = Image.new("RGBA", (width, len(rows) * (SIDE + GAP) - GAP))
    draw = ImageDraw.Draw(whole)
    for line, row in enumerate(rows):
        x, y = 0, line * (SIDE + GAP)
        for part in row:
            if part is None:
                middle = y + SIDE // 2
                draw.line([(x, middle), (x + ARROW - 12, middle)], fill=GREY, width=5)
                draw.polygon([(x + ARROW - 14, middle - 11), (x + ARROW, middle), (x + ARROW - 14, middle + 11)], fill=GREY)
                x += ARROW + GAP
            else:
                whole.paste(part, (x, y))
                x += SIDE + GAP
    # A palette keeps files small; its last colour is the transparent one.
    colours = whole.convert("RGB").quantize(255, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.FLOYDSTEINBERG)
    numbers = np.where(np.asarray(whole)[..., 3] < 128, 255, np.asarray(colours)).astype(np.uint8)
    small = Image.fromarray(numbers, "P")
    small.putpalette(colours.getpalette()[:765] + [0, 0, 0])
    small.save(ROOT / "docs" / name, optimize=True, transparency=255)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, default=ROOT / "target/release/diffews-wgpu")
    program = parser.parse_args().program.resolve()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "examples").symlink_to(ROOT / "examples")

        def run(command):
            assert command.startswith("diffews-wgpu "), command
            silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            subprocess.run([program, *shlex.split(command)[1:]], cwd=place, check=True, **silent)

        top = []
        for support, mask, query in [
            ("0/support.png", "0/support_mask.png", "0/query.png"),
            ("2/support.png", "2/support_mask.png", "2/query.png"),
            ("hens/hen.jpg", "hens/hen_mask.png", "hens/hens.jpg"),
        ]:
            support, mask, query = (f"examples/{name}" for name in (support, mask, query))
            run(f"diffews-wgpu infer -q --force --support {support} --mask {mask} --query {query} --output top.png --overlay top_overlay.png")
            top.append([painted(place / support, place / mask), tile(Image.open(place / query)), None, tile(Image.open(place / "top_overlay.png"))])
        sheet("demo.png", top)

        for command in commands():
            run(command)
        crates = [f"crate_{number}" for number in (1, 2, 3, 4)]
        lemons = [painted(place / f"{LEMONS}/lemon_{n}.png", place / f"{LEMONS}/lemon_{n}_mask.png") for n in (1, 2, 3)]
        found = lambda name: tile(Image.open(place / name))
        sheet("task_find.png", [[lemons[0], None, *(found(f"found/{crate}_overlay.png") for crate in crates)]])
        support = place / "examples/1/support.png"
        sheet(
            "task_marks.png",
            [[boxed(support, (48, 78, 152, 156)), None, painted(support, place / "lemon_mask.png"), None, found("lemons_overlay.png")]],
        )
        sheet("task_bank.png", [[*lemons, None, *(found(f"banked/{crate}_overlay.png") for crate in crates[1:3])]])
        query = place / "examples/1/query.png"
        cherry = painted(support, place / "cherry_mask.png")
        sheet("task_classes.png", [[lemons[0], cherry, found(query), None, found("labels.png"), found("labels_overlay.png")]])


if __name__ == "__main__":
    main()
