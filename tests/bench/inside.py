"""Measures real guests where they boot: inside.py PYRO IMAGE RUNS. Prints a JSON object.

Runs in the KVM lab, which has nothing but Python's standard library.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Mappings from this size on are the guest's memory, or the kernel image that it is given.
GUEST_KIB = 16 << 10
PARTS = (("host side", "begun", "entering"), ("monitor and kernel", "entering", "agent"),
         ("agent ready", "agent", "ready"), ("command", "ready", "command ended"),
         ("teardown", "command ended", "all gone"))


def main(pyro, image, runs):
    with tempfile.TemporaryDirectory() as home:
        command = [pyro, "--home", home]
        subprocess.run([*command, "env", "import", image, "-t", "debian:12"], check=True, capture_output=True)
        contestants = {"true": ["true"], "unshare": ["unshare", "--fork", "--pid", "--mount", "--net", "--ipc",
                                                     "--uts", "--user", "true"],
                       "pyro": [*command, "run", "debian:12", "--", "true"]}
        took = {name: [] for name in contestants}
        parts = {name: [] for name, _, _ in PARTS}
        for turn in range(int(runs) + 1):
            for name, argv in contestants.items():
                began = time.monotonic()
                done = subprocess.run(argv, env={**os.environ, "PYRO_LOG": "startup=debug", "NO_COLOR": "1"},
                                      check=True, capture_output=True, text=True)
                if turn:
                    took[name].append(time.monotonic() - began)
                if turn and name == "pyro":
                    points = trace(done.stderr)
                    for part, before, after in PARTS:
                        parts[part].append(points[after] - points[before])
        print(json.dumps({**took, "parts": parts, "memory": memory(command)}))


def trace(text):
    """Points of a start, in seconds. The agent's steps are on its guest's clock: counted back from when
    it was ready, which took no time to say."""
    points = {name: int(at) / 1e6 for name, at in re.findall(r"startup: (.*?) at_us=(\d+)", text)}
    steps = [int(at) / 1e6 for at in re.findall(r"startup: agent .* guest_us=(\d+)", text)]
    points["agent"] = points["ready"] - (steps[-1] - steps[0])
    return points


def memory(command):
    """What the processes of a machine hold, told apart by mapping."""
    child = subprocess.Popen([*command, "run", "--timeout-seconds", "120", "debian:12", "--", "sh", "-c",
                              "echo up; exec sleep 100"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert child.stdout.readline() == b"up\n"
        own = guest = 0
        processes = 0
        for process in Path("/proc").glob("[0-9]*"):
            try:
                name, maps = (process / "comm").read_text(), (process / "smaps").read_text()
            except OSError:
                continue
            if not name.startswith(("pyro-machine", "krun", "fc_vcpu")):
                continue
            processes += 1
            for mapping in re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", maps, flags=re.M)[1:]:
                field = lambda key: int(re.search(rf"^{key}: +(\d+) kB", mapping, re.M)[1])
                if field("Size") >= GUEST_KIB and "pyro-machine" not in mapping:
                    guest += field("Rss")
                else:
                    own += field("Pss")
        return {"own_kib": own, "guest_kib": guest, "note": f"{processes} processes; shared pages in parts"}
    finally:
        child.terminate()
        child.wait()


main(*sys.argv[1:])
