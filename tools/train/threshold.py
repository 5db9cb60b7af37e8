"""Chooses `absolute_threshold` for export.py, by the mean IoU of new composites of trained classes as a function of
the foreground threshold of the map.

    python threshold.py --data DIR --checkpoint RUN/last.pt [--size 160] [--scenes 80]
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from canvas import shrunk
from episodes import Scenes, batch
from library import Library
from model import DiffewS, refined
from train import to_torch

THRESHOLDS = np.arange(0.2, 0.625, 0.025)


@torch.no_grad()
def ious(model, b):
    """[thresholds, episodes]"""
    b = to_torch(b, torch.device("cpu"))
    out = model(b["images"], b["masks"][:, None], b["image_of"], b["supports"])[0]
    # The engine clips each of the decoder's channels, this code clips their mean, which is the same far from the ends.
    shown = (refined(out.clamp(-1, 1), b["images"][b["image_of"]]).numpy() + 1) / 2
    true = b["masks"].numpy() > 0
    found = [shown > t for t in THRESHOLDS]
    return np.array([(f & true).sum((1, 2)) / np.maximum((f | true).sum((1, 2)), 1) for f in found])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path, help="the output of prepare.py")
    parser.add_argument("--checkpoint", required=True, type=Path)
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--scenes", type=int, default=80, help="scenes of two pictures and two classes: four episodes each")
    parser.add_argument("--seed", type=int, default=99)
    args = parser.parse_args()
    model = DiffewS().eval()
    model.load_state_dict(torch.load(args.checkpoint, map_location="cpu", weights_only=True)["average"])
    scenes = Scenes(Library(args.data, "train"), args.size * 8 // 5, 1.0, np.random.default_rng(args.seed))
    scenes.without_photographs()
    scenes.on_photographs, scenes.apart = 1.0, True
    drawn = (shrunk(batch(scenes, 2, (1, 0, 0, 0)), args.size) for _ in range(args.scenes))
    found = np.concatenate([ious(model, b) for b in drawn], 1)
    for threshold, value in zip(THRESHOLDS, found.mean(1)):
        print(f"{threshold:.3f} {value:.4f}")
    print(f"best: {THRESHOLDS[found.mean(1).argmax()]:.3f}, of {found.shape[1]} episodes")


if __name__ == "__main__":
    main()
