#!/usr/bin/env python3
"""Writes the conformance table of docs/accuracy.md, from the reports in docs/results/conformance.

    tools/reports/table.py            writes it between its two markers
    tools/reports/table.py --check    checks that it is up to date, and that the reports are for the model embedded now

`make reports` makes the reports and then the table. Needs only Python.
"""

import argparse
import gzip
import hashlib
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REPORTS = ROOT / "docs/results/conformance"
RECORD = ROOT / "src/conformance/recorded/expected.safetensors"
BEGIN, END = "<!-- conformance table: tools/reports/table.py -->", "<!-- end of conformance table -->"
KINDS = {"crash": "failed", "timeout": "failed", "unexpected_improvement": "failed", "known_flake": "known", "flake": "passed"}
LAYERS = ["language", "kernels", "blocks", "whole", "determinism", "stress"]
# In the order of docs/drivers.md, then all others.
ORDER = ["lavapipe", "lavapipe@128", "lavapipe@512", "lavapipe25", "lavapipe26", "swiftshader", "llvmpipe-gl"]


class Wrong(Exception):
    """A fault in the reports that must not pass silently."""


def reports(folder):
    rank = {name: i for i, name in enumerate(ORDER)}
    names = sorted((f.name.removesuffix(".json.gz") for f in folder.glob("*.json.gz")), key=lambda n: (rank.get(n, len(ORDER)), n))
    if not names:
        raise Wrong(f"no reports in {folder}")
    return [(name, json.loads(gzip.decompress((folder / f"{name}.json.gz").read_bytes()))) for name in names]


def sound(name, report):
    """Checks that the report's summary matches its rows: the table trusts neither blindly."""
    counted = {"cases": len(report["results"]), "passed": 0, "failed": 0, "known": 0, "not_run": 0}
    for row in report["results"]:
        counted[KINDS.get(row["status"], row["status"])] += 1
        if row["status"] == "passed" and not 0 <= row["ratio"] <= 1:
            raise Wrong(f"{name}: {row['case']} passed with an error / bound of {row['ratio']}")
    if counted != report["summary"]:
        raise Wrong(f"{name}: its rows give {counted}, its summary says {report['summary']}")


def current(name, report):
    record = hashlib.sha256(RECORD.read_bytes()).hexdigest()[:16]
    for adapter in report["adapters"]:
        if adapter["made"].get("interrupted"):
            raise Wrong(f"{name}: the run was interrupted")
        if adapter["made"]["record"] != record:
            raise Wrong(f"{name}: made with another embedded model (its record {adapter['made']['record']}, now {record})")


def cell(rows):
    passed = [r for r in rows if r["status"] == "passed"]
    if not passed:
        return "" if not rows else "0"
    return f"{len(passed)} ({max(r['ratio'] for r in passed):.2f})"


def line(name, report):
    rows = report["results"]
    adapter, summary = report["adapters"][0], report["summary"]
    layers = [cell([r for r in rows if r["case"].startswith(layer + "/")]) for layer in LAYERS]
    counts = [summary["failed"] and f"**{summary['failed']}**", summary["known"], summary["not_run"]]
    mode = "all" if adapter["made"]["full"] else "quick"
    if adapter["made"]["only"]:
        mode = "part"
    cells = [f"`{name}`", adapter["driver"].replace("|", "/"), mode, *layers, *counts]
    return "| " + " | ".join(map(str, cells)) + " |"


def table(found):
    head = ["", "driver", "run", *LAYERS, "failed", "known", "not run"]
    total = sum(r["summary"]["cases"] for _, r in found)
    return "\n".join(
        [
            BEGIN,
            f"Cases passed, in brackets the worst error / bound among them; {total} results in all:",
            "",
            "| " + " | ".join(head) + " |",
            "|" + "---|" * len(head),
            *(line(name, report) for name, report in found),
            END,
        ]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 if the table is out of date")
    parser.add_argument("--reports", type=Path, default=REPORTS, metavar="DIR")
    parser.add_argument("--page", type=Path, default=ROOT / "docs/accuracy.md", metavar="FILE")
    args = parser.parse_args()
    try:
        found = reports(args.reports)
        for name, report in found:
            sound(name, report)
            current(name, report)
        page = args.page.read_text()
        if page.count(BEGIN) != 1 or page.count(END) != 1:
            raise Wrong(f"{args.page} must hold each of the table's markers once")
        before, rest = page.split(BEGIN)
        after = rest.split(END)[1]
        written = before + table(found) + after
        if args.check:
            if written != page:
                raise Wrong(f"the table in {args.page.name} does not match the reports: run tools/reports/table.py")
        elif written != page:
            args.page.write_text(written)
    except Wrong as problem:
        sys.exit(f"conformance table: {problem}. `make reports` makes the reports and the table.")
    print(f"conformance table: up to date with {len(found)} reports")


if __name__ == "__main__":
    main()
