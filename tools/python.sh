#!/bin/bash
# The Python package as its users install it, and its tests: `pip install` of bindings/python in a virtual environment
# (target/python/venv), which is made where it is not there. Results are compared with those of the command, which must be built.
#   tools/python.sh [pytest's arguments...]        PYTHON=python3.12 tools/python.sh: with another interpreter, 3.11 or newer
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3} venv=target/python/venv
export DIFFEWS_COMMAND=${DIFFEWS_COMMAND:-${CARGO_TARGET_DIR:-target}/release/diffews-wgpu}
[ -x "$DIFFEWS_COMMAND" ] || { echo "there is no $DIFFEWS_COMMAND to compare with; build it first (make)"; exit 1; }

command -v "$python" >/dev/null && "$python" -c 'import ensurepip, venv' 2>/dev/null || {
    command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] && [ "$python" = python3 ] ||
        { echo "there is no $python with venv and pip; install them (Debian: python3 and python3-venv)"; exit 1; }
    apt-get update -q && apt-get install -y -q --no-install-recommends python3 python3-venv
}
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
"$venv/bin/pip" install -q --disable-pip-version-check -r bindings/python/tests/requirements.txt
# pip asks for maturin by itself, and maturin for cargo. A package of the same version is installed again.
"$venv/bin/pip" install -q --disable-pip-version-check --no-deps --force-reinstall ./bindings/python
"$venv/bin/python" -m pytest -q bindings/python/tests "$@"
