#!/usr/bin/env python3
"""Reports how GPU vendors' compilers handle every kernel, without their GPUs (docs/drivers.md), and applies gates to it.

    tools/vendors.py [--models] [--most-ms N] [--write DIRECTORY] [DEVICE...]

Runs `diffews-wgpu compile` under tools/with-driver.sh on each device (by default all below), two at a time, and fails (1) if
a gate is broken without a deviation below, or a deviation no longer applies. --models: only what models run there.
--write: vendors.json and vendors.md, all figures and the matrix of kernels and devices. BINARY names another program than
target/release/diffews-wgpu. --most-ms: time limit for compiling a pipeline (2000); raise it on a busy machine.
"""

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# By the name for with-driver.sh: description, and the least waves per SIMD or warps per scheduler.
DEVICES = {
    "radv@polaris12": ("AMD GCN 4, Polaris 12", 4),
    "radv@vega10": ("AMD GCN 5, Vega 10", 4),
    "radv@navi21": ("AMD RDNA 2, Navi 21", 8),
    "radv@navi31": ("AMD RDNA 3, Navi 31", 8),
    "radv@gfx1201": ("AMD RDNA 4, gfx1201", 8),
    "nvk@0x166": ("NVIDIA Turing, TU106", 4),
    "nvk@0x172": ("NVIDIA Ampere, GA102", 4),
    "nvk@0x192": ("NVIDIA Ada, AD102", 4),
    "turnip@630": ("Qualcomm Adreno 630", 0),
    "turnip@750": ("Qualcomm Adreno 750", 0),
    "honeykrisp": ("Apple M1", 0),
    "anv@skl": ("Intel Gen 9, Skylake GT2", 0),
    "anv@tgl": ("Intel Xe-LP, Tiger Lake GT2", 0),
    "anv@dg2": ("Intel Xe-HPG, Arc A770M", 0),
    "anv@lnl": ("Intel Xe 2, Lunar Lake", 0),
}
# The least subgroup size, where a compiler chooses it: wide subgroups hide memory latency.
LANES = {"anv@skl": 16, "anv@tgl": 16, "anv@dg2": 16, "anv@lnl": 16}
# Limit on bytes of code: the instruction cache of Apple's GPUs.
MOST_CODE = {"honeykrisp": 12 * 1024}
MOST_MS = 2000
# Devices on which a query of SD 2.1 is timed: Apple's shim maps too little memory for its weights.
HOSTS = ("radv@navi31", "nvk@0x172", "turnip@750")

GCN = ("radv@polaris12", "radv@vega10")
# Their registers have 256 bits; Xe 2's have 512.
XE = ("anv@skl", "anv@tgl", "anv@dg2")
# Accepted deviations of production forms: (devices, kernel, form, variant or None for all, figure, the worst permitted value, reason).
DEVIATIONS = [
    (GCN, "attention", "tiled-160", None, "waves", 3,
     "sums of heads of 65 to 160 channels take 40 registers; slices of 64 would compute all scores two to three times"),
    (GCN, "attention", "tiled-256", None, "waves", 2,
     "sums of wide heads take 64 registers; slices of 64 would compute all scores up to eight times"),
    (GCN, "conv2d", "tiled-16", None, "waves", 2,
     "it stages four vec4s of input in registers; wider tiles would compute twice what these layers need"),
    (GCN, "conv2d", "tiled-32", "GEGLU", "waves", 3, "gates take as many registers as sums; no form has smaller tiles of both"),
    (GCN, "conv2d", "tiled-64", "GEGLU", "waves", 3, "gates take as many registers as sums; no form has smaller tiles of both"),
    *((GCN, "conv2d", form, None, "waves", 2,
       "64 sums are as many registers as four waves leave; each waits for no other, and a vec4 of workgroup memory serves twice as many as in tiled-64")
      for form in ("reg-128", "reg-64", "winograd-reg-128", "winograd-reg-64")),
    (("honeykrisp",), "attention", None, None, "code_bytes", 28 * 1024,
     "Mesa's compiler repeats the sum over a tile's 16 keys, each in two branches (own keys, bank); the forms for CPUs are longer"),
    (("honeykrisp",), "winograd_input", "plain", "SILU", "code_bytes", 13 * 1024,
     "36 SiLUs, one behind the other, beside both turns; a loop over them would index registers"),
    (XE, "conv2d", None, None, "lanes", 8, "sums and what is staged take 75 to 128 of a thread's 128 registers at 8 lanes, twice as many at 16"),
    (XE, "attention", None, None, "lanes", 8, "sums of a head's channels take 69 to 112 of a thread's 128 registers at 8 lanes, twice as many at 16"),
    (XE, "winograd_output", None, "RESIDUAL", "lanes", 8, "a tile's products and sums take 67 registers at 8 lanes"),
    (("anv@skl",), "winograd_output", "plain", "", "lanes", 8, "a tile's products and sums take 66 registers at 8 lanes"),
    (("turnip@630",), "winograd_input", "plain", None, "spills", 14,
     "a tile of 36 vec4s in f32 leaves 12 of 48 registers; in half precision nothing spills"),
]


