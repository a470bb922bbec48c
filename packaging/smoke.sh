#!/usr/bin/env bash
# Whether a program built for another machine works: it starts, moves a file both ways, and scans.
#
#     packaging/smoke.sh qemu-aarch64 target/aarch64-unknown-linux-musl/release/pktcat
set -euo pipefail
pktcat=("$@")
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
