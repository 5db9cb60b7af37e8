#!/bin/bash
# Runs a command under one driver that tools/drivers.sh fetched (folder: $DRIVERS, default .drivers):
#   tools/with-driver.sh NAME command...
# NAME: lavapipe (the system's), lavapipe25, lavapipe26, swiftshader, llvmpipe-gl (the system's OpenGL), or
# validation[:NAME] (the Khronos layer over a driver). @WIDTH after a lavapipe sets its vector width (128: subgroups of
# 4, 256: 8, 512: 16). Or a GPU vendor's driver and compiler on a no-op kernel driver, for a device that need not be
# present: radv[@navi31] nvk[@0x172] turnip[@750] honeykrisp anv[@tgl]. These compile and accept everything, and compute nothing.
# Under these and lavapipe26, which have their own libc, the command must be a program, not a script. As cargo's
# runner: CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="tools/with-driver.sh NAME" cargo test --release
set -eu
[ $# -ge 2 ] || { sed -n '2,10s/^# //p' "$0" >&2; exit 2; }
name=$1
shift
drivers=${DRIVERS:-$(cd "$(dirname "$0")/.." && pwd)/.drivers}
export XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-${TMPDIR:-/tmp}}

if [[ $name == validation* ]]; then
    export VK_LAYER_PATH=$drivers/validation VK_INSTANCE_LAYERS=VK_LAYER_KHRONOS_validation
    [ -e "$VK_LAYER_PATH" ] || { echo "no validation layer in $drivers: run tools/drivers.sh validation" >&2; exit 1; }
    name=${name#validation}
    name=${name#:}
    name=${name:-lavapipe}
fi
device=
if [[ $name == *@* ]]; then
    device=${name#*@}
    name=${name%@*}
fi
case $name in
    lavapipe)
        icd=$(ls /usr/share/vulkan/icd.d/lvp_icd*.json /etc/vulkan/icd.d/lvp_icd*.json 2>/dev/null | head -n 1) || true
        ;;
    llvmpipe-gl)
        export WGPU_BACKEND=gl LIBGL_ALWAYS_SOFTWARE=1 EGL_PLATFORM=surfaceless
        exec "$@"
        ;;
    lavapipe25 | lavapipe26 | swiftshader | radv | nvk | turnip | honeykrisp | anv) icd=$drivers/$name/icd.json ;;
    *) echo "no such driver: $name" >&2; exit 2 ;;
esac
[ -e "${icd:-/nowhere}" ] || { echo "$name is missing: run tools/drivers.sh $name" >&2; exit 1; }
# The old and the new name of the loader's variable. A single backend, because OpenGL would be the system's.
export VK_ICD_FILENAMES=$icd VK_DRIVER_FILES=$icd WGPU_BACKEND=vulkan
# The device that the part after the @ selects.
case $name in
    lavapipe*) [ -z "$device" ] || export LP_NATIVE_VECTOR_WIDTH=$device ;;
    radv) export AMDGPU_GPU_ID=${device:-navi31} ;;
    nvk) export NOUVEAU_CHIPSET=${device:-0x172} ;;
    turnip) export FD_GPU_ID=${device:-750} ;;
    anv)
        # A platform's short name, or a PCI number.
        if [[ $device == 0x* ]]; then export INTEL_STUB_GPU_DEVICE_ID=$device; else export INTEL_STUB_GPU_PLATFORM=${device:-tgl}; fi
        ;;
    *) [ -z "$device" ] || { echo "$name has no devices to choose from" >&2; exit 2; } ;;
esac
preload=()
if [ -e "$drivers/$name/shim.so" ]; then
    preload=(--preload "$drivers/$name/shim.so")
    # Cached pipelines would take no time and have no statistics.
    export MESA_SHADER_CACHE_DISABLE=true
fi
if [ "$name" = lavapipe26 ] || [ ${#preload[@]} -gt 0 ]; then
    root=$drivers/mesa26
    # A folder from before there were vendors' drivers.
    [ -e "$root" ] || root=$drivers/$name
    loader=$(find "$root/usr" "$root/lib64" -name 'ld-linux-*' 2>/dev/null | head -n 1)
    libraries=$(find "$root" -type d -name '*-linux-gnu' -path '*lib/*' | paste -sd:)
    exec "$loader" "${preload[@]}" --library-path "$libraries" "$@"
fi
exec "$@"
