#!/usr/bin/env python3
"""Judges what `lahar kernels --json` said on each device: check_kernels.py [--accept] SUMMARY.md FOLDER

FOLDER holds DEVICE.json, an array of {name, variant, status, registers, spills, shared_memory, occupancy, estimate} with null where the
driver gives no number, and DEVICE.err. Wrong is: a pipeline that is not built; more spilled registers in a GEMV, GEMM or attention
kernel than kernels.csv beside this file has (none where it has no line; for a device without lines GEMV alone is judged); an
occupancy there more than a quarter below its.
The table goes to SUMMARY.md. --accept takes what was found as the new kernels.csv, for the devices that were run, and writes
docs/kernels.md from all of it. Exit code 1 where something is wrong; with --accept only where a pipeline was not built.

A line of kernels.csv stands for one shader (kernel and variant, as gemv q4_0) on one device, whatever its specialization constants.
"""
import collections
import csv
import json
import pathlib
import statistics
import sys

HERE = pathlib.Path(__file__).resolve().parent
BASELINE, DOCUMENT = HERE / "kernels.csv", HERE.parent.parent / "docs" / "kernels.md"
COLUMNS = ["device", "kernel", "variant", "pipelines", "spills", "registers", "shared_memory", "occupancy", "occupancy_median", "estimate"]
FIELDS = {"name", "variant", "status", "registers", "spills", "shared_memory", "occupancy", "estimate"}
WATCHED = ("gemv", "gemm", "attention")
ALLOWED_OCCUPANCY = 0.75


def known(values):
    return [v for v in values if v is not None]


def middle(values):
    return round(statistics.median(values)) if values else None


def groups_of(device, kernels):
    """{(device, kernel, variant): line of the baseline}: the worst of a shader's pipelines, and the middle."""
    found = collections.defaultdict(list)
    for kernel in kernels:
        first = kernel["variant"].split(" ")[0]
        found[device, kernel["name"], first if not first[:1].isdigit() else ""].append(kernel)
    lines = {}
    for key, members in found.items():
        column = {name: known(k[name] for k in members) for name in ("registers", "spills", "shared_memory", "occupancy", "estimate")}
        worst = {name: max(column[name], default=None) for name in ("spills", "registers", "shared_memory")}
        lines[key] = [len(members), *worst.values(), min(column["occupancy"], default=None), middle(column["occupancy"]), middle(column["estimate"])]
    return lines


def read_baseline():
    if not BASELINE.exists():
        return {}
    with BASELINE.open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    return {tuple(row[:3]): [int(v) if v else None for v in row[3:]] for row in rows}


def write_baseline(lines):
    with BASELINE.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for key in sorted(lines):
            writer.writerow([*key, *("" if v is None else v for v in lines[key])])


def load(path):
    """The kernels of one device, and what is wrong with them."""
    device = path.stem
    try:
        kernels = json.loads(path.read_text())
    except ValueError as error:
        said = path.with_suffix(".err").read_text().strip().splitlines() if path.with_suffix(".err").exists() else []
        return [], [f"{device}: no JSON ({error}); the program said: {said[-1] if said else 'nothing'}"]
    errors = []
    for kernel in kernels:
        if FIELDS - kernel.keys():
            return [], [f"{device}: {kernel.get('name')} lacks {', '.join(sorted(FIELDS - kernel.keys()))}"]
        if kernel["status"] != "ok":
            errors.append(f"{device}: {kernel['name']} {kernel['variant']}: {kernel['status']}")
    for family in WATCHED:
        if not any(family in k["name"] for k in kernels):
            errors.append(f"{device}: no kernel named {family} among {len(kernels)}")
    return kernels, errors


