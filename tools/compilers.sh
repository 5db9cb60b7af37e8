#!/bin/bash
# Every kernel, variant and storage through the shader compilers that tools/drivers.sh fetched (folder: $DRIVERS, default
# .drivers): taken by them, and executed by what they made.
#   tools/compilers.sh [STEP...]       default: tint dxil dxc dawn
# tint: Tint takes every shader.  dxil: DXC makes DXIL and SPIR-V of the HLSL of every shader.
# dxc[:DRIVER]: the conformance cases run on DXC's SPIR-V of their HLSL, on the system's lavapipe unless named.
# dxc-checked[:DRIVER]: the same of the HLSL with wgpu's run-time checks.
# dawn[:DRIVER]: the conformance cases run by Dawn, on lavapipe25 unless named.
# BRIEF=1: of the cases, dxc and dawn run those that store f32 or packed halves in one form of each text. Exits with 1 if any step fails.
set -u
cd "$(dirname "$0")/.." || exit 1
drivers=${DRIVERS:-.drivers}
export DRIVERS=$(mkdir -p "$drivers" && cd "$drivers" && pwd)
if [ $# -eq 0 ]; then
    set -- tint dxil dxc
    if [ -e "$DRIVERS/lavapipe25/icd.json" ]; then
        set -- "$@" dawn
    else
        echo "left out dawn: tools/drivers.sh lavapipe25 fetches what it runs on"
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
