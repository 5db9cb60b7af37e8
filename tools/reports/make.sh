#!/bin/bash
# Makes the reports in docs/results/conformance, a page over all of them, and the table of docs/accuracy.md: run it after a change of the
# embedded weights, of kernels or of cases. Commit first, because reports name the commit that made them.
#   tools/reports/make.sh [DRIVER...]      default: all; otherwise only the reports of these drivers
# Takes most of an hour on two cores, mainly for the stress test on lavapipe (--full).
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
    # A failing case is a result, too, and belongs in the report and the table.
    tools/conformance.sh $mode --into $work --command-only "$driver" || true
    [ -e "$work/$driver.json.gz" ] || { echo "$driver gave no report: see $work/$driver.log"; exit 1; }
    cp "$work/$driver.json.gz" $results/
done
# Its exit code reflects failures in the reports, which the table shows.
target/release/diffews-wgpu conformance --from $results/*.json.gz --html $results/all.html \
    --compiled docs/results/vendors.json --force || [ $? -eq 5 ]
python3 tools/reports/table.py