def compiled(device, models):
    """The report of `compile` on a device."""
    binary = os.environ.get("BINARY", str(ROOT / "target/release/diffews-wgpu"))
    command = [str(ROOT / "tools/with-driver.sh"), device, binary, "compile", "--json"]
    run = subprocess.run(command + (["--models"] if models else []), capture_output=True, text=True)
    try:
        return json.loads(run.stdout)
    except ValueError:
        sys.exit(f"{device}: no report, exit code {run.returncode}: {(run.stderr or run.stdout).strip()[-500:]}")


def host(device):
    """The host's share of a query of SD 2.1 in half precision; f32 would exceed the memory of some of these devices."""
    binary = os.environ.get("BINARY", str(ROOT / "target/release/diffews-wgpu"))
    command = [str(ROOT / "tools/with-driver.sh"), device, binary, "bench", "--host", "--model", "sd21", "--precision", "packed"]
    run = subprocess.run(command + ["--repetitions", "50", "--json"], capture_output=True, text=True)
    try:
        return json.loads(run.stdout)
    except ValueError:
        sys.exit(f"{device}: bench --host: exit code {run.returncode}: {(run.stderr or run.stdout).strip()[-500:]}")


def deviation(device, row, figure, value):
    """The index of the deviation that explains that value, or None."""
    for place, (devices, kernel, form, variant, what, worst, _) in enumerate(DEVIATIONS):
        same = (kernel, form or row["form"], row["variant"] if variant is None else variant, what)
        if device in devices and same == (row["kernel"], row["form"], row["variant"], figure):
            if value >= worst if figure in ("waves", "lanes") else value <= worst:
                return place
    return None


def broken(device, row, most_ms):
    """The gates that a pipeline breaks: figure, value, description."""
    if row["error"]:
        yield "error", 0, row["error"]
    # Pipelines that no model runs have no other gates.
    if not row["models"]:
        return
    if (row["milliseconds"] or 0) > most_ms:
        yield "milliseconds", row["milliseconds"], f"{row['milliseconds']:.0f} ms to compile"
    for figure in ("spills", "scratch"):
        if row[figure]:
            yield figure, row[figure], f"{row[figure]:.0f} of {figure}"
    if row["waves"] is not None and row["waves"] < DEVICES[device][1]:
        yield "waves", row["waves"], f"{row['waves']:g} waves, but at least {DEVICES[device][1]} are required"
    if row["lanes"] is not None and row["lanes"] < LANES.get(device, 0):
        yield "lanes", row["lanes"], f"subgroups of {row['lanes']:.0f} lanes, but at least {LANES[device]} are required"
    if (row["code_bytes"] or 0) > MOST_CODE.get(device, 1 << 40):
        yield "code_bytes", row["code_bytes"], f"{row['code_bytes']:.0f} bytes of code"


