#!/bin/sh
# Evaluates flake.nix with Debian's nix, without the network: nixpkgs is the stub beside this file,
# and the store is a directory that is removed again.
set -eu
cd "$(dirname "$0")/../.."
command -v nix > /dev/null || { echo "check-flake: nix is missing: run make setup" >&2; exit 1; }
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
export HOME="$work" NIX_STORE_DIR="$work/store" NIX_STATE_DIR="$work/state" NIX_LOG_DIR="$work/log"
export NIX_CONF_DIR="$work/conf" NIX_REMOTE=
# Only what the flake reads: a copy, since nix wants a tree without the build's gigabytes.
mkdir -p "$work/tree" "$work/conf"
cp flake.nix Cargo.toml Cargo.lock "$work/tree/"
cp -r tests/flake/nixpkgs-stub "$work/nixpkgs"

# Quiet unless it fails: nix warns about a store of one's own each time.
flake() {
	verb=$1; shift
	nix --offline --extra-experimental-features 'nix-command flakes' "$verb" "$@" \
		--override-input nixpkgs "path:$work/nixpkgs" --no-write-lock-file 2> "$work/errors" ||
		{ cat "$work/errors" >&2; exit 1; }
}

flake flake show "path:$work/tree" > /dev/null
for output in packages.x86_64-linux.default packages.x86_64-linux.agent devShells.x86_64-linux.default; do
	flake eval --raw "path:$work/tree#$output.drvPath" > /dev/null
done
program=$(flake eval --raw "path:$work/tree#apps.x86_64-linux.default.program")
case $program in "$work"/store/*/bin/pyro) ;; *) echo "check-flake: the app is $program" >&2; exit 1 ;; esac
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
name=$(flake eval --raw "path:$work/tree#packages.x86_64-linux.default.name")
[ "$name" = "pyro-$version" ] || { echo "check-flake: the package is $name" >&2; exit 1; }
echo "check-flake: $name"
