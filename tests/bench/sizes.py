"""Rows `size`: of the programs."""

import shutil
from pathlib import Path

from table import Row

AGENT_MAX = 1_500_000


def rows(bench):
    agent = size(bench.project / "target/agent/pyro-agent")
    yield Row("size of the agent", mb(agent), "", f"{agent / AGENT_MAX:.2f}", f"≤ {mb(AGENT_MAX)}")
    both = [size(bench.pyro), size(bench.pyro.with_name("pyro-machine"))]
    rivals = [name for name in ("podman", "runc", "conmon") if shutil.which(name)]
    others = sum(size(Path(shutil.which(name))) for name in rivals)
    row = Row("size of pyro and pyro-machine", f"{mb(sum(both))}", notes=" and ".join(map(mb, both)), against="")
    if rivals:
        row.against, row.ratio = f"{mb(others)}: {', '.join(rivals)}", f"{sum(both) / others:.2f}"
    yield row


def size(path):
    return path.stat().st_size


def mb(count):
    return f"{count / 1e6:.2f} MB"
