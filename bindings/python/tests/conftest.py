"""What tests share: the repository's pictures, one segmenter, and the command that results are compared with."""

import os
import subprocess
from pathlib import Path

import pytest
from PIL import Image

import diffews_wgpu

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def root():
    return ROOT


@pytest.fixture(scope="session")
def segmenter(tmp_path_factory):
    os.environ["DIFFEWS_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    return diffews_wgpu.Segmenter()


@pytest.fixture(scope="session")
def lemon():
    return ROOT / "examples/lemons/lemon_1.png", ROOT / "examples/lemons/lemon_1_mask.png"


@pytest.fixture(scope="session")
def bank(segmenter, lemon):
    return segmenter.encode(*lemon)


@pytest.fixture(scope="session")
def crate(tmp_path_factory):
    """A picture that is not square."""
    path = tmp_path_factory.mktemp("crate") / "crate.png"
    Image.open(ROOT / "examples/lemons/photos/crate_3.png").crop((0, 0, 256, 190)).save(path)
    return path


@pytest.fixture(scope="session")
def command():
    """Runs the command; its results go by the rule, as here."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    program = Path(os.environ.get("DIFFEWS_COMMAND", target / "release/diffews-wgpu")).resolve()
    if not program.exists():
        pytest.skip(f"{program} is not built")

    def run(*args):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("DIFFEWS_") or k == "DIFFEWS_CACHE"}
        done = subprocess.run([program, *map(str, args)], capture_output=True, text=True, env={**environment, "DIFFEWS_TUNE": "0"})
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
