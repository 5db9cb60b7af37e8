"""Turns a benchmark's data into a file of episodes for `diffews-wgpu eval`: those of the published evaluation.

    python tools/episodes coco --root DATA --fold 0 --shots 1 --output coco_fold0_1shot.json
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import coco
import fss
import lvis
import paco_part
import pascal
import pascal_part
from common import Draws, Writer

# Name: module and number of folds; FSS-1000 has none.
BENCHMARKS = {
    "coco": (coco, 4),
    "pascal": (pascal, 4),
    "fss": (fss, None),
    "lvis": (lvis, 10),
    "paco_part": (paco_part, 4),
    "pascal_part": (pascal_part, 4),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benchmark", choices=BENCHMARKS)
    parser.add_argument("--root", required=True, help="directory that holds COCO2014, VOC2012, ...")
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--shots", type=int, default=1)
    parser.add_argument("--output", required=True, metavar="FILE.json")
    args = parser.parse_args()
    module, folds = BENCHMARKS[args.benchmark]
    if not 0 <= args.fold < (folds or 1):
        parser.error(f"{args.benchmark} has folds 0 to {(folds or 1) - 1}")
    if args.shots < 1:
        parser.error("--shots must be at least 1")
    writer = Writer(args.root, args.output, getattr(module, "IGNORE", None))
    try:
        module.make(writer, Draws(), args.fold, args.shots)
    except OSError as error:
        sys.exit(f"{args.benchmark}: {error}; is the data set complete below {args.root}?")
    except (ValueError, KeyError) as error:
        sys.exit(f"{args.benchmark}: the data is not as published: {error!r}")
    writer.write(args.benchmark, args.fold if folds else None, args.shots)
    print(f"{args.output}: {len(writer.episodes)} episodes", file=sys.stderr)


if __name__ == "__main__":
    main()
