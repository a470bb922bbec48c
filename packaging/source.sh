#!/usr/bin/env bash
# Packs the sources of a release, which distributions build from: packaging/source.sh FOLDER [OPTION...]
#
# It is what `cargo package` would publish, with a lock file, and the same bytes each time. An OPTION is one of `cargo
# package`, such as --allow-dirty: what is not committed is otherwise refused. Beside it comes a checksum for `sha256sum
# --check`. Prints the name of the archive.
set -euo pipefail
mkdir -p "$1"
folder=$(realpath "$1")
shift
cd "$(dirname "$0")/.."
name=pktcat-$(packaging/version.sh)
cargo package --no-verify --locked --quiet "$@"
install -m644 "${CARGO_TARGET_DIR:-target}/package/$name.crate" "$folder/$name.tar.gz"
(cd "$folder" && sha256sum "$name.tar.gz" > "$name.tar.gz.sha256")
echo "$folder/$name.tar.gz"
