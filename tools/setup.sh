#!/bin/sh
# Installs the requirements for building and running on Debian and Ubuntu, if they are missing: a C linker, Rust, and a GPU or CPU driver.
# On other systems, it says what to install. Changes nothing if everything is present.
set -eu

rust_needed=1.89

say() { printf '%s\n' "$*" >&2; }
die() { say "setup: $*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# $1 >= $2, both as 1.2 or 1.2.3
at_least() {
    [ "$(printf '%s\n%s\n' "$2" "$1" | sort -t. -k1,1n -k2,2n -k3,3n | head -n 1)" = "$2" ]
}

# A rustup installation that is not in this shell's PATH yet.
[ ! -d "${CARGO_HOME:-$HOME/.cargo}/bin" ] || PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"

updated=
apt_update() {
    [ -n "$updated" ] || as_root apt-get update -q >&2
    updated=yes
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif have sudo; then
        sudo "$@"
    else
        die "this needs root, and there is no sudo: $*"
    fi
}

apt_install() {
    say "setup: installing $*"
    apt_update
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >&2
}

linker() {
    ! have cc || return 0
    if have apt-get; then
        apt_install gcc libc6-dev
    else
        die "no C compiler (cc) for linking; install gcc or clang with your package manager (macOS: xcode-select --install)"
    fi
}

rust_version() { cargo --version 2>/dev/null | cut -d' ' -f2 | cut -d- -f1; }

rust() {
    version=$(rust_version || true)
    if [ -n "$version" ] && at_least "$version" "$rust_needed"; then
        return 0
    fi
    if have apt-get && ! have rustup; then
        apt_update
        # For browsers' sake, Debian has a newer Rust beside its own, named cargo-web.
        for package in cargo cargo-web; do
            offered=$(apt-cache policy "$package" 2>/dev/null | sed -n 's/^ *Candidate: *\([0-9.]*\).*/\1/p')
            # Up to bookworm, cargo had its own version numbers: 0.66 came with Rust 1.65.
            case $offered in 1.*) ;; *) continue ;; esac
            if at_least "$offered" "$rust_needed"; then
                apt_install "$package" ca-certificates
                return 0
            fi
        done
    fi
    die "Rust $rust_needed or newer is needed${version:+ (found $version)}: get it from https://rustup.rs, or run 'rustup update'"
}

# Whether a Vulkan driver is installed, and the loader that finds it.
vulkan() {
    [ -z "${VK_ICD_FILENAMES:-}${VK_DRIVER_FILES:-}" ] || return 0
    found=
    for directory in /usr/share /usr/local/share /etc "${XDG_DATA_HOME:-$HOME/.local/share}" /run/opengl-driver/share; do
        for file in "$directory"/vulkan/icd.d/*.json; do
            [ ! -e "$file" ] || found=yes
        done
    done
    [ -n "$found" ] || return 1
    if [ -x /sbin/ldconfig ]; then
        /sbin/ldconfig -p | grep -q 'libvulkan\.so\.1'
    fi
}

driver() {
    # macOS has Metal.
    [ "$(uname -s)" = Linux ] || return 0
    ! vulkan || return 0
    if have apt-get; then
        apt_install mesa-vulkan-drivers libvulkan1
        vulkan || die "no Vulkan driver works, even after installing mesa-vulkan-drivers"
    elif have dnf; then
        die "no Vulkan driver; install one: sudo dnf install mesa-vulkan-drivers vulkan-loader"
    elif have pacman; then
        die "no Vulkan driver; install your GPU's, or for the CPU: sudo pacman -S vulkan-swrast vulkan-icd-loader"
    else
        die "no Vulkan driver; install your GPU's, or Mesa's lavapipe for the CPU, and the Vulkan loader"
    fi
}

linker
rust
driver
