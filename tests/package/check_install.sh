#!/usr/bin/env bash
# check_install.sh BUILD SOURCE CC CXX: installs the build into an empty folder, moves that away, and builds and runs the examples
# against it outside the build tree: with find_package(lahar), and in C with pkg-config.
set -euo pipefail
build=$1 source=$2 cc=$3 cxx=$4
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT

cmake --install "$build" --prefix "$work/first" >"$work/log" || { cat "$work/log"; exit 1; }
mv "$work/first" "$work/prefix"
cp -r "$source/examples" "$work/examples"

# run PROGRAM: it has to succeed and to say something
run() {
    local said
    if ! said=$(LD_LIBRARY_PATH=$(dirname "$pc") "$1"); then echo "$(basename "$1") failed"; exit 1; fi
    if [ -z "$said" ]; then echo "$(basename "$1") said nothing"; exit 1; fi
    echo "$(basename "$1"): $(sed -n 1,3p <<<"$said")"
}
pc=$(dirname "$(find "$work/prefix" -name lahar.pc)")

for language in c cpp; do
    case $language in c) compiler=-DCMAKE_C_COMPILER=$cc ;; cpp) compiler=-DCMAKE_CXX_COMPILER=$cxx ;; esac
    echo "== examples/$language with find_package(lahar)"
    cmake -S "$work/examples/$language" -B "$work/build-$language" -DCMAKE_PREFIX_PATH="$work/prefix" -DCMAKE_BUILD_TYPE=Release \
        "$compiler" >"$work/log" || { cat "$work/log"; exit 1; }
    cmake --build "$work/build-$language" >"$work/log" || { cat "$work/log"; exit 1; }
    ran=""
    for program in "$work/build-$language"/example_*; do
        [ -x "$program" ] || continue
        run "$program"; ran=1
    done
    [ -n "$ran" ] || { echo "there is no example in $language"; exit 1; }
done

echo "== examples/c with pkg-config --static"
export PKG_CONFIG_PATH=$pc${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
for file in "$work/examples/c"/*.c; do
    # shellcheck disable=SC2046
    "$cc" -std=c11 -Wall -Wextra -Werror "$file" -o "$work/by-pkg-config" $(pkg-config --cflags --libs --static lahar-pumice lahar)
    run "$work/by-pkg-config"
done
