#!/bin/sh
# Makes an environment of the catalog from Debian's own packages, as an OCI archive:
#
#   images/build.sh debian:12 FILE [PACKAGE...]
#
# Two layers: a minimal Debian, shared by all environments and kept beside FILE, and the packages.
# Runs as root, or as a plain user where user namespaces and /etc/subuid allow it. The same packages
# give the same bytes.
set -eu
[ $# -ge 2 ] || { echo "usage: $0 NAME FILE [PACKAGE...]" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
name=$1
mkdir -p "$(dirname "$2")"
out=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")
base=$(dirname "$out")/debian-12.base.tar
# Files are not newer than this.
export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-1735689600}"

packages=$(/usr/bin/python3 -I "$here/catalog.py" "$here/catalog.toml" "$name")
shift 2
[ $# = 0 ] || packages="$packages,$(echo "$*" | tr ' ' ,)"
mirror=$("$here/mirror.sh")
mode=unshare; [ "$(id -u)" = 0 ] && mode=root

# One at a time: the base is shared.
exec 9> "$base.lock"
flock 9
work=$(mktemp -d "$out.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# Without what Debian's own "slim" images leave out, nor what is this host's.
debian() {
	mmdebstrap --quiet --mode=$mode --format=tar \
		--customize-hook='rm -f "$1/etc/hostname" "$1/etc/resolv.conf"' \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
		--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/info/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' "$@"
}

if [ ! -e "$base" ]; then
	echo "images: a minimal Debian 12" >&2
	debian --variant=minbase bookworm "$work/base.tar" "$mirror"
	mv "$work/base.tar" "$base"
fi
set -- "$base"
if [ -n "$packages" ]; then
	echo "images: $name: $packages" >&2
	debian --variant=custom --setup-hook="tar-in '$base' /" --include="$packages" bookworm "$work/full.tar" "$mirror"
	set -- "$base" "$work/full.tar"
fi
/usr/bin/python3 -I "$here/archive.py" "$work/image.tar" "$@"
mv "$work/image.tar" "$out"
echo "images: $name is in $out" >&2
