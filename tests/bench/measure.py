"""Runs commands and measures their time, and the memory of the largest of their processes that were
waited for."""

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass


@dataclass
class Sample:
    seconds: float
    peak_mib: float
    began_us: int  # CLOCK_MONOTONIC
    output: str
    status: int = 0


def run(argv, env=None, statuses=(0,)):
    """One run of a command, which has to end with one of `statuses`."""
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        began = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        child = subprocess.Popen(argv, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
                                 stdout=output, stderr=output)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = (time.clock_gettime_ns(time.CLOCK_MONOTONIC) - began) / 1e9
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    if child.returncode not in statuses:
        raise SystemExit(f"bench: {' '.join(map(str, argv))} ended with {child.returncode}:\n{text}")
    return Sample(seconds, usage.ru_maxrss / 1024, began // 1000, text, child.returncode)


def together(samples):
    """One command after the other, as one sample."""
    return Sample(sum(one.seconds for one in samples), max(one.peak_mib for one in samples), samples[0].began_us,
                  samples[-1].output)


def race(runs, contestants):
    """name → samples. The contestants take turns, so that what else the machine does meets them all alike;
    the first turn only warms up."""
    samples = {name: [] for name in contestants}
    for turn in range(runs + 1):
        for name, contestant in contestants.items():
            sample = contestant()
            if turn:
                samples[name].append(sample)
    return samples


@contextlib.contextmanager
def undisturbed():
    """What runs in here goes before what else the machine does, if we may arrange that: in a row of
    milliseconds, others' turns on the processor would be most of the result. Not for what enters control
    groups of its own, where the kernel may refuse such processes."""
    usual = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except PermissionError:
        say("not allowed to run undisturbed: what else this machine does counts")
    try:
        yield
    finally:
        os.sched_setscheduler(0, *usual)


def median(values):
    return statistics.median(values)


def seconds(samples):
    return median(sample.seconds for sample in samples)


def peak(samples):
    return max(sample.peak_mib for sample in samples)


def duration(value):
    """A time for people."""
    return f"{value:.2f} s" if value >= 1 else f"{value * 1e3:.1f} ms"


def say(text):
    """Progress, which is not part of the table."""
    print(f"bench: {text}", file=sys.stderr, flush=True)
