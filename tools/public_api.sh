#!/bin/sh
# The public face of the library, one item a line, into docs/public-api.txt: committed, so that a change of it is seen in a diff.
#   tools/public_api.sh            needs cargo-public-api 0.52 (cargo install cargo-public-api --locked)
# rustdoc's JSON is not stable yet: RUSTC_BOOTSTRAP has the stable compiler write it, in the form of its own version.
set -eu
cd "$(dirname "$0")/.."
RUSTC_BOOTSTRAP=1 cargo rustdoc --release --locked --lib -- -Z unstable-options --output-format json
cargo public-api -sss --rustdoc-json target/doc/diffews_wgpu.json >target/public-api.txt
mv target/public-api.txt docs/public-api.txt
