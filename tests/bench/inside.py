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

# Mappings from this size on are the guest's: its memory, and the kernel image, which comes from a file.
GUEST_KIB = 16 << 10
PARTS = (("host side", "begun", "entering"), ("monitor and early kernel", "entering", "kernel"),
         ("kernel", "kernel", "agent"), ("agent", "agent", "ready"), ("command", "ready", "command ended"),
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
                                      capture_output=True, text=True)
                if done.returncode:
                    sys.exit(done.stderr)
                if turn:
                    took[name].append(time.monotonic() - began)
                if turn and name == "pyro":
                    points = trace(done.stderr)
                    for part, before, after in PARTS:
                        parts[part].append(points[after] - points[before])
        print(json.dumps({**took, "parts": parts, "memory": memory(command)}))


def trace(text):
    """Points of a start, in seconds. The agent's steps are on its guest's clock, which starts with the
    kernel; the last is said to be the moment at which pyro heard that the agent is ready."""
    points = {name: int(at) / 1e6 for name, at in re.findall(r"startup: (.*?) at_us=(\d+)", text)}
    steps = [int(at) / 1e6 for at in re.findall(r"startup: agent .* guest_us=(\d+)", text)]
    points["kernel"] = points["ready"] - steps[-1]
    points["agent"] = points["kernel"] + steps[0]
    return points


def memory(command):
    """What the two processes of a machine hold, in KiB."""
    child = subprocess.Popen([*command, "run", "--timeout-seconds", "120", "debian:12", "--", "sh", "-c",
                              "echo up; exec sleep 100"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert child.stdout.readline() == b"up\n"
        held = dict.fromkeys(("guest", "kernel", "own", "own_private"), 0)
        for process in Path("/proc").glob("[0-9]*"):
            try:
                program, maps = os.readlink(process / "exe"), (process / "smaps").read_text()
            except OSError:
                continue
            if not program.endswith("/pyro-machine"):
                continue
            for mapping in re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", maps, flags=re.M)[1:]:
                kib = {name: int(count) for name, count in re.findall(r"^(\w+): +(\d+) kB", mapping, re.M)}
                if kib["Size"] >= GUEST_KIB:
                    held["kernel" if "/" in mapping.splitlines()[0] else "guest"] += kib["Rss"]
                else:
                    held["own"] += kib["Pss"]
                    held["own_private"] += kib["Private_Dirty"]
        return held
    finally:
        child.terminate()
        child.wait()


main(*sys.argv[1:])
