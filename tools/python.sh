#!/bin/bash
# Installs the Python package like a user, and runs its tests: `pip install` of bindings/python in a virtual environment
# (target/python/venv), which is created if missing. Results are compared with the command's, which must be built.
#   tools/python.sh [pytest's arguments...]        PYTHON=python3.12 tools/python.sh: with another interpreter, 3.11 or newer
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3} venv=target/python/venv
export DIFFEWS_COMMAND=${DIFFEWS_COMMAND:-${CARGO_TARGET_DIR:-target}/release/diffews-wgpu}
[ -x "$DIFFEWS_COMMAND" ] || { echo "$DIFFEWS_COMMAND, which results are compared with, does not exist; build it first (make)"; exit 1; }

command -v "$python" >/dev/null && "$python" -c 'import ensurepip, venv' 2>/dev/null || {
    command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] && [ "$python" = python3 ] ||
        { echo "$python with venv and pip is missing; install them (Debian: python3 and python3-venv)"; exit 1; }
    apt-get update -q && apt-get install -y -q --no-install-recommends python3 python3-venv
}
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
"$venv/bin/pip" install -q --disable-pip-version-check -r bindings/python/tests/requirements.txt
# pip fetches maturin, and maturin calls cargo. A package of the same version is installed again.
"$venv/bin/pip" install -q --disable-pip-version-check --no-deps --force-reinstall ./bindings/python
"$venv/bin/python" -m pytest -q bindings/python/tests "$@"
