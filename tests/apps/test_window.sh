#!/usr/bin/env bash
# The demo's window as a user meets it: under Xvfb, fed by xdotool, closed as a window manager does.
#
#   test_window.sh DEMO CLOSE_WINDOW WIDTH HEIGHT
#
# It loads the built-in model, answers a typed prompt, goes on while it is hidden, follows its size, stops at Esc, saves at
# Ctrl-S, and ends cleanly when it is closed in the middle of a reply. Exit code 77: something that this needs is not here.
set -euo pipefail
demo=$(realpath "$1") closer=$(realpath "$2") width=$3 height=$4
for tool in Xvfb xdotool; do
    if ! command -v $tool >/dev/null; then echo "skipped: $tool is not installed"; exit 77; fi
done

work=$(mktemp -d)
cleanup() {
    trap - EXIT
    for pid in ${demo_pid:-} ${server_pid:-}; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true  # the next server may be given this one's number
    done
    rm -rf "$work"
}
trap cleanup EXIT
fail() {
    echo "FAILED: $*"
    sed 's/^/  stderr: /' "$work/stderr" 2>/dev/null || true
    sed 's/^/  saved: /' "$work/conversation.json" 2>/dev/null || true
    exit 1
}

# until_true WHAT CMD...: polls for up to a minute
until_true() {
    local what=$1 deadline=$((SECONDS + 60)); shift
    until "$@"; do
        if [ $SECONDS -gt $deadline ]; then fail "$what: waited a minute (the title: $(title))"; fi
        if ! kill -0 "$demo_pid" 2>/dev/null; then fail "$what: the program has ended"; fi
        sleep 0.05
    done
}
title() { xdotool getwindowname "$window" 2>/dev/null || true; }
titled() { [ "$(title)" = "Lahar: $1" ]; }
# Many colors: text that was drawn smoothly. A black or an empty window has next to none.
drawn() { [ "$(head -c 2000000 "$work/Xvfb_screen0" | tail -c 1900000 | od -An -v -tx4 -w4 | sort -u | wc -l)" -gt 20 ]; }
picture() { cksum <"$work/Xvfb_screen0"; }
changed() { [ "$(picture)" != "$1" ]; }
found() { window=$(xdotool search --onlyvisible --name '^Lahar' 2>/dev/null | head -n 1); [ -n "$window" ]; }
saved() {
    xdotool key ctrl+s
    sleep 0.2
    grep -qs '"content": "Tell me a story about a mountain."' conversation.json
}
sized() { [ "$(xdotool getwindowgeometry --shell "$window" | grep -c -e "^WIDTH=$1\$" -e "^HEIGHT=$2\$")" = 2 ]; }
ask() {
    xdotool mousemove $((width / 8)) $((height - 40)) click 1
    xdotool type --delay 40 "$1"
    xdotool key Return
    until_true "the reply begins" titled "Pumice (built in), writing"
}

mkfifo "$work/display"
Xvfb -displayfd 3 -screen 0 "${width}x${height}x24" -fbdir "$work" -nolisten tcp 3>"$work/display" 2>/dev/null &
server_pid=$!
read -r number <"$work/display"
export DISPLAY=:$number XDG_CONFIG_HOME=$work
cd "$work"
"$demo" --width "$width" --height "$height" --validation 2>"$work/stderr" &
demo_pid=$!
window=""
until_true "a window opens" found
until_true "the model is loaded" titled "Pumice (built in)"
until_true "something is drawn" drawn

empty=$(picture)
ask "Tell me a story about a mountain."
until_true "the reply is complete" titled "Pumice (built in)"
until_true "the reply is shown" changed "$empty"
until_true "Ctrl-S saves" saved
grep -B 3 '"role": "assistant"' conversation.json | grep -q '"content": "[A-Za-z]' || fail "the reply is empty"

# The focus goes elsewhere and comes to no other window, the pointer stays: a click in place still finds the field.
xdotool windowfocus "$(xdotool search --maxdepth 0 '.*' 2>/dev/null)"
sleep 0.5

# Hidden while it writes: the reply goes on; shown again it is drawn.
ask "Tell me a story about the sea."
xdotool windowunmap "$window"
until_true "the reply goes on while nobody looks" titled "Pumice (built in)"
xdotool windowmap "$window"
until_true "it is drawn again" drawn

xdotool key ctrl+l  # the model's context is short
ask "Tell me a story about a river."
xdotool windowsize "$window" 400 300
until_true "the window is small" sized 400 300
xdotool windowsize "$window" "$width" "$height"
until_true "the window is large again" sized "$width" "$height"
xdotool key Escape
until_true "Esc stops" titled "Pumice (built in)"
until_true "it is drawn at its old size" drawn

ask "Tell me a story about a lake."
"$closer" "$window"
status=0
wait "$demo_pid" || status=$?
demo_pid=""
if [ $status != 0 ]; then fail "closed in the middle of a reply it ended with $status"; fi
if grep -q '^validation:' "$work/stderr"; then fail "the validation layer has objections"; fi
echo "ok"
