"""The image that imports are measured with, and the forms it comes in; kept in target/bench."""

import os
import tarfile
from pathlib import Path

from measure import run, say

# On top of debian:12-build: what brings it above 500 MB and 40,000 entries.
PACKAGES = ["golang-go", "libboost-dev", "linux-headers-amd64"]
ENTRIES_MIN, BYTES_MIN = 40_000, 500 << 20


class Images:
    def __init__(self, project):
        self.project = project
        self.directory = project / "target/bench/images"
        self.directory.mkdir(parents=True, exist_ok=True)

    def large(self):
        """The archive that all forms are made of: OCI, with plain layers."""
        def make(path):
            # Beside the tests' image, with which it shares its base.
            built = self.project / "target/images/bench.oci.tar"
            run([self.project / "images/build.sh", "debian:12-build", built, *PACKAGES])
            built.rename(path)
        return self.made("large.tar", make)

    def oci(self, compression):
        """An OCI archive with compressed layers."""
        flags = ["--dest-compress-format", compression] if compression != "gzip" else []
        return self.made(f"oci-{compression}.tar", lambda path: run(
            ["skopeo", "copy", "-q", *flags, f"oci-archive:{self.large()}", f"oci-archive:{path}:bench"]))

    def docker(self, compression):
        """What `docker save` writes, plain or compressed as a whole."""
        def make(path):
            plain = path.with_suffix(".plain")
            plain.unlink(missing_ok=True)
            run(["skopeo", "copy", "-q", f"oci-archive:{self.large()}", f"docker-archive:{plain}:bench:latest"])
            if compression:
                tool = {"gzip": ["gzip", "-c"], "zstd": ["zstd", "-q", "-c"]}[compression]
                run(["sh", "-c", f"{' '.join(tool)} '{plain}' > '{path}'"])
                plain.unlink()
            else:
                plain.rename(path)
        return self.made(f"docker-{compression or 'plain'}.tar", make)

    def size(self):
        """Entries and bytes of the image's layers, which must be those of a real one."""
        entries = size = 0
        with tarfile.open(self.large()) as archive:
            for member in archive:
                file = archive.extractfile(member)
                if member.size < 1 << 20:
                    continue
                with tarfile.open(fileobj=file) as layer:
                    entries += sum(1 for _ in layer)
                size += member.size
        if entries < ENTRIES_MIN or size < BYTES_MIN:
            raise SystemExit(f"bench: the image has only {entries} entries and {size >> 20} MiB")
        return entries, size

    def made(self, name, make):
        path = self.directory / name
        if not path.exists():
            say(f"making {path.relative_to(self.project)}")
            fresh = self.directory / f"new-{os.getpid()}-{name}"
            fresh.unlink(missing_ok=True)
            make(fresh)
            fresh.rename(path)
        return path


def in_cache(path):
    """Reads a file, so that nobody waits for the disk on its behalf."""
    with open(path, "rb") as file:
        while file.read(1 << 20):
            pass
    return Path(path)
