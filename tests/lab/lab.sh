#!/bin/sh
exec /usr/bin/python3 -E -s -B "$(dirname "$(readlink -f "$0")")/lab.py" "$@"
