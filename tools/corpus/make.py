"""Writes a corpus of picture files of many kinds, with the pixels that Pillow (or libtiff, tifffile) reads from them.

    pip install -r tools/corpus/requirements.txt       # and the tools of libtiff, libjpeg-turbo and libwebp
    python tools/corpus/make.py /tmp/corpus            # all of it
    python tools/corpus/make.py --small tests/golden/images/corpus   # the few in the repository
    DIFFEWS_CORPUS=/tmp/corpus cargo test --test corpus
    python tools/corpus/table.py /tmp/corpus           # the table of docs/pictures.md

The seed is fixed: the same versions write the same files.
"""

import argparse
import shutil
import tempfile
from collections import Counter

import jpegs
import others
import tiffs
from common import Corpus


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--small", action="store_true", help="only the files for the repository")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        corpus = Corpus(folder if arguments.small else arguments.folder)
        for part in (jpegs, tiffs, others):
            part.write(corpus)
        if arguments.small:
            small = Corpus(arguments.folder)
            small.cases = [case for case in corpus.cases if case["small"]]
            for case in small.cases:
                for name in (case["file"], case.get("expected")):
                    if name:
                        shutil.copy(corpus.folder / name, small.folder / name)
            corpus = small
        corpus.close()
    formats = Counter(case["kind"].split(":")[0] for case in corpus.cases)
    print(f"{len(corpus.cases)} files:", ", ".join(f"{n} {name}" for name, n in sorted(formats.items())))


if __name__ == "__main__":
    main()
