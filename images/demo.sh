#!/bin/sh
# The demo on debian:12: from its registry, else made from Debian's own packages.
# usage: demo.sh PYRO
set -eu
here=$(cd "$(dirname "$0")" && pwd)
pyro=$1
image=$here/../target/images/debian-12.oci.tar
firmware=$here/../target/lib/libkrunfw.so.5
[ ! -e "$firmware" ] || export PYRO_LIBKRUNFW="${PYRO_LIBKRUNFW:-$firmware}"

if ! "$pyro" env inspect debian:12 > /dev/null 2>&1 && ! timeout 600 "$pyro" env pull debian:12; then
	echo "demo: debian:12 cannot be pulled here: making it from Debian's own packages" >&2
	[ -e "$image" ] || "$here/build.sh" debian:12 "$image"
	"$pyro" env import "$image" -t debian:12
fi
exec "$pyro" demo --allow-host-compat
