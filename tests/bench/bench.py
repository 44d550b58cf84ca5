#!/usr/bin/python3 -B
"""Measures pyro against what else does the same, and prints a table: bench.py [--runs N] [ROWS...]

Each row is a ratio in one run of this program; times alone say little on a machine that others share.
Kept in docs/performance.md, which says what the rows mean.
"""

import argparse
import os
import re
import shutil
from pathlib import Path

import guests
import imports
import server
import sizes
import starts
import table
import workspaces
from measure import run, say

ROWS = {"import": imports.rows, "run": starts.namespaces, "start": starts.microvm, "workspace": workspaces.rows,
        "mcp": server.rows, "guest": guests.rows, "size": sizes.rows}


class Bench:
    """What all rows need."""

    def __init__(self, project, pyro, wanted_runs):
        self.project = project
        self.pyro = pyro
        self.wanted_runs = wanted_runs
        self.directory = project / "target/bench"
        self.home = self.directory / "home"
        self.directory.mkdir(parents=True, exist_ok=True)
        # What a start reached, and when.
        self.traced = {"PYRO_LOG": "startup=debug", "NO_COLOR": "1"}

    def runs(self, usual):
        return self.wanted_runs or usual

    def environment(self):
        """Installs debian:12 in a state directory that starts fresh with each run of the bench."""
        if not self.home.exists():
            image = self.project / "target/images/debian-12.oci.tar"
            run([self.pyro, "--home", self.home, "env", "import", image, "-t", starts.ENVIRONMENT])

    def tree(self):
        """Its files, as a machine of namespaces has unpacked them."""
        return next(path for path in (self.home / "cache/tree").iterdir() if path.is_dir())

    @staticmethod
    def points(output):
        """Trace points of a start: name → microseconds of CLOCK_MONOTONIC."""
        found = re.findall(r"startup: (.*?) at_us=(\d+)", output)
        return {name: int(at) for name, at in found}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, help="of each contestant [default: 3 of long ones, 20 of short ones]")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of: {', '.join(ROWS)} [default: all]")
    options = parser.parse_args()
    unknown = set(options.rows) - set(ROWS)
    if unknown:
        parser.error(f"no such row: {', '.join(unknown)}")

    project = Path(__file__).resolve().parents[2]
    pyro = Path(os.environ.get("CARGO_TARGET_DIR", project / "target")).resolve() / "release/pyro"
    firmware = project / "target/lib/libkrunfw.so.5"
    if firmware.exists():
        os.environ.setdefault("PYRO_LIBKRUNFW", str(firmware))
    bench = Bench(project, pyro, options.runs)
    shutil.rmtree(bench.home, ignore_errors=True)
    lines = list(table.HEADER)
    for name, rows in ROWS.items():
        if options.rows and name not in options.rows:
            continue
        for row in rows(bench):
            say(row)
            lines.append(str(row))
    shutil.rmtree(bench.home, ignore_errors=True)
    print("\n".join(lines))


main()
