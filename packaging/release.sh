#!/usr/bin/env bash
# Makes everything of a release: packaging/release.sh FOLDER
#
# Programs for all targets by cross.sh, of which smoke.sh tries those for Linux; then an archive for each, Debian packages of
# the two for Linux, the sources, recipes for Homebrew and Arch that have their checksum (and the addresses that
# recipes.sh takes from the environment), the checksums of all in SHA256SUMS, and the release notes in NOTES.md.
set -euo pipefail
mkdir -p "$1"
folder=$(realpath "$1")
cd "$(dirname "$0")/.."
targets=(x86_64-unknown-linux-musl aarch64-unknown-linux-musl x86_64-apple-darwin aarch64-apple-darwin x86_64-unknown-freebsd)
packaging/cross.sh build "${targets[@]}"
program() { echo "${CARGO_TARGET_DIR:-target}/$1/release/pktcat"; }
for machine in x86_64 aarch64; do
    status=0
    packaging/smoke.sh "$(program "$machine-unknown-linux-musl")" "$machine" || status=$?
    [[ $status == 0 || $status == 3 ]]
done
# The program that runs here prints the completions for all.
PKTCAT_HOST_BIN=$(realpath "$(program "$(uname -m)-unknown-linux-musl")")
export PKTCAT_HOST_BIN
for target in "${targets[@]}"; do
    packaging/tarball.sh "$(program "$target")" "$target" "$folder"
done
packaging/deb.sh "$(program x86_64-unknown-linux-musl)" amd64 "$folder"
packaging/deb.sh "$(program aarch64-unknown-linux-musl)" arm64 "$folder"
packaging/recipes.sh "$(packaging/source.sh "$folder")" "$folder"
packaging/notes.sh > "$folder/NOTES.md"
(cd "$folder" && sha256sum ./*.tar.xz ./*.tar.gz ./*.deb pktcat.rb PKGBUILD > SHA256SUMS)
