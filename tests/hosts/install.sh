#!/bin/sh
# Installs the chat programs from npm into target/hosts, as package-lock.json pins them.
# Their packages hold native programs, so nothing of theirs runs at installation, and node is not needed after it.
set -eu
cd "$(dirname "$0")"
to=../../target/hosts
mkdir -p "$to"
if cmp -s package-lock.json "$to/installed"; then
	exit 0
fi
command -v npm > /dev/null || { echo "test-hosts: npm is missing; install nodejs" >&2; exit 1; }
cp package.json package-lock.json "$to/"
(cd "$to" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
cp package-lock.json "$to/installed"
