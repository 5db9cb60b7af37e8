#!/bin/sh
# A wrapper of rustc: compiles the crates that read untrusted files with a counter on each edge (LLVM's coverage sanitizer, which stable
# Rust can pass on), and all others unchanged.
rustc=$1
shift
previous=
for argument in "$@"; do
    if [ "$previous" = --crate-name ]; then
        case $argument in
            diffews_wgpu | image | png | tiff | gif | zune_* | *jpeg_* | image_webp | fdeflate | miniz_oxide | flate2 | weezl | moxcms | fax | \
                safetensors | serde_json | tar | half | memchr | regex | color_quant | base64)
                exec "$rustc" "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=3 \
                    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
                ;;
        esac
    fi
    previous=$argument
done
exec "$rustc" "$@"
