#!/usr/bin/env bash
# check_exports.sh LIBRARY HEADER: the shared library exports the functions that the C header declares, all of them and nothing else.
set -euo pipefail
exported=$(nm -D --defined-only "$1" | awk '{ print $3 }' | sort)
# Declarations begin a line with LAHAR_API; the name is what stands before the first parenthesis.
declared=$(tr '\n' ' ' <"$2" | grep -oE 'LAHAR_API [^;(]*\(' | sed -nE 's/.*[ *](lahar_[a-z0-9_]+) *\($/\1/p' | sort -u)
[ -n "$declared" ] || { echo "$2 declares no function with LAHAR_API"; exit 1; }
if ! difference=$(diff <(echo "$declared") <(echo "$exported")); then
    echo "declared in the header (<) or exported by the library (>) alone:"; echo "$difference"; exit 1
fi
echo "$(wc -l <<<"$declared") functions, nothing else"
