"""Starts our server for the checks in this folder."""

import contextlib
import pathlib
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples/0"
PROGRAM = ROOT / "target/release/diffews-wgpu"


@contextlib.contextmanager
def server(program=PROGRAM, *flags):
    """The server's process and address. It has one bank, called `bug`, with the label `lady bug`."""
    with tempfile.TemporaryDirectory() as folder:
        bank = pathlib.Path(folder, "bug.bank")
        example = ["--support", EXAMPLE / "support.png", "--mask", EXAMPLE / "support_mask.png"]
        subprocess.run([program, "bank", "encode", "-q", "-o", bank, "--name", "lady bug", *example], check=True)
        serve = [program, "serve", "-q", "--listen", "127.0.0.1:0", "--banks", folder, *flags]
        process = subprocess.Popen(serve, stdout=subprocess.PIPE, text=True)
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.terminate()
            process.wait()


def holds(so, what):
    if not so:
        raise SystemExit(f"check failed: {what}")
    print(f"ok: {what}")
