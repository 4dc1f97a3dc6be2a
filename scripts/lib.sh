# shellcheck shell=bash disable=SC2016
# What the scripts share: messages, root, what is missing on this machine, and a quiet build. Sourced, not run.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '%s\n' "$*" >&2; }
die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# A Vulkan SDK's tools come before the system's.
if [ -n "${VULKAN_SDK:-}" ]; then PATH=$VULKAN_SDK/bin:$PATH; fi

# as_root CMD...: with sudo where this is not root; sudo asks for a password only where there is a terminal
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif ! command -v sudo >/dev/null; then die "this needs root and there is no sudo: run scripts/setup as root"
    elif [ -t 2 ] && [ -r /dev/tty ]; then sudo "$@"
    else sudo -n "$@" || die "this needs root and sudo wants a password, which cannot be asked for here: run scripts/setup in a terminal"
    fi
}

# release: what /etc/os-release says, as debian-12
release() { (. /etc/os-release 2>/dev/null; echo "${ID:-}-${VERSION_ID:-}"); }

# recipe: which list of packages fits: debian12, debian13, ubuntu2404, none. Debian 12 is told by what apt is pointed at: a part of
# Debian 13 installed beside it changes what /etc/os-release says.
recipe() {
    if ! command -v apt-get >/dev/null; then echo none; return; fi
    case $(release) in
    debian-12) echo debian12 ;;
    debian-13) if suite_configured bookworm; then echo debian12; else echo debian13; fi ;;
    ubuntu-24.04) echo ubuntu2404 ;;
    *) echo none ;;
    esac
}
suite_configured() { apt-get indextargets --format '$(RELEASE)' 'Identifier: Packages' 2>/dev/null | grep -x "$1" >/dev/null; }

# mirror SUITE: where this machine's own apt gets that suite from (not its security updates)
mirror() {
    apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Identifier: Packages' 2>/dev/null | awk -v s="$1" '$1 == s && !found { print $2; found = 1 }'
}

# headers_ok LINE...: whether the preprocessor accepts these lines; header_ok HEADER: whether it finds that one
header_ok() { headers_ok "#if !__has_include(<$1>)" '#error' '#endif'; }
headers_ok() {
    local flags=()
    if [ -n "${VULKAN_SDK:-}" ]; then flags=(-I"$VULKAN_SDK/include" -I"$VULKAN_SDK/include/vma" -I"$VULKAN_SDK/include/volk"); fi
    printf '%s\n' "$@" | "${CXX:-g++}" -std=c++20 -E -x c++ -o /dev/null "${flags[@]}" -I/usr/include/vma -I/usr/include/volk - 2>/dev/null
}

# shader_compiler_ok: glslc, and where setup can bring one, a glslc that knows cooperative matrices; elsewhere an older one does,
# without the variants that use them
shader_compiler_ok() {
    command -v glslc >/dev/null || return 1
    printf '#version 450\n#extension GL_KHR_cooperative_matrix : require\nvoid main() {}\n' |
        glslc --target-env=vulkan1.3 -fshader-stage=compute -o /dev/null - 2>/dev/null && return 0
    case $(release) in debian-12 | debian-13 | ubuntu-24.04) return 1 ;; esac
}

libraries() { /sbin/ldconfig -p 2>/dev/null || ldconfig -p; }
loader_ok() { [ -e "${VULKAN_SDK:-/nonexistent}/lib/libvulkan.so.1" ] || libraries | grep 'libvulkan\.so\.1' >/dev/null; }
# driver_ok: a Vulkan driver whose library is there: a GPU's own, or Mesa's from version 23 on, which brings lavapipe.
driver_ok() {
    local libraries manifest library
    libraries=$(libraries)
    while read -r manifest; do
        library=$(sed -n '/"library_path"/{s/.*"library_path"[^"]*"\([^"]*\)".*/\1/p;q}' "$manifest")
        case $library in
        "") continue ;;
        /*) [ -e "$library" ] || continue ;;
        */*) [ -e "$(dirname "$manifest")/$library" ] || continue ;;
        *) grep -qF "$library" <<<"$libraries" || [ -e "/usr/lib/$(uname -m)-linux-gnu/$library" ] || continue ;;
        esac
        case $(basename "$manifest") in
        *i686*) continue ;;
        nvidia*) if [ -e /dev/nvidiactl ] || [ -e /dev/dxg ]; then return 0; else continue; fi ;;
        amd_* | amdvlk*) return 0 ;;
        esac
        if ! command -v dpkg-query >/dev/null || dpkg --compare-versions "$(dpkg-query -f '${Version}' -W mesa-vulkan-drivers 2>/dev/null || echo 0)" ge 23; then
            return 0
        fi
    done < <(driver_manifests)
    return 1
}
driver_manifests() {
    local folder
    if [ -n "${VK_DRIVER_FILES:-${VK_ICD_FILENAMES:-}}" ]; then tr ':' '\n' <<<"${VK_DRIVER_FILES:-${VK_ICD_FILENAMES:-}}"; return; fi
    for folder in /usr/share/vulkan/icd.d /usr/local/share/vulkan/icd.d /etc/vulkan/icd.d; do
        if [ -d "$folder" ]; then find -L "$folder" -name '*.json' | sort; fi
    done
}
validation_layer_ok() {
    local folder
    for folder in ${VULKAN_SDK:+"$VULKAN_SDK/share/vulkan/explicit_layer.d"} ${VK_LAYER_PATH:+"$VK_LAYER_PATH"} \
        /usr/share/vulkan/explicit_layer.d /usr/local/share/vulkan/explicit_layer.d /etc/vulkan/explicit_layer.d; do
        if [ -e "$folder/VkLayer_khronos_validation.json" ]; then return 0; fi
    done
    return 1
}
shaderc_ok() {
    [ -e "${VULKAN_SDK:-/nonexistent}/lib/libshaderc_shared.so" ] || libraries | grep 'libshaderc' >/dev/null
}
compiler_ok() { printf '#include <concepts>\n#include <span>\n#if __cplusplus < 202002L\n#error\n#endif\n' | "${CXX:-g++}" -std=c++20 -E -x c++ -o /dev/null - 2>/dev/null; }
fuzzer_ok() {
    local object=/tmp/lahar-fuzzer-probe.$$
    printf 'extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }\n' |
        clang++ -fsanitize=fuzzer,address -x c++ -o "$object" - 2>/dev/null || { rm -f "$object"; return 1; }
    rm -f "$object"
}

