#!/usr/bin/env bash
# Builds pktcat for the systems that it is released for, on one Linux machine:
#
#     packaging/cross.sh               all targets, as for a release
#     packaging/cross.sh check         type-checks all of them, which is faster
#     packaging/cross.sh build TARGET...
#
# What it takes is fetched into target/cross, unless it is there: Rust's libraries for each target by rustup, and
# Zig, whose linker and C library headers serve all of them, by pip (cargo-zigbuild and ziglang, about 100 MB).
# The programs are then in target/TARGET/release. Exit status: 0; 1 when a target did not compile; 3 when a part
# could not be had, which is said on a line that begins with "skipped:".
set -euo pipefail
cd "$(dirname "$0")/.."

all=(x86_64-unknown-linux-musl aarch64-unknown-linux-musl x86_64-apple-darwin aarch64-apple-darwin x86_64-unknown-freebsd)
parts=$PWD/target/cross
mkdir -p "$parts"

skip() {
    echo "skipped: $*"
    exit 3
}

# Zig and the program that makes it cargo's linker and C compiler.
get_zig() {
    export PATH="$parts/tools/bin:$PATH"
    if ! command -v cargo-zigbuild > /dev/null || ! zig_path > /dev/null; then
        command -v python3 > /dev/null || skip "no python3, which brings the linker"
        # Unpacked beside, so that what was cut short is not taken for whole.
        rm -rf "$parts/tools.new"
        timeout 600 python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore \
            --target "$parts/tools.new" cargo-zigbuild ziglang > "$parts/pip.log" 2>&1 \
            || skip "pip could not install cargo-zigbuild and ziglang: $(tail -n 1 "$parts/pip.log")"
        rm -rf "$parts/tools"
        mv "$parts/tools.new" "$parts/tools"
    fi
    CARGO_ZIGBUILD_ZIG_PATH=$(zig_path)
    export CARGO_ZIGBUILD_ZIG_PATH
}

zig_path() {
    if [[ -x $parts/tools/ziglang/zig ]]; then
        echo "$parts/tools/ziglang/zig"
    else
        command -v zig
    fi
}

# Rust's libraries for a target.
get_std() {
    local libraries
    libraries=$(rustc --print target-libdir --target "$1" 2> /dev/null) || libraries=
    [[ -n $libraries && -d $libraries ]] && compgen -G "$libraries/libstd-*.rlib" > /dev/null && return
    command -v rustup > /dev/null || return 1
    timeout 300 rustup target add "$1" > "$parts/rustup.log" 2>&1
}

action=${1:-build}
shift || true
case $action in
    build) words=(zigbuild --release) ;;
    check) words=(check) ;;
    *)
        echo "usage: packaging/cross.sh [build|check] [TARGET...]" >&2
        exit 2
        ;;
esac
targets=("$@")
((${#targets[@]})) || targets=("${all[@]}")

get_zig
status=0
for target in "${targets[@]}"; do
    if ! get_std "$target"; then
        echo "skipped: $target: no standard library for it, and rustup could not bring one"
        ((status)) || status=3
        continue
    fi
    began=$SECONDS
    if cargo-zigbuild "${words[@]}" --quiet --locked --target "$target"; then
        program=${CARGO_TARGET_DIR:-target}/$target/release/pktcat
        if [[ $action == build ]]; then
            echo "$target: $program, $(wc -c < "$program") bytes, $((SECONDS - began)) s"
        else
            echo "$target: compiles, $((SECONDS - began)) s"
        fi
    else
        echo "$target: failed"
        status=1
    fi
done
exit "$status"
