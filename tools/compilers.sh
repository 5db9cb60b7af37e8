#!/bin/sh
# Every kernel, variant and storage through the shader compilers that tools/drivers.sh fetched: Tint and DXC.
set -eu
cd "$(dirname "$0")/.."
drivers=${DRIVERS:-.drivers}
out=${1:-target/shaders}
rm -rf "$out"
cargo run --quiet --release --example dump_shaders -- "$out"
node tools/tint/lint.mjs --webgpu "$drivers/tint/node_modules/webgpu" "$out"
python3 tools/dxc/compile.py --library "$drivers/dxc/libdxcompiler.so" --spirv "$out/spirv" "$out"
