"""Prepares cut-outs and photographs for training, as two files that a training process maps into memory.

    python prepare.py --photos photos256.tar --output DIR

Art comes from package registries by name (npm, apt-get), all under free licences, into DIR/packages; nothing else is
fetched. DIR/cutouts.npy and DIR/photos.npy hold flat uint8 pixels with an offset and a shape each; DIR/index.json
holds classes, licences and splits. See README.md for what is held out and why.
"""

import argparse
import hashlib
import io
import json
import re
import subprocess
import tarfile
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from library import NOVEL
from PIL import Image

SIDE = 96  # the long side of a cut-out
NPM = ["openmoji@17.0.0", "@iconify-json/noto@1.2.9", "@twemoji/svg@15.0.0", "@lobehub/fluent-emoji-3d@1.1.0"]
# Further packages of Iconify's, for training only, so that the held-out scenes stay the same.
HANDS = {
    "emojione": ("1.2.3", "CC BY 4.0"),
    "emojione-v1": ("1.2.3", "CC BY-SA 4.0"),
    "fluent-emoji-flat": ("1.2.6", "MIT"),
    "fxemoji": ("1.2.2", "Apache-2.0"),
    "noto-v1": ("1.2.5", "Apache-2.0"),
    "streamline-emojis": ("1.2.4", "CC BY 4.0"),
}
STYLES = ("", "flex-", "kameleon-", "plump-", "ultimate-")
ICONS = {f"streamline-{style}color": ("1.2.2", "CC BY 4.0") for style in STYLES}
FURTHER = HANDS | ICONS
DEB = ["tuxpaint-stamps-default", "openclipart-png", "wesnoth-1.16-data"]
LICENCES = {
    "openmoji": "CC BY-SA 4.0",
    "noto": "Apache-2.0",
    "twemoji": "CC BY 4.0",
    "fluent": "MIT",
    "tuxpaint": "GPL-2+",
    "openclipart": "public domain",
    "wesnoth": "GPL-2+",
    **{name: licence for name, (_, licence) in FURTHER.items()},
}
# Horse, sheep and cow are held out of everything, and so are drawings of them and of their synonyms.
NOVEL_WORDS = set(
    "cow horse sheep ox oxen bull buffalo ram ewe lamb calf cattle pony foal mare stallion racehorse unicorn goat "
    "mucca cavallo pecora horseman horsemen cavalier cavalryman knight lancer dragoon paladin rider carousel zebra "
    "donkey mule bison pegasus centaur bovine zebu yak mounted".split()
)
HELD_OUT = 8  # per cent of the words; a class with one of them is held out for all artists
WORD = re.compile("[a-z]{3,}")
PLAIN = set(
    "face with and the of for from left right button symbol sign person man woman men women light dark medium skin "
    "tone architetto architect architett franc francesco frances red blue green yellow white black".split()
)
# Words that follow the unit's name in the file names of its frames.
FRAMES = set(
    "attack idle die defend death n s ne se nw sw bow melee ranged magic run leading heal healing staff sword spear axe "
    "hammer moving move fly sit stand cast shield slash stab thrust throw bob block lead swim rise shoot".split()
)


def percent(text):
    return int(hashlib.sha256(text.encode()).hexdigest(), 16) % 100


def split_of(name):
    """`name` begins with the kind of art and, except for emoji, the folder; these only matter for the novel classes."""
    words = lambda text: {w.removesuffix("s") for w in WORD.findall(text.lower())} - PLAIN
    if words(name) & NOVEL_WORDS:
        return "novel"
    own = name.split(" ", 1 if name.startswith("emoji ") else 2)[-1]
    return "held_out" if any(percent("word " + w) < HELD_OUT for w in words(own)) else "train"


# ------------------------------------------------------------------------------------------------------ art


def fetch(packages):
    (packages / "deb").mkdir(parents=True, exist_ok=True)
    npm = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(packages)]
    further = [f"@iconify-json/{name}@{version}" for name, (version, _) in FURTHER.items()]
    subprocess.run([*npm, *NPM, *further], check=True)
    for name in DEB:
        if not (packages / name).exists():
            subprocess.run(["apt-get", "-qq", "download", name], cwd=packages / "deb", check=True)
            (deb,) = (packages / "deb").glob(f"{name}_*.deb")
            subprocess.run(["dpkg", "-x", deb, packages / name], check=True)


def rasterized(svg):
    size = ["--width", str(2 * SIDE), "--height", str(2 * SIDE), "--keep-aspect-ratio"]
    done = subprocess.run(["rsvg-convert", *size], input=svg, capture_output=True, check=True)
    return Image.open(io.BytesIO(done.stdout))


