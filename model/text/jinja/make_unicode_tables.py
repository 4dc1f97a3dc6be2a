"""Writes unicode_tables.inc: character classes and case mappings as Python's str methods use them.

Run it with the Python whose behaviour the templates expect: python3 make_unicode_tables.py > unicode_tables.inc
"""
import re
import sys
import unicodedata

MAX = 0x110000
WORD = re.compile(r"\w")


def flags(cp):
    c = chr(cp)
    if 0xD800 <= cp <= 0xDFFF:
        return 0
    f = 0
    for bit, on in enumerate(
        (
            c.isspace(),
            c.isalpha(),
            c.isdecimal(),
            c.isdigit(),
            c.isnumeric(),
            c.isupper(),
            c.islower(),
            unicodedata.category(c) == "Lt",
            c.isprintable(),
            WORD.match(c) is not None,
        )
    ):
        f |= on << bit
    return f


def emit(items, fmt):
    line = ""
    for item in items:
        text = fmt(item)
        if len(line) + len(text) > 122:
            print(line.rstrip())
            line = ""
        line += text
    print(line.rstrip())


def main():
    print("// Made by make_unicode_tables.py from Unicode %s; do not edit." % unicodedata.unidata_version)
    print("// clang-format off")
    print("constexpr ClassChange kClassChanges[] = {  // from this code point on")
    changes, last = [], None
    for cp in range(MAX):
        f = flags(cp)
        if f != last:
            changes.append((cp, f))
            last = f
    emit(changes, lambda x: "{%d,%d}," % x)
    print("};")
    for name, method in (("Upper", str.upper), ("Lower", str.lower), ("Title", str.title)):
        pairs = []
        special = []
        for cp in range(MAX):
            if 0xD800 <= cp <= 0xDFFF:
                continue
            to = method(chr(cp))
            if to == chr(cp):
                continue
            if len(to) == 1:
                pairs.append((cp, ord(to) - cp))
            else:
                special.append((cp, to))
        runs = []  # first, last, step, delta
        for cp, delta in pairs:
            if runs:
                r = runs[-1]
                step = cp - r[1]
                if r[3] == delta and (step == r[2] or (r[0] == r[1] and step <= 2)):
                    r[1], r[2] = cp, step
                    continue
            runs.append([cp, cp, 1, delta])
        print("constexpr CaseRun k%sRuns[] = {  // first, last, step, added" % name)
        emit(runs, lambda r: "{0x%x,0x%x,%d,%d}," % tuple(r))
        print("};")
        print("constexpr CaseSpecial k%sSpecial[] = {" % name)
        emit(special, lambda s: '{0x%x,"%s"},' % (s[0], "".join("\\x%02x" % b for b in s[1].encode())))
        print("};")


sys.setrecursionlimit(10000)
main()
