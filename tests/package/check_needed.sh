#!/usr/bin/env bash
# check_needed.sh PROGRAM: what it is linked to at start is libc, libstdc++, PCRE2 and zlib alone. (The Vulkan loader and shaderc are
# opened when they are wanted.)
set -euo pipefail
needed=$(readelf -d "$1" | sed -nE 's/.*\(NEEDED\).*\[(.*)\]/\1/p')
[ -n "$needed" ] || { echo "$1 names no library at all"; exit 1; }
extra=$(grep -vE '^(libc|libm|libdl|libpthread|librt)\.so\.[0-9]+$|^ld-linux[^ ]*$|^libstdc\+\+\.so\.6$|^libpcre2-8\.so\.0$|^libz\.so\.1$' <<<"$needed" || true)
if [ -n "$extra" ]; then echo "$1 also needs:" $extra; exit 1; fi
echo "needs:" $needed
