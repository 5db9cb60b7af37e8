#!/bin/bash
# Makes the reports in docs/results/conformance anew, a page over all of them, and the table of docs/accuracy.md: after a change of the
# embedded weights, of kernels or of cases. Commit first: reports name the commit that they were made at.
#   tools/reports/make.sh [DRIVER...]      default: all; with names only those are made anew
# Takes the better part of an hour on two cores, most of it the stress test on lavapipe (--full).
set -eu
cd "$(dirname "$0")/../.."
results=docs/results/conformance
work=target/reports
mkdir -p $results $work
[ $# -gt 0 ] || set -- lavapipe lavapipe@128 lavapipe@512 lavapipe25 lavapipe26 swiftshader llvmpipe-gl
for driver in "$@"; do
    mode=--whole
    [ "$driver" != lavapipe ] || mode=--full
    rm -f "$work/$driver.json.gz"
    # A failing case is a result too: it belongs into the report and the table.
    tools/conformance.sh $mode --into $work --command-only "$driver" || true
    [ -e "$work/$driver.json.gz" ] || { echo "no report of $driver: see $work/$driver.log"; exit 1; }
    cp "$work/$driver.json.gz" $results/
done
# Its exit code speaks of failures in the reports, which the table shows.
target/release/diffews-wgpu conformance --from $results/*.json.gz --html $results/all.html \
    --compiled docs/results/vendors.json --force || [ $? -eq 5 ]
python3 tools/reports/table.py
