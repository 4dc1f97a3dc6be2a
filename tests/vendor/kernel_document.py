"""Writes docs/kernels.md: what of the baseline a reader wants to see, a row a device."""
import re

from kernel_baseline import ROOT, known, watched

DOCUMENT = ROOT / "docs" / "kernels.md"

INTRODUCTION = """# What the vendors' compilers make of the kernels

Every pipeline that a device would be given, built by its driver's compiler (`tests/vendor/compile_kernels`; no such device was there, nothing
ran). A cell is *registers / occupancy*, the worst of its pipelines over all weight formats, types of cache and shapes of the default
forms, and in bold what spills. Each driver counts in its own way: registers of a lane (Intel: most that live at once, in 32 bytes), spills in registers or
instructions, occupancy in subgroups of a SIMD (AMD), warps of a multiprocessor (NVIDIA), waves of a core (Adreno), threads (Apple); Intel gives none.
Numbers compare kernels on one device, not devices.

[tests/vendor/kernels.csv](../tests/vendor/kernels.csv) has a line for each class of pipelines, with shared memory and the compiler's estimate of how long the
code takes: inverse throughput (AMD), cycles (Intel, NVIDIA), cycles of stalls (Adreno), ALU cycles (Apple). A class is a weight format and
a number of rows (GEMV), a format (GEMM), a head size and type of cache (attention). More spills or over a quarter less occupancy in any class fail the
check; `tests/vendor/compile_kernels --accept` takes the new numbers and writes this page.

What defaults follow from it (runtime/ops):

- Intel: subgroups of at most 16; the narrowest for GEMV of many rows, for attention and for matrices. Prompts on matrices: 128 lanes share out
  the sums of 32 items; with subgroups of 8 and heads above 64, 256 lanes those of 16.
- Intel with subgroups of 8, Apple, Adreno 6xx (128 registers a lane): attention holds at most three query heads and one or two keys at a time.
- Gated DeltaNet in prompts: chunks of 16 tokens where 32 rows of a head's state and the chunk's keys and queries take at most 40 KiB of
  shared memory (heads of 128; 64 where there are 32 KiB), subgroups of 32, on Intel the narrowest. Else, and for a few tokens, token by token.
- Products of heads, transposed: as many rows as their sums take 64 registers, 32 on Intel.
- With these, attention spills for no head size up to 256 on any device, and GEMM nowhere but with integers on devices that emulate their dot product
  (Adreno 6xx, Apple, UHD 630), where such forms are taken only if they measured faster. GEMV spills for IQ3_S on Adreno 6xx, for q4 types with a norm folded in on Adreno, and, with integers and 16 rows,
  two registers for Q5_K and Q6_K on Xe2. Latents of 576 spill on most: a query and its sums alone fill the registers.
"""


def cell(lines):
    """Of the worst of `lines`: "128/16", "463/- **246 spilled**"; "" of none."""
    if not lines:
        return ""
    spills = max(known(line.spills for line in lines), default=0)
    registers = max(known(line.registers for line in lines), default="-")
    occupancy = min(known(line.occupancy for line in lines), default="-")
    return f"{registers}/{occupancy}" + (f" **{spills} spilled**" if spills else "")


def table(lines, columns):
    """columns: [(title, which kernels, which classes)], as regular expressions of all of the text."""
    rows = []
    for device in sorted({key[0] for key in lines}):
        cells = [cell([line for key, line in lines.items()
                       if key[0] == device and re.fullmatch(kernels, key[1]) and re.fullmatch(classes, key[2])])
                 for _, kernels, classes in columns]
        if any(cells):
            rows.append(f"| {device} | " + " | ".join(c or "-" for c in cells) + " |")
    return ["| device | " + " | ".join(title for title, _, _ in columns) + " |", "|---|" + "---:|" * len(columns), *rows]


def by_rows(kernel):
    return [(f"{rows} row{'s' if rows > 1 else ''}", kernel, f".* x{rows}") for rows in (1, 2, 4, 8, 16)]


def by_head(lines, kernel):
    dims = sorted({int(m[1]) for key in lines if key[1] == kernel and (m := re.match(r"dim (\d+)", key[2]))})
    return [(f"{dim}", kernel, f"dim {dim}( .*)?") for dim in dims]


def devices(lines):
    rows = ["| device | pipelines | classes | of them spill | shared memory at most |", "|---|---:|---:|---:|---:|"]
    for device in sorted({key[0] for key in lines}):
        of = [line for key, line in lines.items() if key[0] == device]
        shared = max(known(line.shared_memory for line in of), default=0)
        rows.append(f"| {device} | {sum(line.pipelines for line in of)} | {len(of)} | {sum(bool(line.spills) for line in of)} | {shared or '-'} |")
    return rows


def others(lines):
    """The kernels that no other table has and that spill somewhere."""
    spilling = {}
    for (device, kernel, _), line in sorted(lines.items()):
        if line.spills and not watched(kernel):
            spilling.setdefault(kernel, []).append(f"{device} {line.spills}")
    return ["| kernel | spills |", "|---|---|", *(f"| {kernel} | {', '.join(where)} |" for kernel, where in spilling.items())]


def write(lines, path, wrong=()):
    """A page of all tables; `wrong`: what to say at its end."""
    anything = ".*"
    sections = [
        ("Devices", devices(lines)),
        ("GEMV, by rows of x", table(lines, by_rows("gemv"))),
        ("GEMV of integers, by rows of x", table(lines, by_rows("gemv_int8"))),
        ("GEMM, products of experts and of heads",
         table(lines, [("fp32 tiles", "gemm", anything), ("integers", "gemm_int8", anything), ("matrices", "gemm_coop(_half|_elements)?", anything),
                       ("integer matrices", "gemm_coop_int8", anything), ("experts, decode", "moe_decode", anything),
                       ("heads", "head_product", anything)])),
        ("Attention of few rows, by head size", table(lines, by_head(lines, "attention_decode"))),
        ("Attention of prompts, fp32 tiles, by head size", table(lines, by_head(lines, "attention_prefill_tile"))),
        ("Attention of prompts on matrices, by head size", table(lines, by_head(lines, "attention_prefill_coop"))),
        ("Other kernels that spill", others(lines)),
    ]
    if wrong:
        sections.append(("Wrong", [f"- {w}" for w in wrong]))
    path.write_text(INTRODUCTION + "".join(f"\n## {title}\n\n" + "\n".join(rows) + "\n" for title, rows in sections))