def collection(modules, name):
    """The pictures of an Iconify package by name, with their aliases, as input of rasterized()."""
    of = json.loads((modules / f"@iconify-json/{name}/icons.json").read_text(encoding="utf-8"))

    def svg(icon):
        width, height = (icon.get(side, of.get(side, 16)) for side in ("width", "height"))
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="0 0 {width} {height}">{icon["body"]}</svg>'
        ).encode()

    own = {key: svg(icon) for key, icon in of["icons"].items()}
    # An alias with other keys than its parent is rotated or mirrored.
    other = {key: own[a["parent"]] for key, a in of.get("aliases", {}).items() if [*a] == ["parent"] and a["parent"] in own}
    return other | own


def emoji(packages):
    """(class, artist, loader) of every emoji except flags and skin tones: up to ten artists each."""
    modules = packages / "node_modules"
    noto = collection(modules, "noto")
    noto_names = json.loads((modules / "@iconify-json/noto/chars.json").read_text(encoding="utf-8"))
    squeezed = lambda text: re.sub("[^a-z0-9]", "", text.lower())
    hands = {hand: {squeezed(k): svg for k, svg in collection(modules, hand).items()} for hand in HANDS}
    code = lambda text: re.sub("-?fe0f", "", text.lower())
    noto_names = {code(k): v for k, v in noto_names.items()}
    files = lambda folder, suffix: {code(p.stem): p for p in (modules / folder).glob(f"*.{suffix}")}
    twemoji, fluent = files("@twemoji/svg", "svg"), files("@lobehub/fluent-emoji-3d/assets", "webp")

    for entry in json.loads((modules / "openmoji/data/openmoji.json").read_text(encoding="utf-8")):
        if entry["skintone"] or entry["group"] in ("flags", "extras-openmoji", "extras-unicode", "component"):
            continue
        key, name = code(entry["hexcode"]), f"emoji {entry['annotation']}"
        own = modules / f"openmoji/color/svg/{entry['hexcode']}.svg"
        if own.exists():
            yield name, "openmoji", lambda own=own: rasterized(own.read_bytes())
        if key in twemoji:
            yield name, "twemoji", lambda key=key: rasterized(twemoji[key].read_bytes())
        if noto_names.get(key) in noto:
            yield name, "noto", lambda key=key: rasterized(noto[noto_names[key]])
        if key in fluent:
            yield name, "fluent", lambda key=key: Image.open(fluent[key])
        for hand, pictures in hands.items():
            if svg := pictures.get(squeezed(entry["annotation"])):
                yield name, hand, lambda svg=svg: rasterized(svg)


def icons(packages):
    """Icons of one maker in five styles, which share many names."""
    for style in ICONS:
        for name, svg in collection(packages / "node_modules", style).items():
            words = [w for w in name.split("-") if w.isalpha() and w not in ("flat", "duo", "bold")]
            yield f"icon streamline {' '.join(words) or name}", style, lambda svg=svg: rasterized(svg)


def unit_name(path):
    """units/undead/soulless-bat-ne-5.png -> undead soulless-bat"""
    words = []
    for word in path.stem.split("-"):
        if words and (word in FRAMES or not word.isalpha()):
            break
        words.append(word)
    return f"{path.parent.name} {'-'.join(words)}"


def drawings(packages):
    opened = lambda path: lambda: Image.open(path)
    for path in sorted((packages / "tuxpaint-stamps-default").rglob("*.png")):
        yield f"stamp {path.parent.name} {path.stem.rstrip('0123456789_')}", "tuxpaint", opened(path)
    for path in sorted((packages / "openclipart-png").rglob("*.png")):
        yield f"clipart {path.parent.name} {path.stem.rstrip('0123456789_')}", "openclipart", opened(path)
    for path in sorted((packages / "wesnoth-1.16-data").rglob("core/images/units/**/*.png")):
        yield f"unit {unit_name(path)}", "wesnoth", opened(path)


def cutout(image):
    """RGBA, cropped to its opaque part, long side SIDE; None if the alpha channel is not a good mask."""
    image = image.convert("RGBA")
    box = image.getchannel("A").point(lambda a: 255 * (a > 127)).getbbox()
    if box is None:
        return None
    image = image.crop(box)
    if min(image.size) < 16:
        return None
    scale = SIDE / max(image.size)
    if scale < 1:
        image = image.resize([max(1, round(scale * s)) for s in image.size], Image.BOX if scale < 0.5 else Image.BILINEAR)
    pixels = np.array(image)
    opaque = (pixels[..., 3] > 127).mean()
    return pixels if 0.15 < opaque < 0.97 else None