# The checks: one line each of KIND|NAME|COMMAND. KIND says which packages bring it: tools, toolchain, loader, driver, demo, window, test or fuzz.
checks() {
    cat <<'LIST'
tools|a C++20 compiler (g++ 12 or newer)|compiler_ok
tools|cmake|command -v cmake
tools|ninja|command -v ninja
tools|pkg-config|command -v pkg-config
tools|nlohmann/json.hpp|header_ok nlohmann/json.hpp
tools|CLI/CLI.hpp (CLI11)|header_ok CLI/CLI.hpp
tools|PCRE2 (libpcre2-8)|pkg-config --exists libpcre2-8
tools|zlib|pkg-config --exists zlib
tools|GoogleTest|header_ok gtest/gtest.h
toolchain|vulkan/vulkan.h, 1.3.275 or newer|headers_ok '#include <vulkan/vulkan_core.h>' '#if VK_HEADER_VERSION < 275 && !defined(VK_VERSION_1_4)' '#error' '#endif'
toolchain|volk.h|header_ok volk.h
toolchain|vk_mem_alloc.h|header_ok vk_mem_alloc.h
toolchain|glslc|shader_compiler_ok
toolchain|spirv-val|command -v spirv-val
toolchain|the shaderc library|shaderc_ok
loader|the Vulkan loader (libvulkan.so.1)|loader_ok
driver|a Vulkan driver|driver_ok
demo|GLFW 3.3 or newer|pkg-config --atleast-version=3.3 glfw3
demo|Dear ImGui 1.90|pkg-config --atleast-version=1.90 --max-version=1.90.1 imgui
demo|fontconfig and FreeType|pkg-config --exists fontconfig freetype2
demo|stb_image_write.h|header_ok stb/stb_image_write.h
window|Xvfb|command -v Xvfb
window|xdotool|command -v xdotool
window|libX11's headers|header_ok X11/Xlib.h
test|the Vulkan validation layer|validation_layer_ok
fuzz|clang with libFuzzer|fuzzer_ok
LIST
}

# missing KIND...: prints KIND|NAME of every check of these kinds that fails
missing() {
    local kind name command
    while IFS='|' read -r kind name command; do
        case " $* " in *" $kind "*) ;; *) continue ;; esac
        if ! eval "$command" >/dev/null 2>&1 </dev/null; then printf '%s|%s\n' "$kind" "$name"; fi
    done < <(checks)
}

# configure PRESET [ARG...]: only where the tree is not configured yet, or ARG differs from the last time
configure() {
    local preset=$1 folder; shift
    folder=$here/build; if [ "$preset" != release ]; then folder=$here/build-$preset; fi
    if command -v ccache >/dev/null; then set -- -DCMAKE_CXX_COMPILER_LAUNCHER=ccache "$@"; fi
    if [ -e "$folder/build.ninja" ] && [ "$(cat "$folder/.configured-with" 2>/dev/null)" = "$*" ]; then return 0; fi
    say "configuring $(basename "$folder")"
    local log=$folder.log
    if ! (cd "$here" && cmake --preset "$preset" "$@") >"$log" 2>&1 </dev/null; then
        cat "$log" >&2; rm -f "$log"; die "cmake could not configure $folder"
    fi
    grep -iE 'warning|notice|dropped' "$log" >&2 || true
    rm -f "$log"; printf '%s' "$*" >"$folder/.configured-with"
}

# build FOLDER TARGET...: quiet, with one progress line on a terminal; the compiler's words appear only where it fails
build() {
    local folder=$1 log line shown=""; shift
    log=$(mktemp)
    export CCACHE_BASEDIR=${CCACHE_BASEDIR:-$here} CCACHE_NOHASHDIR=1
    if NINJA_STATUS='[%f/%t] ' cmake --build "$folder" --target "$@" </dev/null 2>&1 | tee "$log" | {
        while IFS= read -r line; do
            case $line in '['[0-9]*) ;; *) continue ;; esac
            if [ -t 2 ]; then printf '\r\033[Kbuilding %.70s' "$line" >&2; shown=1
            elif [ -z "$shown" ]; then say "building $(basename "$folder") (a first time takes minutes)"; shown=1; fi
        done
        if [ -n "$shown" ] && [ -t 2 ]; then printf '\r\033[K' >&2; fi
    }; then rm -f "$log"
    else
        grep -vE '^\[[0-9]+/[0-9]+\] (Building|Linking|Generating)' "$log" | tail -n 60 >&2; rm -f "$log"
        die "the build in $folder failed"
    fi
}
