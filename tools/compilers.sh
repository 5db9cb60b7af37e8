#!/bin/bash
# Runs every kernel, variant and storage through the shader compilers that tools/drivers.sh fetched (folder: $DRIVERS, default
# .drivers): they must accept the shaders, and their output must compute correctly.
#   tools/compilers.sh [STEP...]       default: tint dxil dxc dawn
# tint: Tint compiles every shader.  dxil: DXC compiles the HLSL of every shader to DXIL and SPIR-V.
# dxc[:DRIVER]: runs the conformance cases on DXC's SPIR-V of their HLSL, on the system's lavapipe unless named.
# dxc-checked[:DRIVER]: the same with the HLSL that has wgpu's run-time checks.
# dawn[:DRIVER]: Dawn runs the conformance cases, on lavapipe25 unless named.
# BRIEF=1: dxc and dawn only run the cases with f32 or packed f16 storage, in one form per text. Exits with 1 if any step fails.
set -u
cd "$(dirname "$0")/.." || exit 1
drivers=${DRIVERS:-.drivers}
export DRIVERS=$(mkdir -p "$drivers" && cd "$drivers" && pwd)
if [ $# -eq 0 ]; then
    set -- tint dxil dxc
    if [ -e "$DRIVERS/lavapipe25/icd.json" ]; then
        set -- "$@" dawn
    else
        echo "skipped dawn: tools/drivers.sh lavapipe25 fetches its driver"
    fi
fi
compile=(python3 tools/dxc/compile.py --library "$DRIVERS/dxc/libdxcompiler.so")
webgpu=$DRIVERS/tint/node_modules/webgpu
cargo build --quiet --release --package diffews-helpers || exit 1

cases='/(f32|packed)/(plain|(winograd-)?(tiled|broadcast|rows)-64)$'

shaders() {
    rm -rf target/shaders
    target/release/dump_shaders target/shaders
}

tint() { shaders && node tools/tint/lint.mjs --webgpu "$webgpu" target/shaders; }

dxil() { shaders && "${compile[@]}" --spirv target/shaders/spirv target/shaders; }

dxc() {
    rm -rf target/dxc
    tools/with-driver.sh "$1" target/release/through_dxc translate target/dxc "${BRIEF:+$cases}" &&
        "${compile[@]}" --only-spirv target/dxc &&
        tools/with-driver.sh "$1" target/release/through_dxc run target/dxc "${BRIEF:+$cases}"
}

dawn() {
    target/release/dump_cases target/dawn &&
        tools/with-driver.sh "$1" node tools/tint/run.mjs --webgpu "$webgpu" --only "${BRIEF:+ (f32|packed) (plain|(winograd-)?(tiled|broadcast|rows)-64) }" target/dawn
}

failed=()
for step in "$@"; do
    driver=${step#*:}
    [ "$driver" != "$step" ] || driver=
    SECONDS=0
    case ${step%%:*} in
        tint) tint ;;
        dxil) dxil ;;
        dxc) dxc "${driver:-lavapipe}" ;;
        dxc-checked) DIFFEWS_CHECKED=1 dxc "${driver:-lavapipe}" ;;
        dawn) dawn "${driver:-lavapipe25}" ;;
        *) sed -n '2,10s/^# //p' "$0" >&2; exit 2 ;;
    esac || failed+=("$step")
    echo "$step: $SECONDS s"
done
echo "$# steps of the compilers, ${#failed[@]} failed${failed[*]:+: ${failed[*]}}"
[ ${#failed[@]} -eq 0 ]
