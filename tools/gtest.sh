#!/bin/bash
# Runs the conformance suite under gtest-runner, Mesa's harness, as described in docs/ci.md: a small part, with a correct and an
# incorrect baseline. Installs the runner into target/deqp unless GTEST_RUNNER names one, which takes minutes: not part of CI.
#   tools/gtest.sh [PATTERN...]       default: the language layer and affine, in f32
set -eu
cd "$(dirname "$0")/.."
runner=${GTEST_RUNNER:-target/deqp/bin/gtest-runner}
[ -x "$runner" ] || cargo install deqp-runner --version 0.24.0 --locked --root target/deqp
cargo build --release --locked --quiet
[ $# -gt 0 ] || set -- '^language\.' '^kernels\.affine\..*\.f32\.'
out=target/gtest
rm -rf $out && mkdir -p $out
run() {
    local into=$1 include=()
    shift
    for pattern in "${patterns[@]}"; do include+=(-t "$pattern"); done
    "$runner" run --gtest target/release/diffews-wgpu --output "$into" --jobs 2 --tests-per-group 30 "${include[@]}" "$@" -- \
        conformance --backend vulkan
}
patterns=("$@")
# Known results on this driver: nothing fails, and one name may.
printf '# none\n' >$out/fails.txt
printf 'language\\.numbers\\..*\\.none\n' >$out/flakes.txt
run $out/right --baseline $out/fails.txt --flakes $out/flakes.txt
passed=$(grep -c ',Pass,' $out/right/results.csv)
# A pass that the baseline does not expect must fail the run.
first=$(grep -m1 ',Pass,' $out/right/results.csv | cut -d, -f1)
echo "$first,Fail" >$out/wrong.txt
patterns=("^${first//./\\.}\$")
if run $out/wrong --baseline $out/wrong.txt; then
    echo "a pass that the baseline does not expect was not reported"
    exit 1
fi
grep -q "^$first,UnexpectedImprovement(Pass)" $out/wrong/failures.csv
echo "gtest-runner: $passed cases passed, and an incorrect baseline was reported"
