#!/usr/bin/env bash
# Lays out what a package installs below a folder: packaging/stage.sh PROGRAM FOLDER
#
# FOLDER becomes a prefix such as /usr: bin, share/man, share/doc and the completions. PKTCAT_HOST_BIN names a pktcat that runs
# here, when PROGRAM is one for another machine: completions are printed by the program itself.
set -euo pipefail
program=$(realpath "$1")
mkdir -p "$2"
prefix=$(realpath "$2")
cd "$(dirname "$0")/.."
native=${PKTCAT_HOST_BIN:-$program}

install -Dm755 "$program" "$prefix/bin/pktcat"
for page in man/pktcat*.[157]; do
    section=${page##*.}
    mkdir -p "$prefix/share/man/man$section"
    # Without name and time, so that the same page is the same file every time.
    gzip -9nc "$page" > "$prefix/share/man/man$section/${page##*/}.gz"
    chmod 644 "$prefix/share/man/man$section/${page##*/}.gz"
done
for file in LICENSE-MIT LICENSE-APACHE README.md CHANGELOG.md; do
    install -Dm644 "$file" "$prefix/share/doc/pktcat/$file"
done
completions() {
    mkdir -p "$prefix/$(dirname "$2")"
    "$native" completions "$1" > "$prefix/$2"
    chmod 644 "$prefix/$2"
}
completions bash share/bash-completion/completions/pktcat
completions zsh share/zsh/vendor-completions/_pktcat
completions fish share/fish/vendor_completions.d/pktcat.fish
