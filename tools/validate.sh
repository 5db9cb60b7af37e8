#!/bin/sh
# Whole runs of the model under the Khronos validation layer, over the driver named (default: the system's lavapipe). Fails
# on any message, and if the layer was not there to give one.
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
if grep -E 'Validation (Error|Warning)|VUID-' "$log" | head -n 20 | grep .; then
    exit 1
fi
echo "clean under the validation layer over $driver"
