#!/bin/sh
# Installs what is missing for a purpose, and nothing that is there:
#
#   ./setup.sh build     compile pyro and run it
#   ./setup.sh test      and test it, with the KVM lab
#   ./setup.sh lint      and check licences and advisories
#   ./setup.sh bench     test, and compare with others
set -eu
cd "$(dirname "$0")"
purpose=${1:-test}
say() { printf 'setup: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# Packages: name, first purpose, reason.
packages='
gcc               build  links programs and compiles the C parts of zstd and ring
libc6-dev         build  the same
make              build  the Makefile
git               build  clones, and the sources of workspaces
mmdebstrap        build  makes the official environments where their registry is out of reach
ca-certificates   build  https
debian-archive-keyring build the keys of what mmdebstrap fetches
uidmap            build  lets mmdebstrap run without root
python3           build  images and the lab
python3-pip       build  fetches libkrunfw
docker-registry   test   a real registry on loopback
g++               test   libFuzzer, which drives the fuzz targets
skopeo            test   a second opinion on images
umoci             test   the same on layers
erofs-utils       test   fsck.erofs reads our indexes; the lab has an EROFS root
e2fsprogs         test   the ext4 template; scratch disk of the lab
qemu-system-x86   test   the lab: libraries of the QEMU that it unpacks, or QEMU itself
cpio              test   the lab: initramfs
xz-utils          test   the lab: kernel modules
perl              test   tests of the projects that the smoke drivers work on
strace            test   counts what a seed opens
zstd              test   the lab: the kernel, whichever way it is packed
kmod              test   the lab: order of modules
binutils          test   the lab: smaller modules
busybox-static    test   the lab: first process; the smallest image with a shell
fakeroot          test   the lab: owners in its root image, without root
nix-bin           test   evaluates flake.nix
bubblewrap        bench  a sandbox to compare with
runc              bench  a container runtime to compare with
podman            bench  the same, with an engine on top
'

case $purpose in
build) wanted=' build ' ;;
test) wanted=' build test ' ;;
lint) wanted=' build test lint ' ;;
bench) wanted=' build test bench ' ;;
*) fail "unknown purpose $purpose: build, test, lint or bench" ;;
esac

missing=$(echo "$packages" | while read -r name first _; do
	case $wanted in *" $first "*) ;; *) continue ;; esac
	[ -n "$name" ] || continue
	dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q 'install ok installed' || printf ' %s' "$name"
done)
if [ -n "$missing" ]; then
	sudo=
	if [ "$(id -u)" != 0 ]; then
		command -v sudo > /dev/null || fail "run as root: apt-get install --no-install-recommends$missing"
		sudo='sudo'
	fi
	say "installing$missing"
	$sudo apt-get update -qq
	# shellcheck disable=SC2086  # one word per package
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
		-o DPkg::Lock::Timeout=300 $missing > /dev/null
fi

command -v cargo > /dev/null || fail "no Rust here: install 1.95 or later with rustup (https://rustup.rs)"
case $purpose in test | lint)
	cargo nextest --version > /dev/null 2>&1 || { say "cargo-nextest" && cargo install --locked cargo-nextest; }
	;;
esac
case $purpose in lint)
	cargo deny --version > /dev/null 2>&1 || { say "cargo-deny" && cargo install --locked cargo-deny; }
	;;
esac

# libkrunfw holds the guest kernel. Debian has no package of it; a wheel on PyPI carries the very
# library, of which only this one file is taken.
wheel=microsandbox==0.7.11
member=microsandbox/_bundled/lib/libkrunfw.so.5.6.1
sum=3854efcd3fe625528fa00207d97586d9790db8c436bb6881a43986604336d18e
users=${PYRO_HOME:-${XDG_DATA_HOME:-$HOME/.local/share}/pyro}/lib
have() { echo "$sum  $1" | sha256sum --check --status 2>/dev/null; }
if /sbin/ldconfig -p | grep -q 'libkrunfw\.so\.5 '; then
	say "libkrunfw: the system's"
else
	if ! have target/lib/libkrunfw.so.5; then
		say "libkrunfw, from $wheel"
		mkdir -p target/lib
		work=$(mktemp -d)
		trap 'rm -rf "$work"' EXIT
		python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
			--python-version 3.11 --platform manylinux_2_28_x86_64 --dest "$work" "$wheel" ||
			fail "libkrunfw could not be fetched; put libkrunfw.so.5 into target/lib or into the system"
		python3 -m zipfile -e "$work"/*.whl "$work/wheel"
		have "$work/wheel/$member" || fail "libkrunfw is not the file that was expected ($sum)"
		mv "$work/wheel/$member" target/lib/libkrunfw.so.5
	fi
	if [ ! -e "$users/libkrunfw.so.5" ]; then
		mkdir -p "$users"
		cp target/lib/libkrunfw.so.5 "$users/"
		say "libkrunfw is in $users"
	fi
fi
