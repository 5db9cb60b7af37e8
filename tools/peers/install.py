"""Installs peers in fixed versions into one folder, from the package indexes that pip and cargo use here."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from children import Gone, plain

HERE = Path(__file__).resolve().parent
NUMPY, ONNX = "numpy==2.4.6", "onnx==1.23.2"
# One virtual environment per peer, because two of them have the module name onnxruntime.
REQUIREMENTS = {
    "torch": ["torch==2.15.0", NUMPY],
    "onnxruntime": ["onnxruntime==1.32.0", ONNX, NUMPY],
    "onnxruntime-webgpu": ["onnxruntime-webgpu==1.27.0", ONNX, NUMPY],
    "stable-diffusion-cpp-python": ["stable-diffusion-cpp-python==0.4.7", NUMPY],
}


def run(command: list[str], log: Path, seconds: float, env: dict[str, str] | None = None) -> None:
    """Runs a command. A failure is reported with the command's own last error message."""
    with log.open("wb") as out:
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=seconds, env={**os.environ, **(env or {})}
            )
        except subprocess.TimeoutExpired:
            raise Gone(f"not installed within {seconds:.0f} s") from None
        except OSError as error:
            raise Gone(f"{Path(command[0]).name}: {error.strerror}") from None
    if done.returncode:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        errors = [line for line in lines if "error" in line.lower()]
        raise Gone(plain((errors or lines or ["no error message"])[-1]))


def vulkan_sdk(into: Path, seconds: float) -> dict[str, str]:
    """Environment in which a source build finds glslc and Vulkan's headers: from tools/drivers.sh if the system has none."""
    options = "-DSD_VULKAN=ON"
    if shutil.which("glslc"):
        return {"CMAKE_ARGS": options}
    run([str(HERE.parent / "drivers.sh"), "--into", str(into), "glslc"], into / "glslc.log", seconds)
    root = into / "glslc" / "usr"
    libraries = next(iter(root.glob("lib/*-linux-gnu")), root / "lib")
    options += f" -DCMAKE_PREFIX_PATH={root} -DVulkan_INCLUDE_DIR={root}/include -DVulkan_GLSLC_EXECUTABLE={root}/bin/glslc"
    options += f" -DVulkan_LIBRARY={next(iter(libraries.glob('libvulkan.so*')), '')}"
    return {"CMAKE_ARGS": options, "LD_LIBRARY_PATH": str(libraries), "PATH": f"{root}/bin:{os.environ['PATH']}"}


def venv(into: Path, name: str, seconds: float) -> Path:
    """The interpreter of a virtual environment with these REQUIREMENTS."""
    folder, wanted = into / name, "\n".join(REQUIREMENTS[name])
    stamp, python = folder / "installed", folder / "bin" / "python"
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"peers: installing {wanted.replace(chr(10), ', ')}", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        run([sys.executable, "-m", "venv", str(folder)], into / f"{name}.venv.log", seconds)
        env = vulkan_sdk(into, seconds) if name == "stable-diffusion-cpp-python" else {}
        run([str(python), "-m", "pip", "install", "-v", *REQUIREMENTS[name]], into / f"{name}.pip.log", seconds, env)
        stamp.write_text(wanted)
    return python


def rust(into: Path, features: str, seconds: float) -> Path:
    """The program of `rust/` with these features, optimized for this CPU."""
    print(f"peers: building burn and candle {features and f'({features})'}", file=sys.stderr)
    target = into / "rust"
    command = ["cargo", "build", "--release", "--locked", "--manifest-path", str(HERE / "rust" / "Cargo.toml")]
    command += ["--target-dir", str(target), "--features", features]
    env = {"RUSTFLAGS": "-C target-cpu=native"}
    run(command, into / f"rust{features}.cargo.log", seconds, env)
    program = into / f"diffews-peers{features and f'-{features}'}"
    # Both builds have the same name.
    program.unlink(missing_ok=True)
    shutil.copy2(target / "release" / "diffews-peers", program)
    return program
