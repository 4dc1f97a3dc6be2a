#!/usr/bin/env python3
"""Writes utf8_normalize_tables.cpp from the Unicode data of this Python: utf8_normalize_tables.py > utf8_normalize_tables.cpp"""
import sys
import unicodedata

HANGUL = range(0xAC00, 0xD7A4)


def rows(items, per_line):
    lines = []
    for i in range(0, len(items), per_line):
        lines.append("    " + ", ".join(items[i:i + per_line]) + ",")
    return "\n".join(lines)


decompositions, classes = [], []
for code in range(0x110000):
    char = chr(code)
    mapping = unicodedata.decomposition(char)
    if mapping and not mapping.startswith("<") and code not in HANGUL:
        parts = [int(p, 16) for p in mapping.split()] + [0]
        composes = parts[1] != 0 and unicodedata.normalize("NFC", chr(parts[0]) + chr(parts[1])) == char
        decompositions.append((code, parts[0], parts[1], composes))
    combining = unicodedata.combining(char)
    if combining:
        if classes and classes[-1][1] == code - 1 and classes[-1][2] == combining:
            classes[-1][1] = code
        else:
            classes.append([code, code, combining])
pairs = sorted((d[1], d[2], i) for i, d in enumerate(decompositions) if d[3])

print(f"// Written by utf8_normalize_tables.py from Unicode {unicodedata.unidata_version}; not edited by hand.")
print('#include "text/utf8_normalize_tables.h"\n')
print("// clang-format off")
print("namespace lahar::utf8 {\n")
print("const Decomposition kDecompositions[] = {")
print(rows(["{0x%X, 0x%X, 0x%X}" % d[:3] for d in decompositions], 5))
print("};")
print("const size_t kDecompositionCount = std::size(kDecompositions);\n")
print("const uint16_t kCompositions[] = {")
print(rows([str(p[2]) for p in pairs], 20))
print("};")
print("const size_t kCompositionCount = std::size(kCompositions);\n")
print("const CombiningRange kCombiningRanges[] = {")
print(rows(["{0x%X, 0x%X, %d}" % tuple(c) for c in classes], 6))
print("};")
print("const size_t kCombiningRangeCount = std::size(kCombiningRanges);\n")
print("}  // namespace lahar::utf8")
