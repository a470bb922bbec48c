#!/usr/bin/env bash
# Makes a Debian package of a static program: packaging/deb.sh PROGRAM ARCHITECTURE FOLDER
#
# ARCHITECTURE is amd64 or arm64. The package depends on nothing, as the program is static; it needs dpkg-deb and no other
# tool, so that it is made the same way everywhere. Prints the name of the file.
set -euo pipefail
program=$(realpath "$1")
architecture=$2
mkdir -p "$3"
folder=$(realpath "$3")
cd "$(dirname "$0")/.."
version=$(packaging/version.sh)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
chmod 755 "$tree"

packaging/stage.sh "$program" "$tree/usr"
documents=$tree/usr/share/doc/pktcat
# Debian's names for these (Debian Policy, 12.5 and 12.7).
rm "$documents/LICENSE-MIT" "$documents/LICENSE-APACHE" "$documents/README.md"
gzip -9nc CHANGELOG.md > "$documents/changelog.gz"
rm "$documents/CHANGELOG.md"
maintainer=${PKTCAT_MAINTAINER:-pktcat maintainers <pktcat@packages.invalid>}
released=$(sed -n 's/^## \[.*\] - //p' CHANGELOG.md | head -n 1)
gzip -9nc > "$documents/changelog.Debian.gz" << END
pktcat ($version-1) unstable; urgency=medium

  * Release $version: see changelog.gz.

 -- $maintainer  $(LC_ALL=C date --utc --rfc-email --date "$released")
END
{
    cat << 'END'
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: pktcat

Files: *
Copyright: 2026 the pktcat developers
License: Expat or Apache-2.0

License: Expat
END
    sed '1,/^Permission/{/^Permission/!d}; s/^$/./; s/^/ /' LICENSE-MIT
    cat << 'END'

License: Apache-2.0
 On Debian systems the text of this licence is in
 /usr/share/common-licenses/Apache-2.0.
END
} > "$documents/copyright"
mkdir -p "$tree/usr/share/lintian/overrides"
cat > "$tree/usr/share/lintian/overrides/pktcat" << 'END'
# One file that runs everywhere is what this package is for.
pktcat: statically-linked-binary [usr/bin/pktcat]
pktcat: shared-library-lacks-prerequisites [usr/bin/pktcat]
# It is no part of Debian, so nobody has asked for it there.
pktcat: initial-upload-closes-no-bugs [usr/share/doc/pktcat/changelog.Debian.gz:1]
END
find "$tree" -type d -exec chmod 755 {} +
find "$documents" "$tree/usr/share/lintian" -type f -exec chmod 644 {} +

mkdir "$tree/DEBIAN"
(cd "$tree" && find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum > DEBIAN/md5sums)
cat > "$tree/DEBIAN/control" << END
Package: pktcat
Version: $version-1
Architecture: $architecture
Maintainer: $maintainer
Installed-Size: $(du -sk --apparent-size "$tree/usr" | cut -f 1)
Section: net
Priority: optional
Description: netcat for TCP and UDP with honest endings
 pktcat connects standard input and standard output to the network, over TCP,
 UDP and local sockets. It ends with status 0 only when nothing is missing,
 tells refused, unreachable and timed out apart, and shows what passes as a
 dump, a capture or JSON.
 .
 It also serves many clients of one listener, forwards, scans ports, and
 compares TCP with UDP.
END
file=$folder/pktcat_$version-1_$architecture.deb
dpkg-deb --root-owner-group -Zxz --build "$tree" "$file" > /dev/null
echo "$file"
