#!/bin/sh
# Writes the public interface of the library, one item per line, to docs/public-api.txt. The file is committed, so that changes show in a
# diff.
#   tools/public_api.sh            needs cargo-public-api 0.52 (cargo install cargo-public-api --locked)
# rustdoc's JSON is not stable yet: with RUSTC_BOOTSTRAP the stable compiler writes it, in its own version of the format.
set -eu
cd "$(dirname "$0")/.."
RUSTC_BOOTSTRAP=1 cargo rustdoc --release --locked --lib -- -Z unstable-options --output-format json
cargo public-api -sss --rustdoc-json target/doc/diffews_wgpu.json >target/public-api.txt
mv target/public-api.txt docs/public-api.txt
