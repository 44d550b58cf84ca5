#!/bin/sh
# Builds the KVM lab's images into target/lab (or $LAB_IMG): what is missing or out of date.
#
# Needs the packages that `make setup` installs; no root where user namespaces are on. Everything
# comes from Debian, through the mirror that apt uses here. Takes about two minutes the first time.
set -eu
lab=$(cd "$(dirname "$0")" && pwd)
img=${LAB_IMG:-$lab/../../target/lab}
root_packages=ca-certificates,e2fsprogs,erofs-utils,git,iproute2,kmod,procps,python3,strace
mkdir -p "$img"
img=$(cd "$img" && pwd)

# Two builds at once would trip over each other; and one that was killed leaves its work.
exec 9> "$img/build.lock"
flock 9
rm -rf "$img"/work-*

say() { printf 'lab: %s\n' "$*" >&2; }

mirror=$("$lab/../../images/mirror.sh")

# Downloads into the current directory, with a state of its own: the host's sources stay as they are.
# usage: fetch SUITE PACKAGE...
fetch() {
	apt=$img/apt
	mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
	echo "deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $1 main" > "$apt/sources.list"
	shift
	wanted=$*
	set -- -qq -o APT::Architecture=amd64 -o APT::Architectures=amd64 -o Dir::Etc::sourcelist="$apt/sources.list" \
		-o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists="$apt/lists" -o Dir::Cache="$apt/cache" \
		-o Dir::State::status=/dev/null -o APT::Sandbox::User="$(id -un)"
	apt-get "$@" update
	for package in $wanted; do
		case $package in
		linux-image-amd64) package=$(apt-cache "$@" depends "$package" | awk '/Depends: linux-image/{print $2; exit}') ;;
		esac
		apt-get "$@" download "$package"
	done
}

# QEMU. Before 8.1 its threads race when the lab's kernel patches its own code, and the lab panics
# now and then, so Debian 12's 7.2 will not do: the backport is unpacked here, nothing is installed.
if [ ! -e "$img/qemu" ]; then
	version=$(qemu-system-x86_64 --version 2>/dev/null | sed -n 's/.*version \([0-9]*\)\.\([0-9]*\).*/\1\2/p')
	if [ "${version:-0}" -ge 81 ]; then
		ln -s "$(command -v qemu-system-x86_64)" "$img/qemu"
	else
		say "QEMU from bookworm-backports"
		tree=$img/qemu.tree
		rm -rf "$tree" && mkdir -p "$tree"
		(
			cd "$tree"
			fetch bookworm-backports qemu-system-x86 qemu-system-common qemu-system-data seabios
			for file in *.deb; do dpkg-deb -x "$file" . && rm "$file"; done
		)
		cat > "$img/qemu.new" <<-'QEMU'
		#!/bin/sh
		tree=$(dirname "$(readlink -f "$0")")/qemu.tree
		exec "$tree/usr/bin/qemu-system-x86_64" -L "$tree/usr/share/qemu" -L "$tree/usr/share/seabios" "$@"
		QEMU
		chmod 755 "$img/qemu.new"
		"$img/qemu.new" --version > /dev/null || {
			say "the unpacked QEMU lacks libraries (try make setup):"
			ldd "$tree/usr/bin/qemu-system-x86_64" | grep 'not found' >&2
			exit 1
		}
		mv "$img/qemu.new" "$img/qemu"
	fi
fi

