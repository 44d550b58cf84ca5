"""Writes an OCI archive whose layers are the steps from one root tar to the next:

    archive.py OUT ROOT.tar [ROOT.tar...]

Each layer holds what is new or different in its root, and whiteouts for what is gone. Layers are
plain tars with sorted entries and bounded times, so that the same roots give the same bytes.
"""

import hashlib
import io
import json
import os
import sys
import tarfile
import tempfile
import time

EPOCH = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
# Left by the tools that made the root; every machine gets its own.
DROPPED = ("dev/", "proc/", "sys/", "run/", "tmp/")


def clean(info):
    """The entry's name without `./` and `/`; None for what no image should have."""
    name = info.name.removeprefix("./").strip("/")
    if name in ("", ".") or name.startswith(DROPPED):
        return None
    return name


def entries(path):
    """name → (header without times, digest of the content, member)."""
    found = {}
    with tarfile.open(path) as tar:
        for info in tar:
            name = clean(info)
            if name is None:
                continue
            digest = b""
            if info.isreg():
                with tar.extractfile(info) as file:
                    digest = hashlib.file_digest(file, "sha256").digest()
            elif info.islnk():
                digest = found[info.linkname.removeprefix("./").strip("/")][1]
            pax = {key: value for key, value in info.pax_headers.items() if key.startswith("SCHILY.xattr.")}
            found[name] = ((info.type, info.mode, info.uid, info.gid, info.size, info.linkname, info.devmajor,
                            info.devminor, min(int(info.mtime), EPOCH), pax), digest)
    return found


def layer(path, before, after, out):
    """The changes that lead from `before` to `after`, the entries of the root at `path`."""
    changed = {name for name, facts in after.items() if before.get(name) != facts}
    gone = sorted(name for name in before if name not in after)
    with tarfile.open(path) as root, tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        members = {name: info for info in root if (name := clean(info)) is not None}
        # A hard link needs its first name in the same layer.
        for name in sorted(changed):
            if members[name].islnk():
                changed.add(members[name].linkname.removeprefix("./").strip("/"))
        # And a changed entry its directories, for their modes.
        for name in sorted(changed):
            parts = name.split("/")[:-1]
            changed.update("/".join(parts[:count]) for count in range(1, len(parts) + 1))
        links = [name for name in sorted(changed) if members[name].islnk()]
        for name in [name for name in sorted(changed) if not members[name].islnk()] + links:
            info = members[name]
            info.name, info.mtime = name, min(int(info.mtime), EPOCH)
            info.uname = info.gname = ""
            if info.islnk():
                info.linkname = info.linkname.removeprefix("./").strip("/")
            info.pax_headers = {key: value for key, value in info.pax_headers.items()
                                if key.startswith("SCHILY.xattr.")}
            tar.addfile(info, root.extractfile(info) if info.isreg() else None)
        for name in gone:
            folder, base = os.path.split(name)
            if folder in before and folder not in after:
                continue  # goes with its directory
            info = tarfile.TarInfo(os.path.join(folder, f".wh.{base}"))
            info.mtime = EPOCH
            tar.addfile(info)


class Archive:
    """An OCI image layout as a tar."""

    def __init__(self, path):
        self.tar = tarfile.open(path, "w", format=tarfile.PAX_FORMAT)
        self.seen = set()
        self.member("oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}).encode())

    def member(self, name, data):
        info = tarfile.TarInfo(name)
        info.mtime, info.mode = EPOCH, 0o644
        if isinstance(data, bytes):
            info.size = len(data)
            data = io.BytesIO(data)
        else:
            info.size = data.seek(0, os.SEEK_END)
            data.seek(0)
        self.tar.addfile(info, data)
        return info.size

    def blob(self, data, media_type):
        """Stores bytes or an open file under their digest; returns the descriptor."""
        if isinstance(data, bytes):
            digest = hashlib.sha256(data).hexdigest()
        else:
            data.seek(0)
            digest = hashlib.file_digest(data, "sha256").hexdigest()
        size = self.member(f"blobs/sha256/{digest}", data)
        return {"mediaType": f"application/vnd.oci.image.{media_type}", "digest": f"sha256:{digest}", "size": size}

    def json(self, value, media_type):
        return self.blob(json.dumps(value, sort_keys=True).encode(), media_type)


def main(out, *roots):
    archive = Archive(out)
    layers, before = [], {}
    for root in roots:
        after = entries(root)
        with tempfile.TemporaryFile(dir=os.path.dirname(out)) as file:
            layer(root, before, after, file)
            layers.append(archive.blob(file, "layer.v1.tar"))
        before = after
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(EPOCH))
    config = archive.json({
        "created": created, "architecture": "amd64", "os": "linux",
        "config": {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], "Cmd": ["bash"]},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]},
        "history": [{"created": created, "created_by": "images/build.sh"} for _ in layers],
    }, "config.v1+json")
    manifest = archive.json({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                             "config": config, "layers": layers}, "manifest.v1+json")
    manifest["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
    archive.member("index.json", json.dumps({"schemaVersion": 2, "manifests": [manifest]}).encode())
    archive.tar.close()


main(*sys.argv[1:])
