"""Rows `workspace`: what workspaces cost beyond a machine, in machines of namespaces."""

import contextlib
import os
import re
import shutil
import statistics
import subprocess
from pathlib import Path

from measure import duration, race, run, say, seconds, together
from starts import ENVIRONMENT
from table import Row

FILES = 10_000
CREATE_GOAL_MS, EXEC_GOAL_MS, DIFF_GOAL_MS, LIST_GOAL_MS = 30, 2, 20, 50
SNAPSHOT_GOAL_MS, RESET_GOAL_MS = 100, 10
SEED_GOAL, DISK_GOAL_MIB = 1.5, 2
MANY, EXECS = 50, 1000


def rows(bench):
    bench.environment()
    pyro = Workspaces(bench)
    with pyro.made():  # unpacks the image, and learns whether a microVM boots here
        pass
    yield from create(bench, pyro)
    yield from diff(bench, pyro)
    yield from states(bench, pyro)
    yield from commands(bench, pyro)
    yield many(pyro)


class Workspaces:
    def __init__(self, bench):
        self.home = bench.home
        self.base = [bench.pyro, "--home", bench.home, "workspace"]

    def create(self, *words):
        """A new workspace: its id, and what making it took."""
        sample = run([*self.base, "create", "--allow-host-compat", "--id-only", *words, ENVIRONMENT])
        return re.search(r"^ws_\w+$", sample.output, re.MULTILINE)[0], sample

    def delete(self, identity):
        run([*self.base, "delete", identity])

    @contextlib.contextmanager
    def made(self, *words):
        identity, _ = self.create(*words)
        try:
            yield identity
        finally:
            self.delete(identity)

    def timed_create(self, *words):
        """What making a workspace takes; it is gone afterwards."""
        identity, sample = self.create(*words)
        self.delete(identity)
        return sample

    def directory(self, identity):
        return self.home / "workspaces" / identity


def checkout(path, files):
    """A git checkout of so many small files, all of them tracked. It stays for the next run: some file systems
    take minutes to make so many files, above all after as many were removed."""
    if path.exists():
        return
    say(f"making a checkout of {files:,} files")
    fresh = path.with_name(f"{path.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    for number in range(files):
        file = fresh / f"d{number % 100:02}" / f"s{number % 1000 // 100}" / f"file{number}.txt"
        if number < 1000:
            file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"line of file {number}\n" * 40)
    # Nothing of it goes on in the background, and objects go into a pack at once.
    git = ["git", "-C", fresh, "-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "gc.auto=0",
           "-c", "maintenance.auto=false", "-c", "core.bigFileThreshold=1", "-c", "core.fsync=none"]
    run(["git", "init", "-q", fresh])
    run([*git, "add", "."])
    run([*git, "commit", "-q", "-m", "all"])
    # As a clone would leave it.
    run([*git, "repack", "-adq"])
    fresh.rename(path)


def create(bench, pyro):
    """From a checkout that was not changed, and from one of which nothing is known."""
    tree, archive = bench.directory / f"checkout-{FILES}", bench.directory / "checkout.tar"
    checkout(tree, FILES)
    pyro.timed_create("--seed-path", tree)
    samples = race(bench.runs(20), {"seeded": lambda: pyro.timed_create("--seed-path", tree),
                                    "empty": pyro.timed_create})
    seeded, empty = seconds(samples["seeded"]), seconds(samples["empty"])
    yield Row(f"create from an unchanged checkout of {FILES:,} files", duration(seeded),
              f"{duration(empty)}: create without one", f"{seeded / empty:.2f}", f"≤ {CREATE_GOAL_MS} ms more",
              f"{(seeded - empty) * 1e3:.1f} ms more; {opened(bench, pyro, tree)} files of the tree opened (strace)")

    def first():
        # Then everything is asked, read and written again. But a machine of namespaces finds its files unpacked.
        shutil.rmtree(bench.home / "cache/seed")
        subprocess.run(["sync"], check=True)
        return pyro.timed_create("--seed-path", tree)

    def tar():
        archive.unlink(missing_ok=True)
        subprocess.run(["sync"], check=True)
        return together([run(["tar", "-cf", archive, "-C", tree, "."]), run(["sync", archive])])

    samples = race(bench.runs(10), {"pyro": first, "tar": tar, "empty": pyro.timed_create})
    # What a workspace takes anyway is no part of it.
    empty = seconds(samples["empty"])
    for sample in samples["pyro"]:
        sample.seconds = max(sample.seconds - empty, 0)
    yield Row.race("first seed from a checkout", samples["pyro"], "tar -cf, sync", samples["tar"], SEED_GOAL,
                   f"{FILES:,} files; beyond a create without one")
    archive.unlink()


def opened(bench, pyro, tree):
    """How many regular files of `tree`, but for git's own, a create opens."""
    log = bench.directory / "strace.log"
    command = ["strace", "-f", "-y", "-e", "trace=open,openat,openat2", "-o", log, *pyro.base, "create",
               "--allow-host-compat", "--id-only", "--seed-path", tree, ENVIRONMENT]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as traced:
        # It follows the supervisor too, which ends with the workspace.
        pyro.delete(traced.stdout.readline().strip())
    paths = re.findall(r"= \d+<([^>]*)>", log.read_text(errors="replace"))
    log.unlink()
    ours = {path for path in paths if path.startswith(f"{tree}/") and not path.startswith(f"{tree}/.git/")}
    return sum(os.path.isfile(path) for path in ours)


