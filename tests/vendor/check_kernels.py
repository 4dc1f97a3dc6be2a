#!/usr/bin/env python3
"""Judges what `lahar kernels --json` said on each device: check_kernels.py [--accept] [--only KERNEL] SUMMARY.md FOLDER

FOLDER holds DEVICE.json, an array of {name, variant, status, registers, spills, shared_memory, occupancy, estimate} with null where the
driver gives no number, and DEVICE.err. Wrong is: a pipeline that is not built; in a class of pipelines of a watched kernel
(kernel_baseline.py) more spilled registers than kernels.csv has for it (none where it has no line; for a device without lines
GEMV alone is judged), or an occupancy more than a quarter below its.
The tables go to SUMMARY.md. --accept takes what was found as the new kernels.csv, for the devices that were run, and writes
docs/kernels.md from all of it. Exit code 1 where something is wrong; with --accept only where a pipeline was not built. --only: kernels whose names begin so are all
that FOLDER has; of the others the baseline stays.
"""
import argparse
import json
import pathlib
import sys

sys.dont_write_bytecode = True  # nothing is left in the source folder

import kernel_baseline  # noqa: E402
import kernel_document  # noqa: E402
from kernel_baseline import WATCHED, watched  # noqa: E402

FIELDS = {"name", "variant", "status", "registers", "spills", "shared_memory", "occupancy", "estimate"}
ALLOWED_OCCUPANCY = 0.75


def load(path, only=""):
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
        if not only and not any(k["name"].startswith(family) for k in kernels):
            errors.append(f"{device}: no kernel named {family} among {len(kernels)}")
    return kernels, errors


def regressions(lines, baseline):
    """What is worse than the baseline allows."""
    wrong, judged = [], {device for device, _, _ in baseline}
    for key, now in sorted(lines.items()):
        # A device that was never accepted has nothing to compare with; GEMV spills nowhere.
        if not (watched(key[1]) if key[0] in judged else key[1].startswith("gemv")):
            continue
        before = baseline.get(key)
        name = f"{key[0]}: {key[1]} {key[2]}".rstrip()
        spills = (before.spills if before else 0) or 0
        if (now.spills or 0) > spills:
            wrong.append(f"{name} spills {now.spills}; it was {spills}")
        for column in ("occupancy", "occupancy_median"):
            is_now, was = getattr(now, column), getattr(before, column) if before else None
            if is_now is not None and was and is_now < ALLOWED_OCCUPANCY * was:
                wrong.append(f"{name}: {column.replace('_', ' ')} {is_now}; it was {was}")
    return wrong


def merged(baseline, lines, devices, only=""):
    """The baseline with `lines` in place of what these devices had of such kernels."""
    return {key: line for key, line in baseline.items() if key[0] not in devices or not key[1].startswith(only)} | lines


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--accept", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("summary", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    arguments = parser.parse_args()
    accept, only, summary, folder = arguments.accept, arguments.only, arguments.summary, arguments.folder
    baseline, lines, broken = kernel_baseline.read(), {}, []
    devices = sorted(folder.glob("*.json"))
    for path in devices:
        kernels, errors = load(path, only)
        broken += errors
        found = kernel_baseline.lines_of(path.stem, kernels)
        if any(line.spills is not None or line.registers is not None for line in found.values()):  # some drivers say nothing at all
            lines.update(found)
        print(f"{path.stem}: {len(kernels)} pipelines, {sum(k['status'] == 'ok' for k in kernels)} built, "
              f"{sum(bool(k['spills']) for k in kernels)} of them spill")
    wrong = [] if accept else regressions(lines, baseline)
    kernel_document.write(lines, summary, broken + wrong)
    for line in broken + wrong:
        print(f"wrong: {line}")
    if accept and not broken:
        accepted = merged(baseline, lines, {path.stem for path in devices}, only)
        kernel_baseline.write(accepted)
        kernel_document.write(accepted, kernel_document.DOCUMENT)
        print(f"{kernel_baseline.BASELINE.name} and {kernel_document.DOCUMENT.name} are written")
    if not devices:
        print(f"no result in {folder}")
    return 1 if broken or wrong or not devices else 0


if __name__ == "__main__":
    sys.exit(main())
