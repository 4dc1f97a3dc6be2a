#!/usr/bin/env bash
# check_size.sh LIBRARY: the shared library with all its shaders, stripped, is smaller than 8 MB.
set -euo pipefail
copy=$(mktemp); trap 'rm -f "$copy"' EXIT
strip -o "$copy" "$1"
size=$(stat -c %s "$copy")
echo "$size bytes"
[ "$size" -lt 8000000 ]
