"""What is written is true: docstrings, the README, docs/python.md, types."""

import doctest
import importlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MODULES = ["diffews_wgpu", "diffews_wgpu._errors", "diffews_wgpu._inputs", "diffews_wgpu._result", "diffews_wgpu._segmenter", "diffews_wgpu._write"]


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(root, monkeypatch, name):
    monkeypatch.chdir(root)
    done = doctest.testmod(importlib.import_module(name))
    assert done.failed == 0
    assert done.attempted > 0 or name in ("diffews_wgpu._errors", "diffews_wgpu._result")


def blocks(path):
    return re.findall(r"^```python\n(.*?)^```", path.read_text(encoding="utf-8"), re.M | re.S)


@pytest.fixture
def desk(root, tmp_path, monkeypatch):
    """The names that pages use, in the folder that they are run in."""
    for name in ("support.png", "support_mask.png", "query.png"):
        shutil.copy(root / "examples/0" / name, tmp_path / name)
    (tmp_path / "photos").mkdir()
    for path in (root / "examples/lemons/photos").iterdir():
        shutil.copy(path, tmp_path / "photos" / path.name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_readme(root, desk):
    (block,) = [block for block in blocks(root / "README.md") if "diffews_wgpu" in block]
    names = {}
    exec(compile(block, "README.md", "exec"), names)
    assert names["result"].mask.shape == names["result"].shape


@pytest.mark.parametrize("page", ["docs/python.md", "bindings/python/README.md"])
def test_pages(root, desk, page):
    names = {}
    for block in blocks(root / page):
        exec(compile(block, page, "exec"), names)


def test_types(tmp_path):
    pytest.importorskip("mypy")
    here = Path(__file__).parent
    mypy = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", tmp_path]
    done = subprocess.run([*mypy, here / "typed.py", *here.parent.glob("python/diffews_wgpu/*.py")], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    # The lines of typed.py that are wrong are found: without their comments they fail.
    wrong = tmp_path / "wrong.py"
    wrong.write_text(re.sub(r"  # type: ignore\S*", "", (here / "typed.py").read_text()))
    done = subprocess.run([*mypy, wrong], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.count("error:") == 3, done.stdout


def test_stubs(tmp_path):
    pytest.importorskip("mypy")
    command = [sys.executable, "-m", "mypy.stubtest", "diffews_wgpu._native"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