def diff(bench, pyro):
    """Ten changed files, in trees of two sizes."""
    took = {}
    for files in (1000, 100_000):
        tree = bench.directory / f"checkout-{files}"
        checkout(tree, files)
        with pyro.made("--seed-path", tree) as identity:
            change = "for n in 0 1 2 3 4 5 6 7 8 9; do echo changed >> d0$n/s0/file$n.txt; done"
            run([*pyro.base, "exec", identity, "--", "sh", "-c", change])
            took[files] = race(bench.runs(20), {"diff": lambda: run([*pyro.base, "diff", identity])})["diff"]
            changed = took[files][0].output.count("diff --git")
            if changed != 10:
                raise SystemExit(f"bench: the diff has {changed} files, not 10")
    small, large = (seconds(samples) for samples in took.values())
    yield Row("diff of 10 files in 100,000", duration(large), f"{duration(small)}: 10 files in 1,000",
              f"{large / small:.2f}", f"≤ {DIFF_GOAL_MS} ms", "of the whole command")


def states(bench, pyro):
    """A snapshot of little over much that was committed before, and what reset and fork take beyond a start."""
    blobs = bench.home / "store/blobs/sha256"
    with pyro.made() as identity:
        shell = lambda script: run([*pyro.base, "exec", "--timeout-seconds", "600", identity, "--", "sh", "-c", script])
        snapshot = lambda name: run([*pyro.base, "snapshot", "create", identity, name])
        shell("for n in $(seq 64); do head -c 16777216 /dev/urandom > big$n; done")
        snapshot("all")
        turn = iter(range(1 << 30))

        def little():
            name = f"n{next(turn)}"
            shell("head -c 262144 /dev/urandom > big1.part && mv big1.part small")
            subprocess.run(["sync"], check=True)
            return snapshot(name)

        def copied():
            subprocess.run(["sync"], check=True)
            copy = bench.directory / "copy"
            return run(["dd", "if=/dev/urandom", f"of={copy}", "bs=256k", "count=1", "conv=fsync", "status=none"])

        before = disk_use(blobs)
        samples = race(bench.runs(10), {"pyro": little, "dd": copied})
        grown = (disk_use(blobs) - before) / (len(samples["pyro"]) + 1) / 2**20
        took, other = seconds(samples["pyro"]), seconds(samples["dd"])
        yield Row("snapshot of 256 KiB over 1 GiB committed", duration(took), f"{duration(other)}: dd conv=fsync",
                  f"{took / other:.1f}", f"≤ {SNAPSHOT_GOAL_MS} ms", f"each grows the store by {grown:.2f} MiB (goal 2)")
        run([*pyro.base, "reset", identity])

        def forked():
            sample = run([*pyro.base, "fork", identity, "--snapshot", "all", "--json"])
            pyro.delete(re.search(r"ws_\w+", sample.output)[0])
            return sample

        samples = race(bench.runs(10), {"reset": lambda: run([*pyro.base, "reset", identity]), "fork": forked,
                                        "create": pyro.timed_create})
        plain = seconds(samples["create"])
        for name in ("reset", "fork"):
            took = seconds(samples[name])
            yield Row(name, duration(took), f"{duration(plain)}: create", f"{took / plain:.2f}",
                      f"≤ {RESET_GOAL_MS} ms more", f"{(took - plain) * 1e3:+.1f} ms")


def disk_use(directory):
    return sum(path.lstat().st_blocks * 512 for path in directory.iterdir())


def commands(bench, pyro):
    """The way there and back of a command, and what a thousand leave."""
    with pyro.made() as identity:
        command = [*pyro.base, "exec", identity, "--", "true"]
        samples = race(bench.runs(40), {"exec": lambda: run(command), "plain": lambda: together(
            [run([pyro.base[0], "--version"]), run(["true"])])})
        took, plain = seconds(samples["exec"]), seconds(samples["plain"])
        yield Row("exec … true", duration(took), f"{duration(plain)}: pyro --version, true", f"{took / plain:.2f}",
                  f"≤ {EXEC_GOAL_MS} ms more", f"{(took - plain) * 1e3:.1f} ms more")
        before = left(pyro, identity)
        for _ in range(EXECS):
            run(command)
        after = left(pyro, identity)
        grown = ", ".join(f"{name} {after[name] - before[name]:+}" for name in before)
        yield Row(f"what {EXECS:,} execs leave", grown, "", "", "0", "without their records in the journal")


def left(pyro, identity):
    """Processes and descriptors of a workspace, and the bytes of its writable layer."""
    processes = family(identity)
    descriptors = sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in processes)
    writable = [path for path in pyro.directory(identity).glob("gen/*/writable/upper/**/*") if path.is_file()]
    return {"processes": len(processes), "descriptors": descriptors,
            "bytes": sum(path.stat().st_size for path in writable)}


def family(identity):
    """The supervisor of a workspace, and all processes below it."""
    parents, found = {}, set()
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            parents[int(entry)] = int(Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()[1])
            words = Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")
            if words[1:2] == [b"supervisor"] and identity.encode() in words:
                found.add(int(entry))
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def many(pyro):
    """Many workspaces of one image: how long it takes to list them, and what each takes on disk."""
    identities = []
    try:
        for number in range(MANY):
            identities.append(pyro.create()[0])
            if number % 10 == 9:
                say(f"{number + 1} workspaces run")
        samples = race(20, {"list": lambda: run([*pyro.base, "list"])})["list"]
        sizes = [sum(path.lstat().st_blocks * 512 for path in pyro.directory(it).rglob("*")) for it in identities]
    finally:
        for identity in identities:
            pyro.delete(identity)
    return Row(f"list of {MANY} running workspaces", duration(seconds(samples)), "", "", f"≤ {LIST_GOAL_MS} ms",
               f"each takes {statistics.median(sizes) / 2**20:.2f} MiB of disk (goal {DISK_GOAL_MIB})")
