#!/bin/sh
# Starts a listener on a free port, sends it a file over TCP, and shows what each end saw of it: examples/hello.sh [PKTCAT]
set -eu
pktcat=${1:-pktcat}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
echo 'hello over TCP' > "$folder/message"

"$pktcat" listen -v -x --port-file "$folder/port" 127.0.0.1 0 < /dev/null > "$folder/received" 2> "$folder/listener" &
listener=$!
until [ -s "$folder/port" ] || ! kill -0 "$listener" 2> /dev/null; do sleep 0.1; done
"$pktcat" connect -v -x 127.0.0.1 "$(cat "$folder/port")" < "$folder/message" 2> "$folder/sender"
wait "$listener"

echo '-- the sender:'
cat "$folder/sender"
echo '-- the listener:'
cat "$folder/listener"
echo '-- what has arrived:'
cat "$folder/received"
cmp "$folder/message" "$folder/received"
