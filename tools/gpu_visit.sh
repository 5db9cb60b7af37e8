#!/usr/bin/env bash
# All that is to be known of a GPU, in one command of at most 8 minutes; everything goes into one folder.
#   tools/gpu_visit.sh pack DIR          builds, and puts the programs, pictures and this script into DIR, which needs nothing else
#   DIR/gpu_visit.sh run OUT [--brief]   there: self-check, suite, compile, bench, and a model of Stable Diffusion 2.1's size with
#                                        random weights made there. --brief: a part of each in a minute, the model a small one.
# OUT has summary.txt, and a report and a log of each step. Exits with 1 if a step failed. The adapter is the one that the
# environment names, else the best one (diffews-wgpu --help).
set -u
usage() { sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
# Seconds that all steps have together.
VISIT=470

pack() {
    local dir=$1
    cd "$here/.." || exit 1
    cargo build --quiet --release --locked --package diffews-wgpu --package diffews-helpers || exit 1
    mkdir -p "$dir/small" || exit 1
    cp target/release/diffews-wgpu target/release/random_model tools/gpu_visit.sh "$dir/"
    cp examples/0/support.png examples/0/support_mask.png examples/0/query.png "$dir/"
    cp tests/golden/sd21/unet/config.json "$dir/small/unet.json"
    cp tests/golden/sd21/vae/config.json "$dir/small/vae.json"
}

# step NAME SECONDS COMMAND...: its output goes to NAME.log; what it took, and how it ended, to the summary.
step() {
    local name=$1 most=$2 code started=$SECONDS last
    shift 2
    # None may take what the visit no longer has.
    [ $((SECONDS + most)) -le $VISIT ] || most=$((VISIT > SECONDS ? VISIT - SECONDS : 1))
    timeout --kill-after=10 "$most" "$@" >"$out/$name.log" 2>&1
    code=$?
    [ $code -ne 124 ] || echo "not done after $most s" >>"$out/$name.log"
    [ $code -eq 0 ] || failed+=("$name")
    # What it says at its end, where that is no data.
    last=$(tail -n 1 "$out/$name.log" | grep -v '^[]{}[]' | cut -c1-150)
    printf '%-12s exit %3d %4d s  %s\n' "$name" $code $((SECONDS - started)) "$last" | tee -a "$out/summary.txt"
}

run() {
    out=$1
    local brief=$2 infer model=$out/model
    mkdir -p "$out" && out=$(cd "$out" && pwd) || exit 1
    failed=()
    export DIFFEWS_CACHE=$out/cache
    local program=$here/diffews-wgpu
    infer=("$program" infer --force --support "$here/support.png" --mask "$here/support_mask.png")
    {
        date -u
        "$program" --version
        grep -m 1 'model name' /proc/cpuinfo 2>/dev/null
        nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null
    } >"$out/summary.txt"
    step devices 60 "$program" devices --json
    # The first result on this driver: the self-check comes before it.
    step self-check 120 env RUST_LOG=diffews_wgpu=info "${infer[@]}" --query "$here/query.png" --output "$out/mask.png" --json
    if [ -n "$brief" ]; then
        step suite 120 "$program" conformance --only '^(language/numbers|kernels/(affine|convert)/)' --json "$out/suite.json.gz" --force
        step compile 120 "$program" compile --models --json "$out/compile.json" --force
        step bench 60 "$program" bench --only SiLU --repetitions 1 --json
        step weights 60 "$here/random_model" "$model" "$here/small/unet.json" "$here/small/vae.json"
        infer+=(--size 64)
    else
        step suite 200 "$program" conformance --json "$out/suite.json.gz" --force
        step compile 60 "$program" compile --json "$out/compile.json" --force
        step bench 60 "$program" bench --json
        step weights 60 "$here/random_model" "$model"
        infer+=(--size 512)
    fi
    # Three queries: the first one pays for pipelines. The directory has copies, so that each is a result of its own.
    mkdir -p "$out/queries" "$out/found-f32" "$out/found-f16"
    for i in 0 1 2; do cp "$here/query.png" "$out/queries/$i.png"; done
    for precision in f32 f16; do
        step "model-$precision" 100 "${infer[@]}" --weights "$model" --precision $precision --query "$out/queries" \
            --output "$out/found-$precision" --probability "$out/found-$precision" --json -v
    done
    rm -rf "$model" "$out/queries"
    echo "${#failed[@]} steps failed${failed[*]:+: ${failed[*]}}, $SECONDS s in all" | tee -a "$out/summary.txt"
    [ ${#failed[@]} -eq 0 ]
}

case ${1:-} in
    pack) [ $# -eq 2 ] || usage; pack "$2" ;;
    run)
        [ $# -eq 2 ] || [ "${3:-}" = --brief ] || usage
        [ -x "$here/diffews-wgpu" ] || { echo "$here has no program: tools/gpu_visit.sh pack makes a folder that has"; exit 1; }
        run "$2" "${3:-}"
        ;;
    *) usage ;;
esac