def load(entry):
    name, artist, loader = entry
    try:
        return name, artist, cutout(loader())
    except (OSError, ValueError, subprocess.CalledProcessError, Image.DecompressionBombError) as error:
        print(f"{name} by {artist}: {error}")
        return name, artist, None


def all_cutouts(packages):
    with ThreadPoolExecutor(3) as pool:
        yield from pool.map(load, emoji(packages))
        yield from pool.map(load, drawings(packages))
        yield from pool.map(load, icons(packages))


# ------------------------------------------------------------------------------------------------------ photographs


def photographs(archive):
    """(name, RGB [h, w, 3], class index [h, w]): 0 background, 1 to 20 VOC's classes, 255 ignored."""
    with tarfile.open(archive) as tar:
        members = {m.name: m for m in tar if m.isfile()}
        read = lambda name: np.array(Image.open(io.BytesIO(tar.extractfile(members[name]).read())))
        for name in sorted(members):
            if not name.endswith(".jpg"):
                continue
            folder, file = name.split("/")[-3], name.split("/")[-1].removesuffix(".jpg")
            sibling = lambda kind: re.sub(r"images/[^/]*$", f"{kind}/{file}.png", name)
            if folder == "voc":
                mask = read(sibling("masks"))
            elif folder == "horses":
                mask = np.where(read(sibling("masks")) >= 128, 13, 0)
            else:
                # The file names of cats begin with a capital.
                trimap = read(sibling("trimaps"))
                mask = np.where(trimap == 1, 8 if file[0].isupper() else 12, np.where(trimap == 2, 0, 255))
            pixels = np.array(Image.fromarray(read(name)).convert("RGB"))
            yield f"{folder}/{file}", pixels, mask.astype(np.uint8)


class Store:
    """Arrays concatenated in a flat file, with offsets and shapes."""

    def __init__(self):
        self.flat, self.places, self.end = [], [], 0

    def add(self, array):
        self.flat.append(array.ravel())
        self.places.append([self.end, *array.shape])
        self.end += array.size
        return len(self.places) - 1

    def save(self, path):
        np.save(path, np.concatenate(self.flat))
        return self.places


def keep_apart(classes, digests):
    """Collections repeat pictures under other names: a class that shares a picture with a held-out class is held out, too."""
    changed = True
    while changed:
        changed = False
        for split in ("novel", "held_out"):
            out = {digests[m] for c in classes if c["split"] == split for m in c["cutouts"]}
            for c in classes:
                if c["split"] == "train" and any(digests[m] in out for m in c["cutouts"]):
                    c["split"], changed = split, True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", required=True, help="the archive of photographs (voc/, pets/, horses/)")
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--most", type=int, default=10, help="cut-outs of one class and artist (default 10)")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    fetch(args.output / "packages")

    store, classes, artists = Store(), defaultdict(list), []
    taken = defaultdict(int)
    for name, artist, pixels in all_cutouts(args.output / "packages"):
        if pixels is None or taken[name, artist] >= args.most:
            continue
        taken[name, artist] += 1
        classes[name].append(store.add(pixels))
        artists.append(artist)
    index = {"licences": LICENCES, "artists": artists, "cutouts": store.save(args.output / "cutouts.npy")}
    index["classes"] = [
        {"name": name, "split": split_of(name), "cutouts": members} for name, members in sorted(classes.items())
    ]
    keep_apart(index["classes"], [hashlib.sha256(pixels.tobytes()).digest() for pixels in store.flat])
    for c in index["classes"]:
        if c["split"] != "train":
            c["cutouts"] = [m for m in c["cutouts"] if artists[m] not in FURTHER]
    index["classes"] = [c for c in index["classes"] if c["cutouts"]]

    store, photos = Store(), []
    for name, pixels, mask in photographs(args.photos):
        present = sorted(int(c) for c in np.unique(mask) if 0 < c < 255)
        novel = any(c in NOVEL for c in present)
        split = "novel" if novel else "held_out" if percent("photo " + name) < 10 else "train"
        photos.append(
            {"name": name, "split": split, "classes": present, "pixels": store.add(pixels), "mask": store.add(mask)}
        )
    index["photos"], index["photo_arrays"] = photos, store.save(args.output / "photos.npy")
    (args.output / "index.json").write_text(json.dumps(index), encoding="utf-8")

    for kind in ("train", "held_out", "novel"):
        of = [c for c in index["classes"] if c["split"] == kind]
        print(
            f"{kind}: {len(of)} classes of cut-outs ({sum(len(c['cutouts']) for c in of)} pictures), "
            f"{sum(p['split'] == kind for p in photos)} photographs"
        )


if __name__ == "__main__":
    main()
