"""Compares two maps: python compare.py A.npy B.npy [--bound R]. B is the reference; the exit code is 1 beyond the bound."""

import argparse
import sys

import numpy as np


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("a")
    parser.add_argument("b")
    parser.add_argument("--bound", type=float, help="largest relative L2 error allowed")
    args = parser.parse_args()
    a, b = (np.load(path).astype(np.float64) for path in (args.a, args.b))
    if a.shape != b.shape:
        sys.exit(f"shapes differ: {args.a} {a.shape}, {args.b} {b.shape}")
    difference = np.abs(a - b)
    relative = np.linalg.norm(a - b) / np.linalg.norm(b)
    where = np.unravel_index(np.argmax(difference), difference.shape)
    print(
        f"relative L2 {relative:.3e}, max abs {difference[where]:.3e} at {tuple(map(int, where))}; "
        f"reference in [{b.min():.4f}, {b.max():.4f}], standard deviation {b.std():.4f}"
    )
    if args.bound is not None and not (relative <= args.bound):
        sys.exit(f"beyond the bound {args.bound:g}")


if __name__ == "__main__":
    main()