COLUMNS = ["kernel", "form", "variant", "storage", "models", "left_out", "error", "milliseconds", "lanes", "registers", "spills",
           "scratch", "waves", "instructions", "code_bytes", "cycles"]


def as_json(reports):
    def cell(row, column):
        value = row[column]
        if column == "milliseconds" and value is not None:
            return round(value)
        return round(value, 2) if isinstance(value, float) else value

    def device(name, report):
        rows = [json.dumps([cell(row, column) for column in COLUMNS]) for row in report["pipelines"]]
        head = {"is": DEVICES[name][0], "adapter": report["adapter"]["name"], "driver": report["adapter"]["driver"]}
        return f"{json.dumps(name)}: {json.dumps(head)[:-1]}, \"pipelines\": [\n" + ",\n".join(rows) + "\n]}"

    devices = ",\n".join(device(name, report) for name, report in reports.items())
    return f"{{\"columns\": {json.dumps(COLUMNS)},\n\"devices\": {{\n{devices}\n}}}}\n"


def as_markdown(reports, explained, hosts):
    lines = [
        "# What GPU vendors' compilers make of the kernels", "",
        "Made by `make vendors`, without a GPU ([how](../drivers.md#gpu-vendors-compilers-without-their-gpus)); all figures are in",
        "[vendors.json](vendors.json). Each cell is the worst over a form's variants and storages: registers, waves of a SIMD or warps of",
        "a scheduler or waves of a core (Intel's: lanes of a subgroup), KiB of code, and **spilled registers** where there are any. Bold forms",
        "are run by a model on that device. Registers of Apple's have 16 bits, Qualcomm's are four of 32, Intel's are a thread's, of 256.", "",
    ]
    first = next(iter(reports.values()))
    forms = sorted({(row["kernel"], row["form"]) for report in reports.values() for row in report["pipelines"]})
    lines.append("| kernel | form | " + " | ".join(reports) + " |")
    lines.append("|---" * (2 + len(reports)) + "|")
    for kernel, form in forms:
        cells = []
        for name, report in reports.items():
            rows = [row for row in report["pipelines"] if (row["kernel"], row["form"]) == (kernel, form)]
            made = [row for row in rows if row["registers"] is not None]
            if not made:
                cells.append("left out" if any(row["left_out"] for row in rows) else "")
                continue
            worst = lambda figure, of=max: of(row[figure] or 0 for row in made)
            cell = f"{worst('registers'):.0f}, {worst('lanes' if name in LANES else 'waves', min):g}, {worst('code_bytes') / 1024:.1f}"
            if any(row["models"] for row in made):
                cell = f"**{cell}**"
            spills = worst("spills")
            cells.append(cell + (f", **{spills:.0f} spilled**" if spills else ""))
        lines.append(f"| {kernel} | {form} | " + " | ".join(cells) + " |")
    lines += ["", "| device | is | pipelines | left out | run by models | compile all, s | longest, ms |", "|---" * 7 + "|"]
    for name, report in reports.items():
        rows = report["pipelines"]
        times = [row["milliseconds"] for row in rows if row["milliseconds"] is not None]
        counts = [sum(1 for row in rows if row[key]) for key in ("left_out", "models")]
        lines.append(f"| {name} | {DEVICES[name][0]} | {len(rows)} | {counts[0]} | {counts[1]} | {sum(times) / 1e3:.1f} | {max(times):.0f} |")
    if hosts:
        lines += ["", "What is left of a query of Stable Diffusion 2.1 at 512 x 512 (half precision) where the device takes no time, in milliseconds of the",
                  "host's thread (`diffews-wgpu bench --host --model sd21 --precision packed`; at most 5 are wanted after the first):", "",
                  "| device | " + " | ".join(part["stage"] for part in next(iter(hosts.values()))["stages"]) +
                  " | a query | the first one | dispatches | submissions |", "|---" * 8 + "|"]
    for name, found in hosts.items():
        cells = [f"{part['ms']:.1f}" for part in found["stages"]] + [f"{found['query_ms']:.1f}", f"{found['first_query_ms']:.1f}"]
        cells += [str(sum(part["dispatches"] for part in found["stages"])), str(found["submissions"])]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", f"Driver: {first['adapter']['driver'].split(' ', 1)[-1]}. Commit {first['commit']}.", ""]
    left_out = sorted({(name, row["kernel"], row["form"], row["left_out"])
                       for name, report in reports.items() for row in report["pipelines"] if row["left_out"]
                       and "shader-f16" not in row["left_out"]})
    lines += ["## Left out", "", "Beside native halves where the device has none:", ""]
    lines += [f"- {name}: {kernel} {form}: {reason}" for name, kernel, form, reason in left_out] or ["nothing"]
    lines += ["", "## Gates", "",
              "Every pipeline compiles; those that models run do so in at most 2 s, spill nothing, use no scratch, leave 4 waves (GCN), 8 (RDNA) or 4 warps",
              "of a scheduler (NVIDIA), have subgroups of 16 lanes (Intel) and at most 12 KiB of code on Apple's. Deviations, each with its reason:", ""]
    for place, (devices, kernel, form, variant, figure, worst, why) in enumerate(DEVIATIONS):
        if place in explained:
            name = " ".join(part for part in (kernel, form, variant) if part)
            lines.append(f"- {', '.join(devices)}: {name}: {figure} {worst}: {why}")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", action="store_true")
    parser.add_argument("--most-ms", type=int, default=MOST_MS, metavar="N")
    parser.add_argument("--write", type=Path, metavar="DIRECTORY")
    parser.add_argument("devices", nargs="*", metavar="DEVICE")
    args = parser.parse_args()
    names = args.devices or list(DEVICES)
    for name in names:
        if name not in DEVICES:
            parser.error(f"{name} is not one of {', '.join(DEVICES)}")
    # The slowest first.
    order = sorted(names, key=lambda name: not name.startswith("nvk"))
    with ThreadPoolExecutor(2) as pool:
        done = dict(zip(order, pool.map(lambda name: compiled(name, args.models), order)))
    reports = {name: done[name] for name in names}
    for name, report in reports.items():
        # A busy machine makes times long: a device that took too long is measured again, alone.
        if any(row["models"] and (row["milliseconds"] or 0) > args.most_ms for row in report["pipelines"]):
            key = lambda row: [row[of] for of in ("kernel", "form", "variant", "storage")]
            again = [(key(row), row["milliseconds"]) for row in compiled(name, True)["pipelines"]]
            for row in report["pipelines"]:
                times = [ms for of, ms in again if of == key(row) and ms is not None]
                row["milliseconds"] = min(times + [row["milliseconds"]]) if times else row["milliseconds"]
    faults, explained = [], set()
    for name, report in reports.items():
        rows = report["pipelines"]
        if not any(row["models"] for row in rows) or all(row["registers"] is None for row in rows):
            faults.append(f"{name}: nothing was compiled, or the driver reports no statistics")
        for row in rows:
            for figure, value, words in broken(name, row, args.most_ms):
                place = deviation(name, row, figure, value)
                explained.add(place)
                if place is None:
                    what = " ".join(filter(None, (row["kernel"], row["form"], row["variant"], "/".join(row["storage"]))))
                    faults.append(f"{name}: {what}: {words}")
        made = sum(1 for row in rows if row["milliseconds"] is not None)
        print(f"{name:15} {DEVICES[name][0]:24} {made} pipelines made, {len(rows) - made} skipped")
    for place, (devices, kernel, form, _, figure, _, _) in enumerate(DEVIATIONS):
        if set(devices) <= set(names) and place not in explained:
            faults.append(f"a deviation of {', '.join(devices)} no longer applies: {kernel} {form or ''}, {figure}")
    if args.write:
        hosts = {name: host(name) for name in HOSTS if name in names}
        (args.write / "vendors.json").write_text(as_json(reports))
        (args.write / "vendors.md").write_text(as_markdown(reports, explained, hosts))
    print("\n".join(faults) or "all gates hold, except for the known deviations")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
