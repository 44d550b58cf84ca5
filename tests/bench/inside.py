"""Measures real guests where they boot: inside.py PYRO IMAGE TREE RUNS. Prints a JSON object.

Runs in the KVM lab, which has nothing but Python's standard library.
"""

import contextlib
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


# Of the round trips of a command, and of the work on a tree, which takes long.
TRIPS_EACH, TREES_AT_MOST = 8, 5
EXPORTED_MIB = 256
# What is on the disk is on it before the clock starts, and nothing else runs. The first `git status` looks into
# every file, since none is as the index has it.
STEPS = (("tar -x", "tar -xf /run/tree.tar -C $place"), ("first git status", "git -C $place/t status --porcelain"),
         ("git status", "git -C $place/t status --porcelain"), ("rm -rf", "rm -rf $place/t"))
WORK = "sync; began=$(date +%s%N); {step} >&2 && echo $(($(date +%s%N) - began))"


def main(pyro, image, tree, runs):
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
        held = memory(command)
        with workspace(command) as identity:
            trips = commands(command, identity, int(runs) * TRIPS_EACH)
            worked = files(command, identity, tree, min(int(runs), TREES_AT_MOST))
        print(json.dumps({**took, "parts": parts, "memory": held, "commands": trips, "files": worked}))


@contextlib.contextmanager
def workspace(command):
    words = [*command, "workspace", "create", "debian:12", "--id-only", "--ttl-seconds", "7200"]
    identity = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    yield identity
    subprocess.run([*command, "workspace", "delete", identity], check=True, capture_output=True)


def execute(command, identity, script, **streams):
    words = [*command, "workspace", "exec", identity, "--timeout-seconds", "3600"]
    interactive = ["-i"] if "stdin" in streams else []
    return subprocess.run([*words, *interactive, "--", "sh", "-c", script], check=True, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True, **streams).stdout


def commands(command, identity, trips):
    """Round trips of `true`: in a guest that idles, and while a file is exported again and again."""
    program = command[0]
    plain = [timed([program, "--version"]) + timed(["true"]) for _ in range(trips)]
    trip = [*command, "workspace", "exec", identity, "--", "true"]
    timed(trip)
    idle = [timed(trip) for _ in range(trips)]
    execute(command, identity, f"head -c {EXPORTED_MIB}M /dev/urandom > /workspace/large && sync")
    with tempfile.TemporaryDirectory() as scratch:
        export = Exports([*command, "workspace", "export", identity, "/workspace/large", "--output"], Path(scratch))
        busy = []
        while len(busy) < trips:
            running = export.running()
            took = timed(trip)
            # Only what an export went on beside from beginning to end.
            if running.poll() is None:
                busy.append(took)
        export.end()
    execute(command, identity, "rm /workspace/large")
    return {"plain": plain, "idle": idle, "exporting": busy}


class Exports:
    """Exports one after the other, each to a path of its own."""

    def __init__(self, words, scratch):
        self.words, self.scratch, self.number, self.child = words, scratch, 0, None

    def running(self):
        """An export that is under way: the last one, or, if that is done, the next."""
        if self.child is None or self.child.poll() is not None:
            self.end()
            self.number += 1
            words = [*self.words, self.scratch / str(self.number)]
            self.child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return self.child

    def end(self):
        if self.child is not None:
            if self.child.wait():
                sys.exit("an export failed")
            (self.scratch / str(self.number)).unlink()
            self.child = None


def files(command, identity, tree, runs):
    """Step → place → seconds: work on a tree in /workspace, and in /tmp, which is on the same disk, but not in
    the overlay."""
    with open(tree, "rb") as tar:
        execute(command, identity, "cat > /run/tree.tar", stdin=tar)
    took = {name: {"/tmp": [], "/workspace": []} for name, _ in STEPS}
    for turn in range(runs + 1):
        for place in ("/tmp", "/workspace"):
            for name, step in STEPS:
                seconds = int(execute(command, identity, WORK.format(step=step.replace("$place", place)))) / 1e9
                if turn:
                    took[name][place].append(seconds)
    return took


def timed(words):
    began = time.monotonic()
    subprocess.run(words, check=True, capture_output=True)
    return time.monotonic() - began


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
