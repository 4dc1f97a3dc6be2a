#!/usr/bin/env python3
"""Tests of check_kernels.py on made-up devices: what must fail does."""
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.dont_write_bytecode = True

import check_kernels  # noqa: E402
import kernel_baseline  # noqa: E402
import kernel_document  # noqa: E402


def pipeline(name, variant, **said):
    numbers = {"registers": 64, "spills": 0, "shared_memory": 1024, "occupancy": 16, "estimate": 100}
    return {"name": name, "variant": variant, "status": "ok"} | numbers | said


def decode(head_dim, kv_type=0, items=4, **said):
    """A pipeline of attention_decode; constants by their places in the shader."""
    constants = {"SUBGROUPS": 4, "SUBGROUP_SIZE": 32, "TEAM": 16, "LANE_DIMS4": 2, "HEAD_DIM": head_dim, "GROUP": 4, "ITEMS": items,
                 "SPLIT": 1, "KV_TYPE": kv_type, "SCORES": 0, "VALUE_DIM": head_dim}
    ids = kernel_baseline.constants_of("attention_decode")
    values = sorted((ids[name], value) for name, value in constants.items())
    return pipeline("attention_decode", "128x1x1 " + " ".join(str(value) for _, value in values), **said)


# One of each watched kernel, and wide heads that spill.
DEVICE = [
    pipeline("gemv", "q4_0 128x1x1 4 1 4 0 0 1 4"),
    pipeline("gemv", "q4_0 128x1x1 2 16 4 0 0 1 4", occupancy=8),
    pipeline("gemm", "q4_0 256x1x1 0 64"),
    pipeline("moe_decode", "q4_0 128x1x1 4 1 4 0 1"),
    pipeline("head_product", "q4_0 128x1x1 1 0"),
    decode(128), decode(128, kv_type=5), decode(576, spills=200, occupancy=2),
    pipeline("sample_draw", "256x1x1", spills=3),
]


def changed(number, **said):
    return [kernel | said if i == number else kernel for i, kernel in enumerate(DEVICE)]


class Classes(unittest.TestCase):
    def test_of_the_watched_kernels(self):
        names = [kernel_baseline.class_of(k["name"], k["variant"]) for k in DEVICE]
        self.assertEqual(names, ["q4_0 x1", "q4_0 x16", "q4_0", "q4_0 x1", "q4_0 x1", "dim 128 f16", "dim 128 i4", "dim 576 f16", ""])

    def test_constants_are_those_of_the_shader(self):
        self.assertEqual(kernel_baseline.constants_of("attention_merge")["VALUE_DIM"], 3)
        self.assertEqual(kernel_baseline.class_of("attention_merge", "32x1x1 512 0"), "dim 512")

    def test_types_of_the_cache_are_those_of_the_shader(self):
        text = (kernel_baseline.ROOT / "shaders" / "attention" / "kv.glsl").read_text()
        for number, name in enumerate(kernel_baseline.CACHE_TYPES):
            self.assertIn(f"kKv{name.upper()} = {number}", text)

    def test_a_line_has_the_worst(self):
        lines = kernel_baseline.lines_of("gpu", [decode(64, spills=1, occupancy=9), decode(64, items=2, occupancy=4), decode(64, items=1)])
        line = lines["gpu", "attention_decode", "dim 64 f16"]
        self.assertEqual((line.pipelines, line.spills, line.occupancy, line.occupancy_median), (3, 1, 4, 9))


