#!/usr/bin/env bash
# Compares the whole program at full size with PyTorch: tools/full_size.sh [DIRECTORY]
# Makes a random f16 checkpoint of Stable Diffusion 2.1's shape (2.6 GB), runs PyTorch's f32 forward pass and `infer` in both precisions at
# 512 x 512, and compares the maps. Needs Python 3.11, 12 GB of memory, 10 GB of disk.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=${1:-target/full-size}
python=${PYTHON:-$dir/venv/bin/python}
mkdir -p "$dir"
if ! command -v "$python" >/dev/null; then
    python3 -m venv "$dir/venv"
    "$dir/venv/bin/pip" install --quiet -r tools/reference/requirements.txt
fi
cargo build --release --locked
"$python" tools/reference/make_full_size.py "$dir" --expected
for precision in f32 f16; do
    bound=1e-5
    [ $precision = f16 ] && bound=3e-3
    # GNU time, if installed, reports the peak of host memory.
    timer=()
    [ -x /usr/bin/time ] && timer=(/usr/bin/time -f "%e s, peak resident memory %M KiB")
    "${timer[@]}" cargo run --release --locked --quiet -- infer -v --no-tune --json --force --precision $precision --weights "$dir" \
        --support "$dir/support_0.png" --mask "$dir/support_0_mask.png" --query "$dir/query.png" \
        --output "$dir/mask_$precision.png" --probability "$dir/map_$precision.npy"
    "$python" tools/reference/compare.py "$dir/map_$precision.npy" "$dir/map.npy" --bound $bound
done
