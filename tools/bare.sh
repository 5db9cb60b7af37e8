#!/bin/bash
# `make test` on a minimal system: a Debian from debootstrap's smallest variant with make, git and ca-certificates, on a
# clone of this repository's HEAD. It shows everything that a test needs and tools/setup.sh does not install.
#   tools/bare.sh [--into DIR] [--suite NAME] [COMMAND...]      COMMAND: default make test; for example: make demo
# DIR (default: target/bare) is created once and reused, with everything installed in it; the clone and its build are new each time.
# Remove DIR to start from a bare system again. Needs root and debootstrap (installed if apt is there).
# Packages and crates come from the same places as on this system: it copies the mirrors and proxies of apt, cargo's config.toml, the
# certificates of /usr/local/share/ca-certificates, and the proxies and CARGO_* of the environment. Takes half an hour on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."
into=target/bare
suite=bookworm
while [ $# -gt 0 ]; do
    case $1 in
        --into) into=${2:?--into needs a folder}; shift 2 ;;
        --suite) suite=${2:?--suite needs a name}; shift 2 ;;
        -*) sed -n '2,9s/^# //p' "$0" >&2; exit 2 ;;
        *) break ;;
    esac
done
[ $# -gt 0 ] || set -- make test
[ "$(id -u)" = 0 ] || { echo "tools/bare.sh needs root, for debootstrap and chroot" >&2; exit 1; }
command -v debootstrap >/dev/null || { apt-get update -q && apt-get install -y -q --no-install-recommends debootstrap; }

mkdir -p "$into"
root=$(cd "$into" && pwd)
# One line per archive of the suite that apt has here: SITE RELEASE.
archives=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' 2>/dev/null |
    awk -v suite="$suite" '$2 == suite || index($2, suite "-") == 1' | sort -u)
[ -n "$archives" ] || { echo "apt has no archive of $suite: add one to its sources, or pass --suite NAME" >&2; exit 1; }

if [ ! -e "$root/made" ]; then
    mirror=$(awk -v suite="$suite" '$2 == suite { print $1; exit }' <<<"$archives")
    debootstrap --variant=minbase --include=make,git,ca-certificates "$suite" "$root" "$mirror"
    awk '{ print "deb", $1, $2, "main" }' <<<"$archives" >"$root/etc/apt/sources.list"
    apt-config dump | grep -E '^Acquire::https?::.*[Pp]roxy' >"$root/etc/apt/apt.conf.d/90outside" || true
    mkdir -p "$root/usr/local/share/ca-certificates" "$root/root/.cargo"
    cp -r /usr/local/share/ca-certificates/. "$root/usr/local/share/ca-certificates/"
    chroot "$root" update-ca-certificates
    touch "$root/made"
fi
for config in "${CARGO_HOME:-$HOME/.cargo}"/config.toml "${CARGO_HOME:-$HOME/.cargo}"/config; do
    [ ! -f "$config" ] || cp "$config" "$root/root/.cargo/"
done
cp /etc/resolv.conf /etc/hosts "$root/etc/"
rm -rf "$root/diffews-wgpu"
git clone -q --no-hardlinks . "$root/diffews-wgpu"

# /dev has what debootstrap creates; beyond that, only /proc is needed.
mounted=
trap '[ -z "$mounted" ] || umount "$root/proc"' EXIT
if [ ! -e "$root/proc/self" ]; then
    mount -t proc proc "$root/proc"
    mounted=yes
fi
outside=()
while IFS= read -r name; do outside+=("$name=${!name}"); done < <(
    compgen -e | grep -E '^(CARGO_(HTTP|NET|REGISTR|SOURCE)|https?_proxy|HTTPS?_PROXY|no_proxy|NO_PROXY|all_proxy|ALL_PROXY)' || true)
env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin TERM="${TERM:-dumb}" LANG=C.UTF-8 "${outside[@]}" \
    chroot "$root" sh -c 'cd /diffews-wgpu && exec "$@"' sh "$@"
echo "passed on a bare $suite: $*"
