#!/bin/bash
# Every sensible set of cargo features passes clippy, and the library's dependency tree has no crate of the command.
set -euo pipefail
cd "$(dirname "$0")/.."
for features in "" embedded eval eval,embedded conformance conformance,embedded,eval fetch serve cli cli,https; do
    echo "features: ${features:-none}"
    cargo clippy --release --locked --all-targets --no-default-features --features "$features" --quiet -- -D warnings
done
tree=$(cargo tree --locked -p diffews-wgpu -e normal --no-default-features --features embedded --prefix none | cut -d' ' -f1 | sort -u)
if grep -xE 'anyhow|clap|clap_complete|clap_mangen|ctrlc|env_logger|ring|rustls|ureq|indicatif|signal-hook|regex|tar|axum|hyper|tokio' <<<"$tree"; then
    echo "the library's own tree contains these crates of the command"
    exit 1
fi
echo "the library's own tree has $(wc -l <<<"$tree") crates, none of the command's"
