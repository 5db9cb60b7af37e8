#!/bin/bash
# The conformance tests under every driver that tools/drivers.sh fetched, then the shader compilers. Says which were left out
# for not being there; exits with 1 if any fails or none ran.
#   tools/conformance.sh [DRIVER...]
set -u
cd "$(dirname "$0")/.." || exit 1
drivers=${DRIVERS:-.drivers}
export DRIVERS=$(mkdir -p "$drivers" && cd "$drivers" && pwd)
[ $# -gt 0 ] || set -- lavapipe lavapipe@128 lavapipe@512 lavapipe25 lavapipe26 swiftshader llvmpipe-gl
build=$(cargo test --release --no-run --test conformance --test parity --test faults 2>&1) || { echo "$build"; exit 1; }
programs=$(echo "$build" | sed -n 's/.*Executable tests\/.*(\(.*\))/\1/p')
[ -n "$programs" ] || { echo "no tests were built"; exit 1; }
mkdir -p target/conformance
ran=0
failed=()
for driver in "$@"; do
    case ${driver%@*} in
        lavapipe25 | lavapipe26 | swiftshader)
            [ -e "$DRIVERS/${driver%@*}/icd.json" ] || { echo "left out $driver: tools/drivers.sh ${driver%@*} fetches it"; continue; }
            ;;
    esac
    for program in $programs; do
        name=$(basename "$program" | sed 's/-[0-9a-f]*$//')
        log=target/conformance/$driver-$name.log
        SECONDS=0
        if tools/with-driver.sh "$driver" "$program" --nocapture --test-threads=1 >"$log" 2>&1; then
            result=passed
        else
            result="FAILED, see $log"
            failed+=("$driver $name")
        fi
        ran=$((ran + 1))
        echo "$driver $name: $result ($SECONDS s)"
    done
done
if [ -e "$DRIVERS/tint" ] && [ -e "$DRIVERS/dxc" ]; then
    tools/compilers.sh || failed+=("compilers")
else
    echo "left out Tint and DXC: tools/drivers.sh tint dxc fetches them"
fi
[ ${#failed[@]} -eq 0 ] || { printf 'failed: %s\n' "${failed[@]}"; exit 1; }
[ $ran -gt 0 ]
