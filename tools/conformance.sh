#!/bin/bash
# Runs the `conformance` command of the release binary under every driver that tools/drivers.sh fetched, with a report of each; joins all
# reports on one page; then runs the shader compilers. Exits with 1 if anything fails or nothing ran.
#   tools/conformance.sh [--full | --whole | --brief] [--into DIR] [--command-only] [DRIVER...]
# Named drivers must be present; of the others, missing ones are reported. By default, cases that cannot differ from another driver's
# or that take minutes are skipped (see `part`). --whole runs all of the command's quick mode everywhere. --full runs every case in
# every form, the stress test and the parity tests. --brief, for CI, runs only kernels with f32 and packed f16 storage, in one form per
# text, and the model in f32. --command-only skips the parity tests and the compilers. Reports go to
# DIR/DRIVER.json.gz, DIR/DRIVER.log and DIR/all.html (default: target/conformance).
set -u
cd "$(dirname "$0")/.." || exit 1
into=target/conformance
full=()
whole=
brief=
others=yes
while [ $# -gt 0 ]; do
    case $1 in
        --into) into=${2:?--into needs a folder}; shift 2 ;;
        --full) full=(--full) whole=yes; shift ;;
        --whole) whole=yes; shift ;;
        --brief) brief=yes; shift ;;
        --command-only) others=; shift ;;
        -*) sed -n '2,10s/^# //p' "$0"; exit 2 ;;
        *) break ;;
    esac
done
DRIVERS=${DRIVERS:-.drivers}
mkdir -p "$DRIVERS" "$into" && DRIVERS=$(cd "$DRIVERS" && pwd) && into=$(cd "$into" && pwd) || exit 1
export DRIVERS
unset DIFFEWS_BACKEND DIFFEWS_ADAPTER DIFFEWS_CHECKED WGPU_ADAPTER_NAME
named=("$@")
[ $# -gt 0 ] || set -- lavapipe lavapipe@128 lavapipe@512 lavapipe25 lavapipe26 swiftshader llvmpipe-gl
failed=()
reports=()

# The cases to run on each driver in little time, as a regular expression; empty means all of the quick mode.
part() {
    [ -z "$whole" ] || return 0
    if [ -n "$brief" ]; then
        # One form per text.
        echo '^(language/|kernels/.*/(f32|packed)/(plain|(winograd-)?(tiled|broadcast|rows)-64(-u64)?)$|blocks/.*/f32/rule)'
        return
    fi
    case $1 in
        # Another vector width only changes the subgroup size, so run the forms that depend on it. With 4 lanes there is no broadcast form.
        *@128) echo '^(language/(barriers|subgroups)/|kernels/.*/(winograd-)?rows-[0-9]+$|blocks/.*/rule$)' ;;
        *@*) echo '^(language/(barriers|subgroups)/|kernels/.*/(winograd-)?broadcast-[0-9]+$|blocks/.*/rule$)' ;;
        # Repeated runs of the model take minutes there.
        swiftshader | llvmpipe-gl) echo '^(language|kernels|blocks)/' ;;
    esac
}

present() {
    case ${1%@*} in
        lavapipe25 | lavapipe26 | swiftshader) [ -e "$DRIVERS/${1%@*}/icd.json" ] ;;
        lavapipe) compgen -G '/usr/share/vulkan/icd.d/lvp_icd*.json' >/dev/null || compgen -G '/etc/vulkan/icd.d/lvp_icd*.json' >/dev/null ;;
        llvmpipe-gl) /sbin/ldconfig -p | grep -q 'libEGL\.so\.1' ;;
        *)
            echo "no such driver: $1" >&2
            exit 2
            ;;
    esac
}

there=()
for driver in "$@"; do
    if present "$driver"; then
        there+=("$driver")
        continue
    fi
    case ${driver%@*} in
        lavapipe) how="install the system's mesa-vulkan-drivers and libvulkan1" ;;
        llvmpipe-gl) how="install the system's libegl1 and libgl1-mesa-dri" ;;
        *) how="tools/drivers.sh ${driver%@*} fetches it" ;;
    esac
    echo "skipped $driver: $how"
    [ ${#named[@]} -eq 0 ] || failed+=("$driver: not there")
done
[ ${#there[@]} -gt 0 ] || { echo "no driver ran"; exit 1; }
program=target/release/diffews-wgpu
cargo build --quiet --release --locked || exit 1

for driver in "${there[@]}"; do
    options=("${full[@]}")
    only=$(part "$driver")
    [ -z "$only" ] || options+=(--only "$only")
    if [ -n "$brief" ] && [ "$driver" = swiftshader ]; then
        # A minute each there; smaller cases cover the same loops.
        echo 'kernels\.attention\..*\.4096-queries' >"$into/$driver.skips"
        options+=(--skips "$into/$driver.skips")
    fi
    rm -f "$into/$driver.json.gz" "$into/$driver.json.gz.journal"
    SECONDS=0
    tools/with-driver.sh "$driver" $program conformance "${options[@]}" --json "$into/$driver.json.gz" >"$into/$driver.log" 2>&1
    code=$?
    summary=$(grep -E '^[0-9]+ cases on ' "$into/$driver.log")
    echo "$driver: ${summary:-no summary} (${only:+only $only, }exit code $code, $SECONDS s)"
    [ $code -eq 0 ] || { failed+=("$driver: see $into/$driver.log"); grep '^FAIL' "$into/$driver.log" | head -n 5; }
    [ -e "$into/$driver.json.gz" ] && reports+=("$into/$driver.json.gz")
done
[ ${#reports[@]} -gt 0 ] || { echo "no driver gave a report"; exit 1; }
$program conformance --from "${reports[@]}" --html "$into/all.html" --force 2>/dev/null

if [ -n "$others" ] && [ ${#full[@]} -gt 0 ]; then
    parity=$(cargo test --release --locked --no-run --test parity 2>&1 | sed -n 's/.*Executable tests\/.*(\(.*\))/\1/p')
    [ -n "$parity" ] || { echo "the parity test did not build"; exit 1; }
    for driver in "${there[@]}"; do
        SECONDS=0
        log=$into/$driver-parity.log
        if tools/with-driver.sh "$driver" "$parity" --nocapture >"$log" 2>&1; then result=passed; else
            result="FAILED, see $log"
            failed+=("$driver: parity, see $log")
        fi
        echo "$driver: parity with PyTorch $result ($SECONDS s)"
    done
fi

if [ -n "$others" ]; then
    if [ -e "$DRIVERS/tint" ] && [ -e "$DRIVERS/dxc" ]; then
        tools/compilers.sh || failed+=("compilers")
    else
        echo "skipped Tint and DXC: tools/drivers.sh tint dxc fetches them"
    fi
fi
[ ${#failed[@]} -eq 0 ] || { printf 'failed: %s\n' "${failed[@]}"; exit 1; }
