#!/usr/bin/env bash
# Packs a program with its pages, completions and licences: packaging/tarball.sh PROGRAM TARGET FOLDER
#
# The archive has one folder, pktcat-VERSION-TARGET, with the layout of a prefix such as /usr/local. Beside it comes a
# checksum for `sha256sum --check`. Prints the name of the archive.
set -euo pipefail
program=$(realpath "$1")
target=$2
mkdir -p "$3"
folder=$(realpath "$3")
cd "$(dirname "$0")/.."
name=pktcat-$(packaging/version.sh)-$target
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
packaging/stage.sh "$program" "$tree/$name"
# Owner, order and times say nothing about the content.
tar --create --xz --file "$folder/$name.tar.xz" --directory "$tree" --sort=name --owner=0 --group=0 --numeric-owner \
    --mtime="@${SOURCE_DATE_EPOCH:-0}" "$name"
(cd "$folder" && sha256sum "$name.tar.xz" > "$name.tar.xz.sha256")
echo "$folder/$name.tar.xz"
