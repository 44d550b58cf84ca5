#!/bin/sh
# Prints where guests can boot: `host`, if doctor's boot probe passes here, else `lab`.
# usage: where.sh PYRO
set -u
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
"$1" --home "$home" doctor --json 2> /dev/null < /dev/null | /usr/bin/python3 -I -c '
import json, sys
try:
    checks = json.load(sys.stdin)["checks"]
except (ValueError, KeyError):
    checks = []
print("host" if any(check["name"] == "boot" and check["verdict"] == "PASS" for check in checks) else "lab")'
