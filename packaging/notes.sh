#!/usr/bin/env bash
# The release notes of a version, by default of the one in Cargo.toml: its section of CHANGELOG.md.
set -euo pipefail
cd "$(dirname "$0")/.."
version=${1:-$(packaging/version.sh)}
notes=$(awk -v heading="## [$version]" 'index($0, "## [") == 1 { inside = index($0, heading) == 1; next } inside' CHANGELOG.md)
[[ -n ${notes//[[:space:]]/} ]] || { echo "CHANGELOG.md has no section for $version" >&2; exit 1; }
printf '%s\n' "$notes"
