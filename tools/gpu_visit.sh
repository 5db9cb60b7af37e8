#!/usr/bin/env bash
# Measures everything of interest on a GPU, in one command of at most 8 minutes; all results go to one folder.
#   tools/gpu_visit.sh pack DIR          builds, and copies the program, pictures and this script to DIR, which is then self-contained
#   DIR/gpu_visit.sh run OUT [--brief]   there: self-check, suite, compile, bench with the roof, and a model of Stable Diffusion 2.1's
#                                        size with random weights. --brief: a part of each in a minute, the model a small one.
# OUT has summary.txt, and a report and a log of each step. Exits with 1 if a step failed. The environment selects the
# adapter; default: the best one (diffews-wgpu --help).
set -u
usage() { sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
# Seconds for all steps together.
VISIT=470

pack() {
    local dir=$1
    cd "$here/.." || exit 1
    cargo build --quiet --release --locked --package diffews-wgpu || exit 1
    mkdir -p "$dir" || exit 1
    cp target/release/diffews-wgpu tools/gpu_visit.sh "$dir/"
    cp examples/0/support.png examples/0/support_mask.png examples/0/query.png "$dir/"
}

# step NAME SECONDS COMMAND...: writes its output to NAME.log, and its time and exit code to the summary.
step() {
    local name=$1 most=$2 code started=$SECONDS last
    shift 2
    # No step may exceed the remaining time.
    [ $((SECONDS + most)) -le $VISIT ] || most=$((VISIT > SECONDS ? VISIT - SECONDS : 1))
    timeout --kill-after=10 "$most" "$@" >"$out/$name.log" 2>&1
    code=$?
    [ $code -ne 124 ] || echo "not done after $most s" >>"$out/$name.log"
    [ $code -eq 0 ] || failed+=("$name")
    # Its last line of output, unless that is data.
    last=$(tail -n 1 "$out/$name.log" | grep -v '^[]{}[]' | cut -c1-150)
    printf '%-12s exit %3d %4d s  %s\n' "$name" $code $((SECONDS - started)) "$last" | tee -a "$out/summary.txt"
}

run() {
    out=$1
    local brief=$2 infer model
    mkdir -p "$out" && out=$(cd "$out" && pwd) || exit 1
    failed=()
    export DIFFEWS_CACHE=$out/cache
    local program=$here/diffews-wgpu
    infer=("$program" infer --no-tune --force --support "$here/support.png" --mask "$here/support_mask.png")
    {
        date -u
        "$program" --version
        grep -m 1 'model name' /proc/cpuinfo 2>/dev/null
        nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null
    } >"$out/summary.txt"
    step devices 60 "$program" devices --json
    # The first result on this driver includes the self-check.
    step self-check 120 env RUST_LOG=diffews_wgpu=info "${infer[@]}" --query "$here/query.png" --output "$out/mask.png" --json
    # The fastest forms for the embedded model's layers.
    step tune 60 "$program" tune --all --seconds $([ -n "$brief" ] && echo 1 || echo 20) --json
    if [ -n "$brief" ]; then
        step suite 120 "$program" conformance --only '^(language/numbers|kernels/(affine|convert)/)' --json "$out/suite.json.gz" --force
        step compile 120 "$program" compile --models --json "$out/compile.json" --force
        step bench 60 "$program" bench --only SiLU --repetitions 1 --json
        model=(--model embedded --size 64 --repetitions 1)
    else
        step suite 200 "$program" conformance --json "$out/suite.json.gz" --force
        step compile 60 "$program" compile --json "$out/compile.json" --force
        step bench 60 "$program" bench --json
        model=(--model sd21 --size 512)
    fi
    for precision in f32 f16; do
        step "model-$precision" 100 "$program" bench "${model[@]}" --random --precision $precision --json
    done
    # The time of each part of a query.
    step trace 60 "${infer[@]}" --query "$here/query.png" --output "$out/traced.png" --trace "$out/trace.json" --json
    echo "${#failed[@]} steps failed${failed[*]:+: ${failed[*]}}, $SECONDS s in total" | tee -a "$out/summary.txt"
    [ ${#failed[@]} -eq 0 ]
}

case ${1:-} in
    pack) [ $# -eq 2 ] || usage; pack "$2" ;;
    run)
        [ $# -eq 2 ] || [ "${3:-}" = --brief ] || usage
        [ -x "$here/diffews-wgpu" ] || { echo "$here has no program: make the folder with tools/gpu_visit.sh pack"; exit 1; }
        run "$2" "${3:-}"
        ;;
    *) usage ;;
esac
