"""Rows `guest`: real guests, on this host's KVM where that boots them, else in the KVM lab.

`inside.py` measures there; what it prints is a JSON object.
"""

import json
import os
import statistics

from measure import duration, median, run, say
from table import Row
from trees import FILES, tree

# Exit status of the lab when it is the lab that failed.
LAB_FAILED = 125
FILES_GOAL = 1.15


def rows(bench):
    where = run([bench.project / "tests/guest/where.sh", bench.pyro]).output.strip()
    inside = ["/usr/bin/python3", "-B", bench.project / "tests/bench/inside.py", bench.pyro,
              bench.project / "target/images/debian-12.oci.tar", tree(bench), bench.runs(5)]
    if where == "lab":
        lab = [bench.project / "tests/lab/lab.sh", "--share", f"{bench.project}:ro", "--timeout", "3600",
               "--env", f"PYRO_LIBKRUNFW={os.environ.get('PYRO_LIBKRUNFW', '')}"]
        inside = [*lab, "--", *inside]
    measured = measure_there([str(word) for word in inside])
    where = {"lab": "emulated, in the lab", "host": "on this host's KVM"}[where]
    yield from start(measured, where)
    yield from commands(measured["commands"], where)
    yield from files(measured["files"], where)


def start(measured, where):
    ours, other = median(measured["pyro"]), median(measured["unshare"])
    plain = median(measured["true"])
    yield Row(f"run … true, {where}", duration(ours), f"{duration(other)}: unshare true", f"{ours / other:.1f}",
              notes=f"a plain true takes {duration(plain)}")
    steps = ", ".join(f"{name} {duration(median(took))}" for name, took in measured["parts"].items())
    yield Row("its parts", steps, "")
    kib = measured["memory"]
    guest = kib["guest"] + kib["kernel"]
    yield Row("memory of the monitor beyond the guest's", mib(kib["own"]),
              f"{mib(guest)}: what the guest has touched", f"{kib['own'] / guest:.2f}",
              notes=f"{mib(kib['own_private'])} of it written, the rest the program's file; "
                    f"{mib(kib['kernel'])} of the guest's is its kernel")


def commands(took, where):
    """The way there and back of a command, in a guest that does nothing else, and in one that is read from."""
    plain = median(took["plain"])
    for name, what in (("idle", "exec … true"), ("exporting", "the same while 256 MiB are exported")):
        times = took[name]
        yield Row(f"{what}, {where}", duration(median(times)), f"{duration(plain)}: pyro --version, true",
                  f"{median(times) / plain:.1f}", notes=f"p95 {duration(percentile(times, 95))}; {len(times)} turns")


def files(took, where):
    """Work on many files in /workspace, against the same on the same disk without the overlay."""
    for name, times in took.items():
        ours, plain = median(times["/workspace"]), median(times["/tmp"])
        ratios = [one / other for one, other in zip(times["/workspace"], times["/tmp"])]
        yield Row(f"{name} of {FILES:,} files, {where}", duration(ours), f"{duration(plain)}: plain ext4",
                  f"{median(ratios):.2f}", f"≤ {FILES_GOAL}",
                  f"{len(ratios)} turns, {min(ratios):.2f} to {max(ratios):.2f}")


def percentile(values, share):
    return statistics.quantiles(values, n=100, method="inclusive")[share - 1]


def measure_there(argv):
    """What `inside.py` says. An emulated machine that dies is started once more."""
    first = run(argv, statuses=(0, LAB_FAILED))
    if first.status:
        say(first.output)
        first = run(argv)
    return json.loads(first.output.splitlines()[-1])


def mib(kib):
    return f"{kib / 1024:.1f} MiB"
