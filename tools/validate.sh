#!/bin/sh
# Runs the whole model under the Khronos validation layer, on the named driver (default: the system's lavapipe). Fails on any message
# (except a known one of naga's), and if the layer was not loaded.
#   tools/validate.sh [DRIVER] [PROGRAM ARGUMENT...]     default: the parity test, which runs every fixture
set -eu
cd "$(dirname "$0")/.."
driver=${1:-lavapipe}
[ $# -eq 0 ] || shift
log=target/validation.log
mkdir -p target
if [ $# -eq 0 ]; then
    program=$(cargo test --release --no-run --test parity 2>&1 | sed -n 's/.*(\(.*parity-[0-9a-f]*\)).*/\1/p' | tail -n 1)
    [ -n "$program" ] || { echo "the parity test did not build"; exit 1; }
    set -- "$program" f32_matches --nocapture
fi
VK_LOADER_DEBUG=layer tools/with-driver.sh "validation:$driver" "$@" >"$log" 2>&1 || { tail -n 20 "$log"; exit 1; }
if ! grep -q 'VK_LAYER_KHRONOS_validation' "$log" || grep -q 'Requested layer "VK_LAYER_KHRONOS_validation" failed' "$log"; then
    echo "the layer was not loaded: see $log"
    exit 1
fi
# One message is ignored, as wgpu itself does (https://github.com/gfx-rs/wgpu/issues/7696): naga declares the layout of arrays in workgroup
# and function memory, which Vulkan's SPIR-V forbids and every driver accepts.
known=VUID-StandaloneSpirv-None-10684
if grep -E '^Validation [A-Za-z]*:' "$log" | grep -v "$known" | sort | uniq -c | grep .; then
    exit 1
fi
set_aside=$(grep -c "^Validation Error: \[ $known" "$log" || true)
echo "clean under the validation layer over $driver ($set_aside times $known ignored)"
