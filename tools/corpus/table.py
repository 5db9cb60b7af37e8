"""Writes the table of docs/pictures.md from a run of tests/corpus.rs over a corpus (which leaves results.tsv there)."""

import argparse
import re
from collections import defaultdict
from pathlib import Path

BEGIN, END = "<!-- table begins -->", "<!-- table ends -->"


def rows(folder):
    """Format, kind, number of files, and the results."""
    kinds = defaultdict(list)
    for line in (Path(folder) / "results.tsv").read_text().splitlines():
        _, kind, outcome, by, reason = line.split("\t")
        kinds[kind].append((outcome, by, reason))
    for kind, found in sorted(kinds.items()):
        told = []
        exact = sum(outcome == "0" for outcome, _, _ in found)
        off = [int(outcome) for outcome, _, _ in found if outcome not in ("0", "refused")]
        if exact:
            told.append("exact" if exact == len(found) else f"{exact} exact")
        if off:
            told.append(f"{len(off)} within {max(off)}" if len(off) < len(found) else f"within {max(off)}")
        reasons = {re.sub("cannot be decoded as [A-Za-z]+: ", "", reason) for outcome, _, reason in found if outcome == "refused"}
        refused = sorted(reasons)
        if refused:
            count = sum(outcome == "refused" for outcome, _, _ in found)
            told.append(("" if count == len(found) else f"{count} ") + "refused: " + "; ".join(refused[:3]))
        whose = sorted({by for _, by, _ in found if by != "-"})
        format, what = kind.split(": ", 1)
        yield f"| {format} | {what} | {len(found)} | {', '.join(told)} | {', '.join(whose)} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    arguments = parser.parse_args()
    found = list(rows(arguments.folder))
    head = ["| format | kind | files | read | against |", "|---|---|---|---|---|"]
    page = Path(__file__).resolve().parents[2] / "docs/pictures.md"
    text = page.read_text()
    table = "\n".join([BEGIN, *head, *found, END])
    text = re.sub(re.escape(BEGIN) + ".*" + re.escape(END), lambda _: table, text, flags=re.S)
    page.write_text(text)
    print(f"{len(found)} kinds")


if __name__ == "__main__":
    main()