def regressions(lines, baseline):
    """What is worse than the baseline allows."""
    wrong, judged = [], {device for device, _, _ in baseline}
    for key, line in sorted(lines.items()):
        # A device that was never accepted has nothing to compare with; GEMV spills nowhere.
        if not any(family in key[1] for family in (WATCHED if key[0] in judged else ("gemv",))):
            continue
        now = dict(zip(COLUMNS[3:], line))
        before = dict(zip(COLUMNS[3:], baseline.get(key, [None] * len(line))))
        name = f"{key[0]}: {key[1]} {key[2]}".rstrip()
        if (now["spills"] or 0) > (before["spills"] or 0):
            wrong.append(f"{name} spills {now['spills']}; it was {before['spills'] or 0}")
        for column in ("occupancy", "occupancy_median"):
            if now[column] is not None and before[column] and now[column] < ALLOWED_OCCUPANCY * before[column]:
                wrong.append(f"{name}: {column.replace('_', ' ')} {now[column]}; it was {before[column]}")
    return wrong


def table(lines):
    """One row for each kernel on each device, over its variants."""
    families = collections.defaultdict(list)
    for (device, kernel, _), line in lines.items():
        families[device, kernel].append(dict(zip(COLUMNS[3:], line)))
    rows = ["| device | kernel | pipelines | registers at most | spills at most | shared memory at most | occupancy at least | occupancy, middle | estimate, middle |",
            "|---|---|---:|---:|---:|---:|---:|---:|---:|"]
    for (device, kernel), members in sorted(families.items()):
        column = {name: known(m[name] for m in members) for name in COLUMNS[3:]}
        cells = [sum(column["pipelines"]), *(max(column[name], default=None) for name in ("registers", "spills", "shared_memory")),
                 min(column["occupancy"], default=None), middle(column["occupancy_median"]), middle(column["estimate"])]
        rows.append(f"| {device} | {kernel} | " + " | ".join("-" if c is None else str(c) for c in cells) + " |")
    return rows


INTRODUCTION = """# What the vendors' compilers make of the kernels

Every pipeline that a device would be given, built by its driver's compiler (`tests/vendor/compile_kernels`; no such device was there, nothing
ran). One row is a kernel over all of its weight formats and shapes. Each driver counts in its own way: registers of a lane (Intel: most that
live at once), spills in registers or instructions, shared memory in bytes of a workgroup, occupancy in subgroups of a SIMD (AMD), warps of a
multiprocessor (NVIDIA), waves of a core (Adreno), threads (Apple). The estimate is the compiler's own of how long the code takes: inverse
throughput (AMD), cycles (Intel, NVIDIA), cycles of stalls (Adreno), ALU cycles (Apple); it compares kernels on one device, not devices.
A dash: the driver does not say.

[tests/vendor/kernels.csv](../tests/vendor/kernels.csv) has a line for each shader. More spills or over a quarter less occupancy in a GEMV, GEMM or
attention kernel fail the check; `tests/vendor/compile_kernels --accept` takes the new numbers and writes this page.

"""


def main():
    arguments = [a for a in sys.argv[1:] if a != "--accept"]
    accept = "--accept" in sys.argv
    summary, folder = map(pathlib.Path, arguments)
    baseline, lines, broken = read_baseline(), {}, []
    devices = [path for path in sorted(folder.glob("*.json"))]
    for path in devices:
        kernels, errors = load(path)
        broken += errors
        found = groups_of(path.stem, kernels)
        if any(line[1] is not None or line[2] is not None for line in found.values()):  # some drivers say nothing at all
            lines.update(found)
        print(f"{path.stem}: {len(kernels)} pipelines, {sum(k['status'] == 'ok' for k in kernels)} built, "
              f"{sum(bool(k['spills']) for k in kernels)} of them spill")
    wrong = [] if accept else regressions(lines, baseline)
    summary.write_text("\n".join(table(lines) + (["", "Wrong:", ""] + [f"- {w}" for w in broken + wrong] if broken or wrong else [])) + "\n")
    for line in broken + wrong:
        print(f"wrong: {line}")
    if accept and not broken:
        run = {path.stem for path in devices}
        merged = {key: line for key, line in baseline.items() if key[0] not in run} | lines
        write_baseline(merged)
        DOCUMENT.write_text(INTRODUCTION + "\n".join(table(merged)) + "\n")
        print(f"{BASELINE.name} and {DOCUMENT.name} are written")
    if not devices:
        print(f"no result in {folder}")
    return 1 if broken or wrong or not devices else 0


sys.exit(main())