# The kernel: Debian's own, unpacked once, as an ELF image. QEMU enters it by PVH, which spares the
# guest the slow (emulated) decompression of the bzImage.
if [ ! -e "$img/vmlinux" ]; then
	say "kernel"
	work=$(mktemp -d "$img/work-kernel.XXXXXX")
	(cd "$work" && fetch bookworm-backports linux-image-amd64)
	dpkg-deb -x "$work"/linux-image-*.deb "$work/tree"
	tree=$(ls -d "$work"/tree/lib/modules/* "$work"/tree/usr/lib/modules/* 2>/dev/null | head -1)
	release=$(basename "$tree")
	[ "$tree" = "$work/tree/lib/modules/$release" ] || { mkdir -p "$work/tree/lib/modules" && mv "$tree" "$work/tree/lib/modules/"; }
	/usr/bin/python3 -I "$lab/vmlinux.py" "$work/tree/boot/vmlinuz-$release" > "$work/vmlinux"
	find "$work/tree/lib/modules" -name '*.ko.xz' -print0 | xargs -0 -r -n 200 -P "$(nproc)" unxz
	/sbin/depmod -b "$work/tree" "$release"
	rm -rf "$img/modules" && mv "$work/tree/lib/modules/$release" "$img/modules"
	mv "$work/vmlinux" "$img/vmlinux"
	rm -rf "$work"
fi

# The initramfs: busybox, the modules in load order, the init script.
if [ ! -e "$img/initramfs" ] || [ -n "$(find "$lab/guest/init" "$lab/modules.py" "$img/vmlinux" -newer "$img/initramfs")" ]; then
	say "initramfs"
	work=$(mktemp -d "$img/work-initramfs.XXXXXX")
	mkdir -p "$work/bin" "$work/m" "$work/proc" "$work/sys" "$work/dev" "$work/ro" "$work/rw" "$work/root"
	cp /bin/busybox "$work/bin/busybox"
	cp "$lab/guest/init" "$work/init"
	/usr/bin/python3 -I "$lab/modules.py" "$img/modules" "$work/m"
	strip --strip-debug "$work"/m/*.ko
	(cd "$work" && find . | sort | cpio -o -H newc -R 0:0 --quiet --reproducible) > "$img/initramfs.new"
	rm -rf "$work"
	mv "$img/initramfs.new" "$img/initramfs"
fi

# The userland: Debian 12 and a few packages.
if [ ! -e "$img/root.tar" ] || [ "$lab/build.sh" -nt "$img/root.tar" ]; then
	say "userland (about a minute)"
	mode=auto; [ "$(id -u)" = 0 ] && mode=root
	mmdebstrap --quiet --mode=$mode --variant=minbase --format=tar --include="$root_packages" \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
		--customize-hook='chroot "$1" useradd -u 1000 -m -s /bin/bash lab' \
		--customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/* "$1/etc/resolv.conf"' \
		--customize-hook='mkdir -p "$1/lab" "$1/scratch"; echo lab > "$1/etc/hostname"; echo 127.0.0.1 localhost lab > "$1/etc/hosts"' \
		bookworm "$img/root.tar.new" "$mirror"
	mv "$img/root.tar.new" "$img/root.tar"
fi
if [ ! -e "$img/root.erofs" ] || [ -n "$(find "$lab/guest" "$lab/wire.py" "$img/root.tar" -newer "$img/root.erofs")" ]; then
	say "root image"
	work=$(mktemp -d "$img/work-root.XXXXXX")
	fake=fakeroot; [ "$(id -u)" = 0 ] && fake=
	export work img lab
	$fake sh -euc '
		tar -C "$work" -xf "$img/root.tar"
		install -m 644 "$lab/wire.py" "$lab"/guest/*.py "$work/lab/"
		mkfs.erofs -d0 -T0 -U 5d1c1b5e-0000-4000-8000-000000000001 "$img/root.erofs.new" "$work" > "$img/mkfs.log" 2>&1
	' || { cat "$img/mkfs.log" >&2; exit 1; }
	rm -rf "$work"
	mv "$img/root.erofs.new" "$img/root.erofs"
fi

# The scratch disk: an empty ext4 that each machine copies on write.
if [ ! -e "$img/scratch.ext4" ]; then
	truncate -s 16G "$img/scratch.ext4.new"
	/sbin/mke2fs -q -t ext4 -E lazy_itable_init=1,lazy_journal_init=1,nodiscard -m 0 -F "$img/scratch.ext4.new"
	mv "$img/scratch.ext4.new" "$img/scratch.ext4"
fi
rm -rf "$img/apt"
