"""Rows `import`: from an archive to an image that can be started, against what else does that.

An import makes the disk of a microVM too, so that nothing of the work is left for the first start.
"""

import json
import shutil
import subprocess
from pathlib import Path

from images import Images, in_cache
from measure import peak, race, run, say, together
from table import Row

GOAL, MEMORY_GOAL = 0.25, 64
GZIP = b"\x1f\x8b"
# umoci leaves out what it cannot read, so that layers with zstd need other tools.
UNPACK = """set -eu
for layer in $(python3 -c 'import json, sys
for layer in json.load(open(sys.argv[1]))["layers"]: print(layer["digest"][7:])' "$1/blobs/sha256/$2"); do
	zstd -q -d -c "$1/blobs/sha256/$layer" | tar -x --xattrs -C "$3"
done
"""


def rows(bench):
    images = Images(bench.project)
    entries, size = images.size()
    say(f"the imported image has {entries} entries and {size >> 20} MiB")
    forms = [("OCI archive, gzip", "oci-archive", images.oci("gzip"), False),
             ("OCI archive, zstd", "oci-archive", images.oci("zstd"), True),
             ("docker archive", "docker-archive", images.docker(None), False),
             ("docker archive, gzip", "docker-archive", images.docker("gzip"), False)]
    for form, transport, archive, zstd in forms:
        yield one_form(bench, form, transport, archive, zstd)


def one_form(bench, form, transport, archive, zstd):
    in_cache(archive)
    packed = transport == "docker-archive" and begins(archive, GZIP)
    home, other = bench.directory / "import-home", bench.directory / "import-other"

    def ours():
        fresh(home)
        return run([bench.pyro, "--home", home, "env", "import", archive, "-t", "bench:import"])

    def theirs():
        fresh(other)
        other.mkdir()
        layout = other / "layout"
        steps, source = [], archive
        if packed:
            # skopeo 1.9 reads no docker archive that is compressed as a whole.
            source = other / "plain.tar"
            steps.append(run(["sh", "-c", 'gzip -d -c "$1" > "$2"', "gunzip", archive, source]))
        # Plain layers are compressed by this: umoci does not read them as skopeo could leave them.
        copy = run(["skopeo", "copy", "-q", f"{transport}:{source}", f"oci:{layout}:bench"])
        if not zstd:
            unpack = run(["umoci", "unpack", "--image", f"{layout}:bench", other / "bundle"])
        else:
            (other / "root").mkdir()
            index = json.loads((layout / "index.json").read_text())
            manifest = index["manifests"][0]["digest"].removeprefix("sha256:")
            unpack = run(["sh", "-c", UNPACK, "unpack", layout, manifest, other / "root"])
        return together([*steps, copy, unpack])

    samples = race(bench.runs(3), {"pyro": ours, "other": theirs})
    fresh(home)
    fresh(other)
    rival = "skopeo copy, zstd -d, tar -x (umoci 0.4.7 reads no zstd)" if zstd else "skopeo copy, umoci unpack"
    rival = f"gzip -d, {rival}" if packed else rival
    return Row.race(f"import: {form}", samples["pyro"], rival, samples["other"], goal=GOAL,
                    notes=f"peak {peak(samples['pyro']):.0f} MiB (goal {MEMORY_GOAL}), "
                          f"theirs {peak(samples['other']):.0f} MiB")


def begins(path, magic):
    with open(path, "rb") as file:
        return file.read(len(magic)) == magic


def fresh(path: Path):
    """Removes what the last run left, and waits until the disk is at rest."""
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    subprocess.run(["sync"], check=True)
