"""Copies the modules that the lab needs, in load order: modules.py TREE OUT

OUT gets the modules and `order`, one line each: the name and its options.
"""

import os
import shutil
import sys

# nested=0: the lab's guests run no guests. avic=0: QEMU emulates none.
WANTED = """crc32c_generic crc32c-intel virtio_pci virtio_blk erofs ext4 overlay virtio_console
9pnet_virtio 9p kvm-amd:nested=0:avic=0 tun vsock vmw_vsock_virtio_transport vhost_vsock
vsock_loopback loop fuse veth bridge dummy nf_tables nft_ct nft_masq nft_chain_nat nft_reject_inet""".split()


def main(tree, out):
    paths, needs = {}, {}
    with open(f"{tree}/modules.builtin") as file:
        builtin = file.read()
    with open(f"{tree}/modules.dep") as file:
        for line in file:
            path, _, rest = line.partition(":")
            name = os.path.basename(path)[:-3]
            paths[name], needs[name] = path, [os.path.basename(word)[:-3] for word in rest.split()]
    order = {}

    def add(name, options):
        name = next((kind for kind in (name, name.replace("-", "_"), name.replace("_", "-")) if kind in paths), name)
        if name not in paths:
            if f"/{name}.ko" not in builtin:
                sys.exit(f"lab: the kernel has no module {name}")
            return
        if name in order:
            return
        for need in reversed(needs[name]):
            add(need, [])
        order[name] = options
        shutil.copy(f"{tree}/{paths[name]}", f"{out}/{name}.ko")

    for word in WANTED:
        name, *options = word.split(":")
        add(name, options)
    with open(f"{out}/order", "w") as file:
        file.writelines(" ".join((name, *options)) + "\n" for name, options in order.items())


main(*sys.argv[1:])
