#!/bin/bash
# Fetches the drivers, layers and shader compilers for the conformance suite into a folder (default .drivers), by
# package name, without changing the system; lists at the end what could not be fetched.
#   tools/drivers.sh [--into DIR] [NAME...]      NAME: swiftshader lavapipe25 lavapipe26 validation dxc tint
# or radv nvk turnip honeykrisp anv: GPU vendors' drivers and compilers on top of a no-op kernel driver; not by default
# or glslc: for building other projects' Vulkan programs (tools/peers); not by default
# or wasm: a rustc for browsers (tools/web.sh); not by default
# Then: tools/with-driver.sh NAME command...
set -u
into=.drivers
names=()
while [ $# -gt 0 ]; do
    case $1 in
        --into) into=${2:?--into needs a folder}; shift 2 ;;
        -*) sed -n '2,8s/^# //p' "$0"; exit 2 ;;
        *) names+=("$1"); shift ;;
    esac
done
[ ${#names[@]} -gt 0 ] || names=(swiftshader lavapipe25 lavapipe26 validation dxc tint)
mkdir -p "$into" && into=$(cd "$into" && pwd -P) || exit 1
missing=()
arch=$(uname -m)

# The mirror that this system's package manager uses for its main archive.
mirror() {
    apt-get indextargets --format '$(REPO_URI) $(SITE)' 'Created-By: Packages' 2>/dev/null |
        awk '$1 ~ /\/debian\/?$/ { print $1; exit }'
}

# apt_in SUITE COMMAND...: apt-get with separate package lists, cache and set of installed packages.
apt_in() {
    local suite=$1 dir=$into/apt/$1 kind=deb uri
    shift
    [ "$1" != source ] || { kind=deb-src && dir=$dir-sources; }
    if [ ! -e "$dir/updated" ]; then
        uri=$(mirror)
        [ -n "$uri" ] || { echo "no Debian mirror among this system's package sources" >&2; return 1; }
        mkdir -p "$dir/state/lists/partial" "$dir/cache/archives/partial" "$dir/parts"
        : >"$dir/status"
        echo "$kind $uri $suite main" >"$dir/sources.list"
    fi
    local options=(-qq -o "Dir::State=$dir/state" -o "Dir::State::status=$dir/status" -o "Dir::Cache=$dir/cache"
        -o "Dir::Etc::sourcelist=$dir/sources.list" -o "Dir::Etc::sourceparts=$dir/parts"
        -o APT::Sandbox::User= -o Debug::NoLocking=1 -o Acquire::Languages=none)
    if [ ! -e "$dir/updated" ]; then
        apt-get "${options[@]}" update >&2 || return 1
        touch "$dir/updated"
    fi
    (
        cd "$dir/cache/archives" || exit
        # Outdated lists name versions that no longer exist.
        apt-get "${options[@]}" "$@" || { apt-get "${options[@]}" update >&2 && apt-get "${options[@]}" "$@"; }
    )
}

# icd FILE LIBRARY: writes the manifest by which the Vulkan loader finds a driver.
icd() {
    printf '{"file_format_version": "1.0.0", "ICD": {"library_path": "%s", "api_version": "1.3.0"}}\n' "$2" >"$1"
}

find_library() { find "$1" -name "$2" | head -n 1; }

unresolved() { ldd "$1" 2>/dev/null | awk '/not found/ { printf "%s ", $1 }'; }

# Debian's chromium-common contains SwiftShader and a recent validation layer, both of which need little more than libc.
get_chromium() {
    local root=$into/chromium
    [ -n "$(find_library "$root" libvk_swiftshader.so 2>/dev/null)" ] && return 0
    mkdir -p "$root"
    (cd "$root" && rm -f ./*.deb && apt-get -qq download chromium-common 2>/dev/null) ||
        (cd "$root" && apt_in stable download chromium-common && mv "$into"/apt/stable/cache/archives/chromium-common*.deb .) ||
        return 1
    dpkg -x "$root"/chromium-common*.deb "$root" && rm -f "$root"/*.deb
}

get_swiftshader() {
    get_chromium || return 1
    local library
    library=$(find_library "$into/chromium" libvk_swiftshader.so)
    [ -n "$library" ] || return 1
    mkdir -p "$into/swiftshader" && icd "$into/swiftshader/icd.json" "$library"
}

get_validation() {
    get_chromium || return 1
    local library
    library=$(find_library "$into/chromium" libVkLayer_khronos_validation.so)
    [ -n "$library" ] || return 1
    mkdir -p "$into/validation"
    cat >"$into/validation/VkLayer_khronos_validation.json" <<END
{"file_format_version": "1.2.0", "layer": {"name": "VK_LAYER_KHRONOS_validation", "type": "GLOBAL",
 "library_path": "$library", "api_version": "1.4.300", "implementation_version": "1",
 "description": "Khronos validation layer", "instance_extensions": [{"name": "VK_EXT_debug_utils", "spec_version": "1"}]}}
END
}

# A single package of the backports suite; its libraries are those of the distribution's own Mesa.
get_lavapipe25() {
    local root=$into/lavapipe25 library
    mkdir -p "$root"
    apt_in bookworm-backports download mesa-vulkan-drivers || return 1
    dpkg -x "$into"/apt/bookworm-backports/cache/archives/mesa-vulkan-drivers*.deb "$root" || return 1
    library=$(find_library "$root" libvulkan_lvp.so)
    icd "$root/icd.json" "$library"
    [ -z "$(unresolved "$library")" ] || { echo "lavapipe25 needs $(unresolved "$library")" >&2; return 1; }
}

# glslc of this system, to match its libc, and the loader to link with. Headers do not depend on libc, so take the newest, which other
# projects' sources require.
get_glslc() {
    local root=$into/glslc deb
    [ -e "$root/complete" ] && return 0
    mkdir -p "$root"
    (cd "$root" && rm -f ./*.deb && apt-get -qq download glslc libshaderc1 libvulkan1 libvulkan-dev spirv-headers) || return 1
    for deb in "$root"/*.deb; do dpkg -x "$deb" "$root" || return 1; done
    rm -rf "$root"/*.deb "$root/usr/include/vulkan" "$root/usr/include/vk_video"
    apt_in sid download libvulkan-dev || return 1
    mv "$into"/apt/sid/cache/archives/libvulkan-dev*.deb "$root/headers.deb" && mkdir -p "$root/newest" || return 1
    dpkg -x "$root/headers.deb" "$root/newest" && cp -r "$root"/newest/usr/include/* "$root/usr/include/" || return 1
    rm -rf "$root/headers.deb" "$root/newest"
    touch "$root/complete"
}

# The newest Mesa, with the loader and every library of its suite, because it may need a newer libc than the system's. It includes all
# drivers, and the shims that replace their kernel drivers.
get_mesa26() {
    local root=$into/mesa26 deb
    [ -e "$root/complete" ] && return 0
    mkdir -p "$root"
    apt_in sid install --download-only -y --no-install-recommends mesa-vulkan-drivers libvulkan1 mesa-drm-shim || return 1
    for deb in "$into"/apt/sid/cache/archives/*.deb; do dpkg -x "$deb" "$root" || return 1; done
    [ -n "$(find_library "$root/usr" 'ld-linux-*')" ] && touch "$root/complete"
}

# mesa26 NAME DRIVER [SHIM]: writes the manifest of one of its drivers, and finds the shim that it needs.
mesa26() {
    local library shim
    get_mesa26 || return 1
    mkdir -p "$into/$1"
    library=$(find_library "$into/mesa26" "libvulkan_$2.so")
    [ -n "$library" ] || { echo "Mesa has no driver $2 for $arch"; return 1; }
    if [ $# -gt 2 ]; then
        shim=$(find_library "$into/mesa26" "lib$3_noop_drm_shim.so")
        [ -n "$shim" ] || { echo "Mesa has no shim $3 for $arch"; return 1; }
        ln -sf "$shim" "$into/$1/shim.so"
    fi
    icd "$into/$1/icd.json" "$library"
}

# Debian's packages lack Intel's shim, so build it from Mesa's source with the system's C compiler. It is taken from a stable version with
# exactly these files; the kernel interface that it emulates does not change with Mesa. Prints nothing unless it fails.
intel_shim() {
    local root=$into/anv source file objects=()
    [ -e "$root/shim.so" ] && return 0
    mkdir -p "$root/source/made" && apt_in trixie source --download-only mesa=25.0.7-2+deb13u1 || return 1
    source=$root/source
    tar -xf "$into"/apt/trixie-sources/cache/archives/mesa_25.0.7.orig.tar.xz -C "$source" --strip-components 1 --wildcards \
        '*/include' '*/src/c11' '*/src/compiler' '*/src/drm-shim' '*/src/intel' '*/src/util' || return 1
    python3 -m pip install -q --target "$source/python" Mako >&2 || return 1
    (
        cd "$source" && export PYTHONPATH=$source/python
        cd src/intel/dev && python3 gen_wa_helpers.py mesa_defs.json intel_wa.h intel_wa.c &&
            python3 intel_device_info_gen_h.py intel_device_info_gen.h &&
            python3 intel_device_info_serialize_gen_c.py intel_device_info_serialize_gen.c
    ) || return 1
    # Everything that it uses from libdrm.
    printf '%s\n' '#include <drm-uapi/drm.h>' 'enum { DRM_BUS_PCI, DRM_BUS_USB, DRM_BUS_PLATFORM, DRM_BUS_HOST1X };' >"$source/made/xf86drm.h"
    for file in src/drm-shim/{device,drm_shim} src/intel/tools/intel_noop_drm_shim src/intel/dev/{,i915/,xe/}intel_device_info \
        src/intel/dev/intel_{hwconfig,kmd,wa,device_info_serialize_gen} src/c11/impl/threads_posix \
        src/util/{anon_file,hash_table,log,os_misc,parson,ralloc,set,simple_mtx,u_call_once,u_debug,u_process,vma}; do
        objects+=("made/${file//\//_}.o")
        (cd "$source" && cc -O1 -fPIC -fvisibility=hidden -ffunction-sections -w -DNDEBUG -D_GNU_SOURCE -DHAVE_PTHREAD -DHAVE_FLOCK \
            -DHAVE_STRUCT_TIMESPEC -DHAVE_TIMESPEC_GET -DHAVE_MEMFD_CREATE -DHAVE_SECURE_GETENV -DHAVE_ENDIAN_H \
            -DHAVE_PROGRAM_INVOCATION_NAME -DHAVE_POSIX_MEMALIGN -DHAVE_FUNC_ATTRIBUTE_PACKED -DHAVE___BUILTIN_FFS \
            -DHAVE___BUILTIN_FFSLL -DHAVE___BUILTIN_UNREACHABLE -DUTIL_ARCH_LITTLE_ENDIAN=1 -DUTIL_ARCH_BIG_ENDIAN=0 \
            -Imade -Iinclude -Isrc -Isrc/intel -Isrc/intel/dev -c "$file.c" -o "${objects[-1]}") || return 1
    done
    (cd "$source" && cc -shared -Wl,--gc-sections,-z,defs -o ../shim.so "${objects[@]}" -lpthread -lm -ldl) && rm -r "$source"
}

get_lavapipe26() { mesa26 lavapipe26 lvp; }
get_radv() { mesa26 radv radeon amdgpu; }
get_nvk() { mesa26 nvk nouveau nouveau; }
get_turnip() { mesa26 turnip freedreno freedreno; }
get_honeykrisp() { mesa26 honeykrisp asahi asahi; }
# Without the shim, its manifest would name a driver that looks for a GPU.
get_anv() { get_mesa26 && intel_shim && mesa26 anv intel; }

# Microsoft's compiler for Linux, from the source package of a Python binding.
get_dxc() {
    local root=$into/dxc library
    mkdir -p "$root"
    python3 -m pip download -q --no-deps --no-binary :all: -d "$root" compushady==0.17.5 >&2
    [ -e "$root"/compushady-0.17.5.tar.gz ] || return 1
    tar -xzf "$root"/compushady-0.17.5.tar.gz -C "$root" --strip-components 1 || return 1
    library=$(find_library "$root" "libdxcompiler_$arch.so*")
    [ -n "$library" ] && ln -sf "$library" "$root/libdxcompiler.so"
}

get_tint() {
    mkdir -p "$into/tint" && npm install --silent --no-audit --no-fund --prefix "$into/tint" webgpu@0.6.2
}

# through FILE PROGRAM: writes a script that runs a program with the libc and libraries that came with it.
through() {
    local root=$into/wasm/usr lib
    lib=$(dirname "$(find_library "$root/lib" 'ld-linux-*')")
    [ -x "$2" ] && [ -n "$lib" ] || return 1
    printf '#!/bin/sh\nexec "%s" --library-path "%s" "%s" "$@"\n' "$(find_library "$lib" 'ld-linux-*')" "$lib:$root/lib" "$2" >"$1"
    chmod +x "$1"
}

# The newest rustc, and its linker for browsers, where rustup cannot fetch them.
get_wasm() {
    local root=$into/wasm deb
    mkdir -p "$root/debs/partial"
    apt_in sid -o Dir::Cache::archives="$root/debs" install --download-only -y --no-install-recommends rustc libstd-rust-dev-wasm32 lld || return 1
    for deb in "$root"/debs/*.deb; do dpkg -x "$deb" "$root" || return 1; done
    rm -r "$root/debs"
    through "$root/wasm-ld" "$(find "$root"/usr/lib/llvm-*/bin -name wasm-ld -o -name lld | head -n 1)" &&
        through "$root/rustc" "$root/usr/bin/rustc" && "$root/rustc" --version
}

for name in "${names[@]}"; do
    case $name in swiftshader | lavapipe25 | lavapipe26 | validation | dxc | tint | radv | nvk | turnip | honeykrisp | anv | glslc | wasm) ;; *)
        echo "no such driver: $name" >&2
        exit 2
        ;;
    esac
    if log=$("get_$name" 2>&1); then
        echo "got $name"
    else
        missing+=("$name")
        echo "could not get $name: $(echo "$log" | tail -n 3)"
    fi
done
[ ${#missing[@]} -eq 0 ] || { echo "missing: ${missing[*]}"; exit 1; }
