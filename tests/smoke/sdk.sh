#!/bin/sh
# Installs the official MCP SDK for the smoke drivers where it is not there yet: for this host's Python and for
# that of the lab, which is Debian 12's.
set -eu
cd "$(dirname "$0")/../.."
wanted=tests/smoke/requirements.txt
for version in $(/usr/bin/python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])') 3.11; do
	sdk=target/smoke/sdk-$version
	! cmp -s "$wanted" "$sdk/requirements.txt" || continue
	echo "smoke: the MCP SDK for Python $version" >&2
	mkdir -p target/smoke
	work=$(mktemp -d target/smoke/work.XXXXXX)
	trap 'rm -rf "$work"' EXIT
	/usr/bin/python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps \
		--only-binary=:all: --python-version "$version" --platform manylinux_2_28_x86_64 \
		--platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 --target "$work" --requirement "$wanted" ||
		{ echo "smoke: the MCP SDK could not be fetched from PyPI" >&2; exit 1; }
	cp "$wanted" "$work/"
	rm -rf "$sdk"
	mv "$work" "$sdk"
	chmod 755 "$sdk"
done
