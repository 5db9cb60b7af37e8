"""Compiles HLSL with Microsoft's DXC to DXIL (and to SPIR-V), as wgpu's DX12 backend does.

    cargo run --release -p diffews-helpers --bin dump_shaders -- DIR
    python3 tools/dxc/compile.py --library .drivers/dxc/libdxcompiler.so DIR

Exits with 1 if any shader is refused, or if there are none. Needs no Python package: DXC is called through its COM
interface, whose layout on Linux (Itanium ABI) has two entries for the virtual destructor after IUnknown's three.
"""

import argparse
import ctypes
import pathlib
import struct
import sys
import uuid

COMPILER = "73e22d93-e6ce-47f3-b5bf-f0664f39c1b0"  # CLSID_DxcCompiler
COMPILER_3 = "228b4687-5a6a-4730-900c-9702b2203f54"  # IDxcCompiler3
RESULT = "58346cda-dde7-4497-9461-6f87af5e0659"  # IDxcResult
UTF8 = 65001
RELEASE, FIRST = 2, 5


class Buffer(ctypes.Structure):
    _fields_ = [("pointer", ctypes.c_char_p), ("size", ctypes.c_size_t), ("encoding", ctypes.c_uint)]


def guid(text):
    return ctypes.create_string_buffer(uuid.UUID(text).bytes_le, 16)


def method(interface, index, result, *arguments):
    """The function at `index` of the interface's table, bound to the interface."""
    table = ctypes.cast(interface, ctypes.POINTER(ctypes.POINTER(ctypes.c_void_p))).contents
    function = ctypes.CFUNCTYPE(result, ctypes.c_void_p, *arguments)(table[index])
    return lambda *values: function(interface, *values)


def check(status, what):
    if status < 0:
        raise OSError(f"{what}: HRESULT {status & 0xFFFFFFFF:#x}")


class Dxc:
    def __init__(self, path):
        library = ctypes.CDLL(str(path))
        self.compiler = ctypes.c_void_p()
        create = library.DxcCreateInstance
        create.restype = ctypes.c_int32
        create.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
        check(create(guid(COMPILER), guid(COMPILER_3), ctypes.byref(self.compiler)), "DxcCreateInstance")

    def compile(self, text, arguments):
        """The compiled bytes (None if refused) and the messages."""
        data = text.encode()
        source = Buffer(data, len(data), UTF8)
        words = (ctypes.c_wchar_p * len(arguments))(*arguments)
        result = ctypes.c_void_p()
        pointer = ctypes.c_void_p
        call = method(self.compiler, FIRST, ctypes.c_int32, pointer, pointer, ctypes.c_uint32, pointer, pointer, pointer)
        check(call(ctypes.byref(source), words, len(words), None, guid(RESULT), ctypes.byref(result)), "Compile")
        status = ctypes.c_int32()
        check(method(result, FIRST, ctypes.c_int32, pointer)(ctypes.byref(status)), "GetStatus")
        compiled = self.blob(result, FIRST + 1) if status.value >= 0 else None
        messages = self.blob(result, FIRST + 2).rstrip(b"\0").decode(errors="replace")
        method(result, RELEASE, ctypes.c_uint32)()
        return compiled, messages

    @staticmethod
    def blob(result, index):
        blob = ctypes.c_void_p()
        check(method(result, index, ctypes.c_int32, ctypes.c_void_p)(ctypes.byref(blob)), "GetResult")
        if not blob:
            return b""
        pointer = method(blob, FIRST, ctypes.c_void_p)()
        size = method(blob, FIRST + 1, ctypes.c_size_t)()
        content = ctypes.string_at(pointer, size) if pointer else b""
        method(blob, RELEASE, ctypes.c_uint32)()
        return content


def parts(container):
    """The four-letter names of a DXIL container's parts."""
    if container[:4] != b"DXBC":
        return []
    count = struct.unpack_from("<I", container, 28)[0]
    return [container[o : o + 4].decode() for o in struct.unpack_from(f"<{count}I", container, 32)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("dir", type=pathlib.Path, help="folder with *.hlsl")
    parser.add_argument("--library", type=pathlib.Path, default=".drivers/dxc/libdxcompiler.so")
    parser.add_argument("--spirv", type=pathlib.Path, help="folder for the output of DXC's SPIR-V back end")
    parser.add_argument("--only-spirv", action="store_true", help="no DXIL; the SPIR-V beside the HLSL, if not elsewhere")
    options = parser.parse_args()
    if options.only_spirv and not options.spirv:
        options.spirv = options.dir
    models = [] if options.only_spirv else ["6_2", "6_6"]
    dxc = Dxc(options.library.resolve())
    refused, compiled = [], 0
    files = sorted(options.dir.glob("*.hlsl"))
    for file in files:
        text = file.read_text()
        # wgpu's own flags; it enables 16-bit types whenever the adapter supports them, whether or not they are used.
        flags = ["-E", "main", "-HV", "2018", "-no-warnings", "-Ges"]
        sets = [[*flags, "-enable-16bit-types"]] + ([] if "half" in text else [flags])
        for model in models:
            for arguments in sets:
                output, messages = dxc.compile(text, [*arguments, "-T", f"cs_{model}"])
                if output is None or "DXIL" not in parts(output):
                    refused.append(f"{file.name} as cs_{model}: {messages.strip() or 'no DXIL came out'}")
                else:
                    compiled += 1
        if options.spirv:
            options.spirv.mkdir(parents=True, exist_ok=True)
            output, messages = dxc.compile(text, [*sets[0], "-T", "cs_6_2", "-spirv", "-fspv-target-env=vulkan1.1"])
            if output is None or output[:4] != b"\x03\x02\x23\x07":
                refused.append(f"{file.name} as SPIR-V: {messages.strip()}")
            else:
                (options.spirv / f"{file.stem}.spv").write_bytes(output)
                compiled += 1
    # Check that a refusal is detected.
    if dxc.compile("void main( {", ["-E", "main", "-T", "cs_6_2"])[0] is not None:
        refused.append("DXC accepted broken text, so this check is ineffective")
    print("\n".join(refused + [f"{len(files)} HLSL files, {compiled} compilations, {len(refused)} refused"]))
    return 1 if refused or not files else 0


if __name__ == "__main__":
    sys.exit(main())