class Judgement(unittest.TestCase):
    def setUp(self):
        self.baseline = kernel_baseline.lines_of("gpu", DEVICE)

    def wrong(self, kernels, device="gpu"):
        return check_kernels.regressions(kernel_baseline.lines_of(device, kernels), self.baseline)

    def test_the_same_again(self):
        self.assertEqual(self.wrong(DEVICE), [])

    def test_one_more_spill_in_every_watched_kernel(self):
        for number, kernel in enumerate(DEVICE[:-1]):
            with self.subTest(kernel["name"]):
                self.assertEqual(len(self.wrong(changed(number, spills=kernel["spills"] + 1))), 1)

    def test_wide_heads_hide_nothing_of_narrow_ones(self):
        self.assertEqual(self.wrong(changed(5, spills=100)), ["gpu: attention_decode dim 128 f16 spills 100; it was 0"])
        self.assertEqual(len(self.wrong(changed(5, occupancy=8))), 2)  # and the middle

    def test_many_rows_hide_nothing_of_one(self):
        self.assertTrue(self.wrong(changed(0, occupancy=8)))

    def test_a_quarter_of_the_occupancy(self):
        self.assertEqual(self.wrong(changed(0, occupancy=12)), [])
        self.assertTrue(self.wrong(changed(0, occupancy=11)))

    def test_fewer_spills_and_other_kernels(self):
        self.assertEqual(self.wrong(changed(7, spills=0)), [])
        self.assertEqual(self.wrong(changed(8, spills=50, occupancy=1)), [])

    def test_a_new_class_may_not_spill(self):
        self.assertEqual(self.wrong(DEVICE + [decode(96)]), [])
        self.assertTrue(self.wrong(DEVICE + [decode(96, spills=1)]))

    def test_a_new_device(self):
        self.assertEqual(self.wrong(changed(5, spills=9), "new"), [])
        self.assertEqual(self.wrong(changed(0, spills=9), "new"), ["new: gemv q4_0 x1 spills 9; it was 0"])

    def test_nothing_said(self):
        nothing = {name: None for name in ("registers", "spills", "shared_memory", "occupancy", "estimate")}
        self.assertEqual(self.wrong([kernel | nothing for kernel in DEVICE]), [])


class Files(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def load(self, text):
        path = self.folder / "gpu.json"
        path.write_text(text)
        return check_kernels.load(path)

    def test_what_was_not_built(self):
        self.assertEqual(self.load(json.dumps(DEVICE))[1], [])
        self.assertEqual(self.load(json.dumps(changed(2, status="no memory")))[1], ["gpu: gemm q4_0 256x1x1 0 64: no memory"])

    def test_what_is_not_there(self):
        self.assertEqual(self.load(json.dumps(DEVICE[:5] + DEVICE[8:]))[1], ["gpu: no kernel named attention among 6"])
        self.assertIn("no JSON", self.load("[")[1][0])
        self.assertIn("lacks spills", self.load(json.dumps([{k: v for k, v in DEVICE[0].items() if k != "spills"}]))[1][0])

    def test_the_baseline_comes_back(self):
        path, lines = self.folder / "kernels.csv", kernel_baseline.lines_of("gpu", changed(0, registers=None))
        kernel_baseline.write(lines, path)
        self.assertEqual(kernel_baseline.read(path), lines)

    def test_some_kernels_leave_the_others_lines(self):
        before = kernel_baseline.lines_of("gpu", DEVICE) | kernel_baseline.lines_of("other", DEVICE)
        now = kernel_baseline.lines_of("gpu", [pipeline("gemm", "q8_0 256x1x1 0 64")])
        accepted = check_kernels.merged(before, now, {"gpu"}, "gemm")
        self.assertEqual(set(before) - set(accepted), {("gpu", "gemm", "q4_0")})
        self.assertEqual(set(accepted) - set(before), {("gpu", "gemm", "q8_0")})
        self.assertEqual(set(check_kernels.merged(before, now, {"gpu"})), {key for key in before if key[0] == "other"} | set(now))

    def test_the_page(self):
        kernel_document.write(kernel_baseline.lines_of("gpu", DEVICE), self.folder / "page.md", ["something"])
        page = (self.folder / "page.md").read_text()
        self.assertIn("| device | 128 | 576 |", page)
        self.assertIn("| gpu | 64/16 | 64/2 **200 spilled** |", page)
        self.assertIn("| sample_draw | gpu 3 |", page)
        self.assertIn("- something", page)

    def test_the_program_fails_where_something_is_wrong(self):
        (self.folder / "new.json").write_text(json.dumps(changed(0, spills=1)))
        command = [sys.executable, str(HERE / "check_kernels.py"), str(self.folder / "page.md"), str(self.folder)]
        self.assertEqual(subprocess.run(command, capture_output=True, check=False).returncode, 1)
        (self.folder / "new.json").write_text(json.dumps(DEVICE))
        self.assertEqual(subprocess.run(command, capture_output=True, check=False).returncode, 0)


if __name__ == "__main__":
    unittest.main()
