"""Rows `run` and `start`: how long it takes until a command has run, and until a guest is entered."""

import json
import os
import shutil
import signal
import struct
import subprocess
import time

from measure import Sample, duration, median, race, run, say, seconds, undisturbed
from table import Row

ENVIRONMENT = "debian:12"
START_GOAL_MS = 15
HERE = os.path.dirname(os.path.abspath(__file__))


def namespaces(bench):
    """`true` in a machine of namespaces, against what else makes those, on the same root."""
    bench.environment()
    pyro = [bench.pyro, "--home", bench.home, "run", "--allow-host-compat", ENVIRONMENT, "--", "true"]
    run(pyro)  # unpacks the image, and learns whether a microVM boots here
    root = bench.tree()
    contestants = {"pyro": pyro, "bwrap": ["bwrap", "--bind", root, "/", "--proc", "/proc", "--dev", "/dev",
                                           "--unshare-all", "true"]}
    if shutil.which("runc"):
        state = bench.directory / "runc"
        contestants["runc"] = ["runc", "--root", state, "run", "--bundle", bundle(bench, root), "pyro-bench"]
    podman = podman_command(bench, root)
    if podman:
        contestants["podman"] = podman
    samples = race(bench.runs(20), {name: lambda argv=argv: run(argv) for name, argv in contestants.items()})
    runtimes = [name for name in ("runc", "podman") if name in samples]
    if not runtimes:
        raise SystemExit("bench: neither runc nor podman: ./setup.sh bench")
    best = min(runtimes, key=lambda name: seconds(samples[name]))
    yield Row.race("run --allow-host-compat … true", samples["pyro"], best, samples[best], goal=1)
    for name in contestants:
        if name not in ("pyro", best):
            yield Row.race("the same", samples["pyro"], name, samples[name], notes=NOTES.get(name, ""))


NOTES = {"bwrap": "no overlay, no limits, no agent, nothing to clean up"}


def bundle(bench, root):
    """An OCI bundle that runs `true` on `root`, as `runc spec` makes it."""
    path = bench.directory / "bundle"
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    run(["runc", "spec", "--bundle", path])
    config = json.loads((path / "config.json").read_text())
    config["root"] = {"path": str(root), "readonly": True}
    config["process"].update(terminal=False, args=["true"])
    (path / "config.json").write_text(json.dumps(config))
    return path


def podman_command(bench, root):
    """`podman run` on `root` with a writable layer; None where it cannot run."""
    if not shutil.which("podman"):
        return None
    state = bench.directory / "podman"
    command = ["podman", "--root", state / "root", "--runroot", state / "run", "--cgroup-manager", "cgroupfs",
               "--events-backend", "file", "run", "--rm", "--network", "none",
               # Its own defaults are above what a container around us may allow.
               "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", "--rootfs", f"{root}:O", "true"]
    tried = subprocess.run(command, capture_output=True, text=True)
    if tried.returncode:
        say(f"podman does not run here: {tried.stderr.strip()}")
        return None
    return command


def microvm(bench):
    """The host side of a microVM's start: from the start of the process to the first KVM_RUN."""
    bench.environment()
    note, pyro = instrumented(bench)
    argv = [pyro, "--home", bench.home, "run", ENVIRONMENT, "--", "true"]
    run(argv, statuses=range(256))  # makes the image's disk
    traces = []

    def ours():
        clear(note)
        sample = run(argv, env=bench.traced, statuses=range(256))
        first = read(note)
        if not first:
            raise SystemExit(f"bench: pyro entered no guest:\n{sample.output}")
        traces.append([("process", sample.began_us), *bench.points(sample.output).items(), ("KVM_RUN", first)])
        sample.seconds = (first - sample.began_us) / 1e6
        return sample

    contestants = {"pyro": ours}
    qemu = ["qemu-system-x86_64", "-M", "microvm", "-accel", "kvm", "-cpu", "kvm64", "-m", "1024", "-nodefaults",
            "-no-user-config", "-display", "none", "-kernel", bench.project / "target/lab/vmlinux"]
    if shutil.which(qemu[0]):
        contestants["qemu"] = lambda: entered(qemu, note)
    with undisturbed():
        samples = race(bench.runs(20), contestants)
    took = seconds(samples["pyro"])
    rival = ("", "")
    if "qemu" in samples:
        other = seconds(samples["qemu"])
        rival = f"{duration(other)}: qemu -M microvm", f"{took / other:.2f}"
    yield Row("process start → first KVM_RUN", duration(took), *rival, f"≤ {START_GOAL_MS} ms",
              f"fastest {min(sample.seconds for sample in samples['pyro']) * 1e3:.1f} ms; " + parts(traces[1:]))


def parts(traces):
    """The medians of the parts of a start. Points after the first KVM_RUN are not of it."""
    names = [name for name, _ in traces[0] if all(name in dict(trace) for trace in traces)]
    names = [name for name in names if name in BEFORE]
    steps = zip(names, names[1:])
    took = [(after, median(dict(trace)[after] - dict(trace)[before] for trace in traces))
            for before, after in steps]
    return ", ".join(f"{name} +{us / 1e3:.1f}" for name, us in took)


BEFORE = ("process", "begun", "image found", "workspace made", "spawned", "started", "forked", "opened",
          "confined", "entering", "KVM_RUN")


def instrumented(bench):
    """A pyro whose machine notes its first KVM_RUN: (the note, the program)."""
    directory = bench.directory / "noted"
    directory.mkdir(exist_ok=True)
    source, preload, note = f"{HERE}/kvm_run.c", directory / "kvm_run.so", directory / "note"
    run(["gcc", "-O2", "-Wall", "-shared", "-fPIC", "-o", preload, source])
    words = [f'-D{name}="{value}"' for name, value in
             (("PROGRAM", bench.pyro.with_name("pyro-machine")), ("PRELOAD", preload), ("NOTE", note))]
    # Static, so that it costs next to nothing.
    run(["gcc", "-O2", "-Wall", "-static", "-DLAUNCHER", *words, "-o", directory / "pyro-machine", source])
    shutil.copy(bench.pyro, directory / "pyro")
    clear(note)
    return note, directory / "pyro"


def entered(argv, note):
    """Starts a monitor, and kills it as soon as it has entered its guest."""
    clear(note)
    began = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    preload = str(note.with_name("kvm_run.so"))
    child = subprocess.Popen(argv, env={**os.environ, "LD_PRELOAD": preload, "BENCH_NOTE": str(note)},
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while not read(note):
        if child.poll() is not None:
            raise SystemExit(f"bench: {argv[0]} entered no guest: {child.stderr.read().decode()}")
        time.sleep(0.001)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    return Sample((read(note) - began) / 1e6, 0, began, "")


def clear(note):
    note.write_bytes(bytes(8))


def read(note):
    """When a guest was first entered, in microseconds; 0 for not yet."""
    return struct.unpack("<q", note.read_bytes())[0]
