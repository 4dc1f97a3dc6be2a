"""What is remembered of the vendors' compilers: kernels.csv, a line for each class of pipelines on each device.

A class is the kernel, its variant (a weight format, mostly), and what decides how large its code becomes: an attention kernel's
head size and type of cache, how many rows of x a GEMV takes. Other constants (tile shapes, flags) are what defaults choose: a
line holds the worst of them. Kernels that are not WATCHED are a class each. Which constant is which is read from the shaders.
"""
import collections
import csv
import functools
import json
import pathlib
import re
import statistics

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BASELINE = ROOT / "tests" / "vendor" / "kernels.csv"
KEY = ("device", "kernel", "class")
VALUES = ("pipelines", "spills", "registers", "shared_memory", "occupancy", "occupancy_median", "estimate")
WATCHED = ("gemv", "gemm", "attention", "moe_decode", "head_product")
CACHE_TYPES = ("f16", "f32", "bf16", "i8", "f8", "i4")  # KV_TYPE of shaders/attention/kv.glsl

Line = collections.namedtuple("Line", VALUES)


def watched(kernel):
    return kernel.startswith(WATCHED)


@functools.cache
def sources():
    return {k["name"]: k["source"] for k in json.loads((ROOT / "shaders" / "kernels.json").read_text())["kernels"]}


@functools.cache
def constants_of(kernel):
    """{name of a specialization constant: its id}"""
    if kernel not in sources():
        return {}
    text = (ROOT / "shaders" / sources()[kernel]).read_text()
    return {name: int(number) for number, name in re.findall(r"constant_id *= *(\d+)\) *const +\w+ +(\w+)", text)}


def class_of(kernel, variant):
    """The class of a pipeline that `lahar kernels` calls `variant`: "q4_0 64x1x1 4 2 ..." is "q4_0 x2" with two rows of x."""
    if not watched(kernel):
        return ""
    words = variant.split(" ")
    parts = [] if words[0][:1].isdigit() else [words.pop(0)]
    values = words[0].split("x") + words[1:]  # ids 0 to 2 are the workgroup's size
    ids = constants_of(kernel)

    def value(name):
        return int(values[ids[name]]) if name in ids and ids[name] < len(values) else None

    dims = value("HEAD_DIM") or value("VALUE_DIM")
    if dims is not None:
        parts.append(f"dim {dims}")
    if value("KV_TYPE") is not None:
        parts.append(CACHE_TYPES[value("KV_TYPE")])
    if value("NT") is not None:
        parts.append(f"x{value('NT')}")
    return " ".join(parts)


def known(values):
    return [v for v in values if v is not None]


def middle(values):
    return round(statistics.median(values)) if values else None


def lines_of(device, kernels):
    """{(device, kernel, class): Line} of what `lahar kernels --json` says: the worst of a class, and the middle."""
    found = collections.defaultdict(list)
    for kernel in kernels:
        found[device, kernel["name"], class_of(kernel["name"], kernel["variant"])].append(kernel)
    lines = {}
    for key, members in found.items():
        column = {name: known(k[name] for k in members) for name in ("registers", "spills", "shared_memory", "occupancy", "estimate")}
        most = {name: max(column[name], default=None) for name in ("spills", "registers", "shared_memory")}
        lines[key] = Line(pipelines=len(members), **most, occupancy=min(column["occupancy"], default=None),
                          occupancy_median=middle(column["occupancy"]), estimate=middle(column["estimate"]))
    return lines


def read(path=BASELINE):
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    return {tuple(row[:3]): Line(*(int(v) if v else None for v in row[3:])) for row in rows}


def write(lines, path=BASELINE):
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(KEY + VALUES)
        for key in sorted(lines):
            writer.writerow([*key, *("" if v is None else v for v in lines[key])])
