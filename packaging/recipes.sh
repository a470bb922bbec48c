#!/usr/bin/env bash
# Fills in the recipes for Homebrew and Arch for a release: packaging/recipes.sh ARCHIVE FOLDER
#
# ARCHIVE is what packaging/source.sh has packed. FOLDER gets a pktcat.rb and a PKGBUILD with its checksum, and with the
# addresses that the environment names: PKTCAT_DOWNLOAD_URL is the folder the archive is downloaded from, PKTCAT_PROJECT_URL
# the project's page. Without the two they stay at example.org, which is said.
set -euo pipefail
archive=$(realpath "$1")
mkdir -p "$2"
folder=$(realpath "$2")
cd "$(dirname "$0")"
name=pktcat-$(./version.sh).tar.gz
[[ ${archive##*/} == "$name" ]] || { echo "$archive is not of this version: $name" >&2; exit 1; }
sum=$(sha256sum < "$archive")
sum=${sum%% *}
placeholder=https://example.org/pktcat
project=${PKTCAT_PROJECT_URL:-$placeholder}
downloads=${PKTCAT_DOWNLOAD_URL:-$placeholder}
if [[ -z ${PKTCAT_PROJECT_URL:-} && -n ${PKTCAT_DOWNLOAD_URL:-} || -n ${PKTCAT_PROJECT_URL:-} && -z ${PKTCAT_DOWNLOAD_URL:-} ]]; then
    echo "PKTCAT_PROJECT_URL and PKTCAT_DOWNLOAD_URL go together" >&2
    exit 1
fi
for url in "$project" "$downloads"; do
    [[ $url =~ ^https://[[:alnum:]._~:/@%+-]+$ ]] || { echo "no address for a recipe: $url" >&2; exit 1; }
done

# Fills in one recipe; every one of the replacements has to be for something.
fill() {
    local file=$1 text from
    shift
    text=$(< "$file")
    while (($#)); do
        from=$1
        [[ $text == *"$from"* ]] || { echo "$file has no $from" >&2; exit 1; }
        text=${text//"$from"/"$2"}
        shift 2
    done
    printf '%s\n' "$text" > "$folder/$file"
}

# shellcheck disable=SC2016 # $url and the like are PKGBUILD's.
fill PKGBUILD "sha256sums=('SKIP')" "sha256sums=('$sum')" '::$url/' "::$downloads/" "url='$placeholder'" "url='$project'"
fill pktcat.rb "$(printf '%064d' 0)" "$sum" "\"$placeholder/pktcat-" "\"$downloads/pktcat-" "$placeholder" "$project"
[[ $project != "$placeholder" ]] \
    || echo "note: the recipes name example.org: PKTCAT_PROJECT_URL and PKTCAT_DOWNLOAD_URL say where the release is"
