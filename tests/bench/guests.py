"""Rows `guest`: real guests, on this host's KVM where that boots them, else in the KVM lab.

`inside.py` measures there; what it prints is a JSON object.
"""

import json
import os

from measure import duration, median, run, say
from table import Row

# Exit status of the lab when it is the lab that failed.
LAB_FAILED = 125


def rows(bench):
    where = run([bench.project / "tests/guest/where.sh", bench.pyro]).output.strip()
    inside = ["/usr/bin/python3", "-B", bench.project / "tests/bench/inside.py", bench.pyro,
              bench.project / "target/images/debian-12.oci.tar", bench.runs(5)]
    if where == "lab":
        lab = [bench.project / "tests/lab/lab.sh", "--share", f"{bench.project}:ro", "--timeout", "1800",
               "--env", f"PYRO_LIBKRUNFW={os.environ.get('PYRO_LIBKRUNFW', '')}"]
        inside = [*lab, "--", *inside]
    measured = measure_there([str(word) for word in inside])
    ours, other = median(measured["pyro"]), median(measured["unshare"])
    plain = median(measured["true"])
    where = {"lab": "emulated, in the lab", "host": "on this host's KVM"}[where]
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


def measure_there(argv):
    """What `inside.py` says. An emulated machine that dies is started once more."""
    first = run(argv, statuses=(0, LAB_FAILED))
    if first.status:
        say(first.output)
        first = run(argv)
    return json.loads(first.output.splitlines()[-1])


def mib(kib):
    return f"{kib / 1024:.1f} MiB"
