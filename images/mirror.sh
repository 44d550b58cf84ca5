#!/bin/sh
# Prints the Debian mirror of this machine's own apt ($DEBIAN_MIRROR overrides), which has every suite.
set -eu
if [ -n "${DEBIAN_MIRROR:-}" ]; then echo "$DEBIAN_MIRROR"; exit; fi
mirror=$(apt-get indextargets --format '$(SITE) $(RELEASE) $(ORIGIN)' 'Created-By: Packages' |
	awk '$3 == "Debian" && $2 !~ /security/ { print $1; exit }')
[ -n "$mirror" ] || { echo "no Debian mirror among apt's sources: set DEBIAN_MIRROR to the address of one" >&2; exit 1; }
echo "$mirror"
