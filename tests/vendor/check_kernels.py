"""Judges what `lahar kernels --json` said on each device: check_kernels.py SUMMARY.md FOLDER

FOLDER holds DEVICE.json, an array of {name, variant, status, registers, spills, shared_memory, occupancy} with null where the driver
gives no number, and DEVICE.err. Every pipeline has to be built and no GEMV kernel may spill; spills elsewhere are listed. Prints a table,
writes it to SUMMARY.md, exit code 1 where something is wrong.
"""
import json
import pathlib
import sys

FIELDS = {"name", "variant", "status", "registers", "spills", "shared_memory", "occupancy"}


def is_gemv(kernel):
    return "gemv" in kernel["name"].lower()


def label(kernel):
    return f"{kernel['name']} {kernel['variant']}".strip()


def judge(path):
    """One device: its row of the table, what is wrong, and the kernels that spill without being forbidden to."""
    device, errors = path.stem, []
    try:
        kernels = json.loads(path.read_text())
    except ValueError as error:
        said = path.with_suffix(".err").read_text().strip().splitlines()
        return [device, "-", "-", "-", "-", "-"], [f"{device}: no JSON ({error}); the program said: {said[-1] if said else 'nothing'}"], []
    for kernel in kernels:
        lacking = FIELDS - kernel.keys()
        if lacking:
            errors.append(f"{device}: {kernel.get('name')} lacks {', '.join(sorted(lacking))}")
    if errors:
        return [device, len(kernels), "-", "-", "-", "-"], errors, []
    if not any(map(is_gemv, kernels)):
        errors.append(f"{device}: no GEMV kernel among {len(kernels)}")
    broken = [k for k in kernels if k["status"] != "ok"]
    errors += [f"{device}: {label(k)}: {k['status']}" for k in broken]
    spilling = [k for k in kernels if k["spills"]]
    errors += [f"{device}: {label(k)} is a GEMV kernel and spills {k['spills']}" for k in spilling if is_gemv(k)]
    elsewhere = [f"{device}: {label(k)} spills {k['spills']} ({k['registers']} registers)" for k in spilling if not is_gemv(k)]
    known = [k["registers"] for k in kernels if k["registers"] is not None]
    reported = any(k["spills"] is not None for k in kernels)
    row = [device, len(kernels), len(kernels) - len(broken), max(known) if known else "-",
           sum(map(is_gemv, spilling)) if reported else "-", len(elsewhere) if reported else "-"]
    return row, errors, elsewhere


def main():
    summary, folder = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    rows, errors, elsewhere = [], [], []
    for path in sorted(folder.glob("*.json")):
        row, wrong, spills = judge(path)
        rows.append(row)
        errors += wrong
        elsewhere += spills
    head = ["device", "pipelines", "built", "most registers", "GEMV kernels that spill", "others that spill"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    if elsewhere:
        lines += ["", "Spills outside GEMV:", ""] + [f"- {line}" for line in elsewhere]
    if errors:
        lines += ["", "Wrong:", ""] + [f"- {line}" for line in errors]
    text = "\n".join(lines) + "\n"
    summary.write_text(text)
    print(text, end="")
    if not rows:
        print(f"no result in {folder}")
    return 1 if errors or not rows else 0


sys.exit(main())
