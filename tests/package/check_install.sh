#!/usr/bin/env bash
# check_install.sh BUILD SOURCE CC CXX: installs the build into an empty folder, moves that away, and builds and runs the examples
# against it outside the build tree: with find_package(lahar), and in C with pkg-config.
set -euo pipefail
build=$1 source=$2 cc=$3 cxx=$4
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT

cmake --install "$build" --prefix "$work/first" >"$work/log" || { cat "$work/log"; exit 1; }
mv "$work/first" "$work/prefix"
cp -r "$source/examples" "$work/examples"

for language in c cpp; do
    echo "== examples/$language with find_package(lahar)"
    cmake -S "$work/examples/$language" -B "$work/build-$language" -DCMAKE_PREFIX_PATH="$work/prefix" -DCMAKE_BUILD_TYPE=Release \
        -DCMAKE_C_COMPILER="$cc" -DCMAKE_CXX_COMPILER="$cxx" >"$work/log" || { cat "$work/log"; exit 1; }
    cmake --build "$work/build-$language" >"$work/log" || { cat "$work/log"; exit 1; }
    ran=""
    for program in "$work/build-$language"/example_*; do
        [ -x "$program" ] || continue
        said=$("$program") || { echo "$(basename "$program") failed with exit code $?"; exit 1; }
        [ -n "$said" ] || { echo "$(basename "$program") said nothing"; exit 1; }
        echo "$(basename "$program"): $(head -n 3 <<<"$said")"; ran=1
    done
    [ -n "$ran" ] || { echo "there is no example in $language"; exit 1; }
done

echo "== examples/c with pkg-config --static"
pc=$(dirname "$(find "$work/prefix" -name lahar.pc)")
export PKG_CONFIG_PATH=$pc${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
for file in "$work/examples/c"/*.c; do
    # shellcheck disable=SC2046
    "$cc" -std=c11 -Wall -Wextra -Werror "$file" -o "$work/by-pkg-config" $(pkg-config --cflags --libs --static lahar-pumice lahar)
    said=$("$work/by-pkg-config") || { echo "$(basename "$file") failed with exit code $?"; exit 1; }
    [ -n "$said" ] || { echo "$(basename "$file") said nothing"; exit 1; }
    echo "$(basename "$file"): $(head -n 3 <<<"$said")"
done
