"""Writes the ELF kernel that a bzImage holds: vmlinux.py BZIMAGE > VMLINUX"""

import struct
import subprocess
import sys

TOOLS = {b"\xfd7z": "xz", b"\x28\xb5/": "zstd", b"\x02!L": "lz4", b"\x1f\x8b\x08": "gzip"}

with open(sys.argv[1], "rb") as file:
    image = file.read()
# The boot protocol's payload_offset and payload_length, counted from the end of the set-up sectors;
# the payload's last four bytes are its unpacked length.
start, length = struct.unpack_from("<II", image, 0x248)
start += ((image[0x1F1] or 4) + 1) * 512
packed = image[start:start + length - 4]
sys.stdout.buffer.write(subprocess.run([TOOLS[packed[:3]], "-dc"], input=packed, stdout=subprocess.PIPE, check=True).stdout)
