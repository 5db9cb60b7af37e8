#!/bin/bash
# Builds the page with the engine inside, as a folder for any web server: target/web. Then tests it in a browser (tools/web/test.mjs).
#   tools/web.sh [build] [test]      both by default
# Fetches missing tools: rustup's target for browsers, or Debian's rustc with it (into .drivers or $DRIVERS); for the test, node and
# Chromium on Debian and Ubuntu. wasm-opt, if present, makes the module smaller.
set -euo pipefail
cd "$(dirname "$0")/.."
export DRIVERS=${DRIVERS:-$PWD/.drivers}
export CARGO_TARGET_DIR=$PWD/target
target=wasm32-unknown-unknown
out=target/web
[ $# -gt 0 ] || set -- build test

# Builds the module with a rustc that has the target, and sets its path.
module() {
    local cargo=(cargo build --locked --profile wasm --target $target --package diffews-web)
    module=target/$target/wasm/diffews_web.wasm
    if [ -d "$(rustc --print target-libdir --target $target 2>/dev/null)" ] ||
        { command -v rustup >/dev/null && rustup target add $target; }; then
        "${cargo[@]}"
    else
        [ -x "$DRIVERS/wasm/rustc" ] || tools/drivers.sh --into "$DRIVERS" wasm
        # It cannot use the output of another rustc.
        module=target/sid/$target/wasm/diffews_web.wasm
        env -u RUSTC_WRAPPER RUSTC="$DRIVERS/wasm/rustc" CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER="$DRIVERS/wasm/wasm-ld" \
            "${cargo[@]}" --target-dir target/sid
    fi
}

# put FILE FOLDER: copies it under a name with its hash, so that no cache confuses versions, and prints the name.
put() {
    local name hash
    name=$(basename "$1")
    hash=$(sha256sum "$1" | cut -c1-16) || exit 1
    mkdir -p "$out/$2" && cp "$1" "$out/$2/${name%.*}.$hash.${name##*.}" || exit 1
    echo "$2/${name%.*}.$hash.${name##*.}"
}

# weights: the model's files, in the format that web/src/assets.ts reads.
weights() {
    local paths path url bytes hash comma=
    paths=$(cd weights/nano && find . -name '*.json' -o -name '*.safetensors' | cut -c3- | sort) || exit 1
    for path in $paths; do
        url=$(put "weights/nano/$path" "$(dirname "weights/$path")") || exit 1
        bytes=$(wc -c <"weights/nano/$path") || exit 1
        hash=$(sha256sum "weights/nano/$path" | cut -d' ' -f1) || exit 1
        printf '%s\n    "%s": {"url": "%s", "bytes": %d, "sha256": "%s"}' "$comma" "$path" "$url" "$bytes" "$hash"
        comma=,
    done
}

build() {
    local made=target/web-module module version pictures glue engine files
    command -v sha256sum >/dev/null || { echo "sha256sum is missing; install it (coreutils)"; exit 1; }
    sh tools/setup.sh
    module
    cargo build --quiet --locked --release --package diffews-bindgen
    rm -rf "$out" "$made"
    target/release/diffews-bindgen "$module" "$made"
    if command -v wasm-opt >/dev/null; then
        if wasm-opt -Os --all-features "$made/diffews_web_bg.wasm" -o "$made/smaller.wasm"; then
            mv "$made/smaller.wasm" "$made/diffews_web_bg.wasm"
        else
            echo "wasm-opt failed; the module stays as it was built" >&2
        fi
    fi
    mkdir -p "$out"
    cp -r web/*.html web/*.css web/dist "$out"
    # The pictures that the page shows at first.
    for pictures in 0 1 2; do
        mkdir -p "$out/examples/$pictures"
        cp "examples/$pictures"/{support,support_mask,query}.png "$out/examples/$pictures"
    done
    # The page asks for a server first; this file answers that there is none.
    echo '{"status": "no server"}' >"$out/health"
    # Makes GitHub Pages serve all files.
    touch "$out/.nojekyll"
    version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
    # Separately, because a failing substitution among arguments does not stop the script.
    glue=$(put "$made/diffews_web.js" engine) || exit 1
    engine=$(put "$made/diffews_web_bg.wasm" engine) || exit 1
    files=$(weights) || exit 1
    printf '{\n  "version": "%s",\n  "glue": "%s",\n  "module": "%s",\n  "weights": {%s\n  }\n}\n' "$version" \
        "$glue" "$engine" "$files" >"$out/engine.json"
    echo "$out: $(du -sh "$out" | cut -f1); the module $(wc -c <"$(ls "$out"/engine/*.wasm)") bytes, $(gzip -9c "$out"/engine/*.wasm | wc -c) after gzip"
}

try() {
    local packages=()
    command -v node >/dev/null || packages+=(nodejs)
    command -v "${CHROME:-chromium}" >/dev/null || packages+=(chromium)
    if [ ${#packages[@]} -gt 0 ]; then
        command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] ||
            { echo "the test needs node and Chromium (CHROME= names it); not installed: ${packages[*]}"; exit 1; }
        apt-get update -q && apt-get install -y -q --no-install-recommends "${packages[@]}"
    fi
    cargo build --quiet --locked --release
    node tools/web/test.mjs
}

for step in "$@"; do
    case $step in
        build) build ;;
        test) try ;;
        *) sed -n '2,5s/^# //p' "$0"; exit 2 ;;
    esac
done
