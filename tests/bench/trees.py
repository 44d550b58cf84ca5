"""A tree of many small files under version control, as a tar: what `inside.py` unpacks in a guest."""

import os
import subprocess
import tarfile
import tempfile
from pathlib import Path

FILES, IN_EACH_DIRECTORY = 20_000, 20
AUTHOR = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER")
          for what, value in (("NAME", "bench"), ("EMAIL", "bench@localhost"), ("DATE", "2026-01-01T00:00:00Z"))}


def tree(bench):
    """The tar, which is made once: files of 0.1 to 4 KiB in `t/`, all committed, in one pack."""
    path = bench.directory / f"tree-{FILES}.tar"
    if path.exists():
        return path
    with tempfile.TemporaryDirectory() as scratch:
        top = Path(scratch) / "t"
        for number in range(FILES):
            file = top / f"d{number // 400}/e{number // IN_EACH_DIRECTORY}/file-{number}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{number}\n" * (20 + number * 7919 % 700), encoding="ascii")
        for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "all"], ["gc", "-q"]):
            subprocess.run(["git", "-C", top, "-c", "gc.auto=0", *words], env={**os.environ, **AUTHOR}, check=True)
        unfinished = path.with_suffix(".part")
        with tarfile.open(unfinished, "w") as tar:
            tar.add(top, "t")
        unfinished.rename(path)
    return path
