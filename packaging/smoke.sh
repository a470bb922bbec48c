#!/usr/bin/env bash
# Whether a program for Linux works: it starts, moves a file both ways, and scans.
#
#     packaging/smoke.sh PROGRAM [MACHINE]
#
# MACHINE is the processor that it was built for, such as aarch64. Another one than this machine's is emulated by QEMU's user
# mode (Debian's package qemu-user). Exit status: 0; 3 when there is no emulator, which is said on a line that begins with
# "skipped:"; another one when the program does not work.
set -euo pipefail
pktcat=("$1")
machine=${2:-$(uname -m)}
if [[ $machine != "$(uname -m)" ]]; then
    emulator=$(command -v "qemu-$machine-static" || command -v "qemu-$machine") || {
        echo "skipped: $1: no qemu-$machine to run it"
        exit 3
    }
    pktcat=("$emulator" "$1")
fi
folder=$(mktemp -d)
listener=
trap '[[ -z $listener ]] || kill "$listener" 2> /dev/null || :; rm -rf "$folder"' EXIT
"${pktcat[@]}" --version
head -c 5000000 /dev/urandom > "$folder/file"
"${pktcat[@]}" listen -k --echo --port-file "$folder/port" 127.0.0.1 0 2> /dev/null &
listener=$!
for _ in {1..100}; do
    [[ -s $folder/port ]] && break
    sleep 0.1
done
port=$(< "$folder/port")
timeout 60 "${pktcat[@]}" connect 127.0.0.1 "$port" < "$folder/file" > "$folder/back"
cmp "$folder/file" "$folder/back"
timeout 60 "${pktcat[@]}" scan 127.0.0.1 "$port"
kill "$listener"
status=0
wait "$listener" || status=$?
listener=
[[ $status == 143 ]] || { echo "the listener ended with status $status" >&2; exit 1; }
