"""PID 1 of the lab: sets the machine up, then runs the host's jobs, several at a time.

One loop serves everything: the port to the host, the jobs' pipes, and the ends of children.
"""

import ctypes
import fcntl
import json
import os
import resource
import selectors
import signal
import socket
import struct
import subprocess
import sys
import time

import wire
from job import ENV, Job

LIBC = ctypes.CDLL(None, use_errno=True)
NOSUID, NODEV, NOEXEC, NOATIME, RDONLY, BIND = 2, 4, 8, 0x400, 1, 0x1000
USER = 1000  # the plain user `lab`


def mount(source, target, kind, flags=0, options=""):
    """mount(2) itself: mount(8) costs a tenth of a second in here."""
    os.makedirs(target, exist_ok=True)
    texts = (ctypes.c_char_p(word.encode()) for word in (source, target, kind))
    if LIBC.mount(*texts, ctypes.c_ulong(flags), ctypes.c_char_p(options.encode())):
        raise OSError(ctypes.get_errno(), f"mount {source} on {target}: {os.strerror(ctypes.get_errno())}")


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def prepare():
    """Everything that does not depend on the host's wishes, so that a snapshot holds it."""
    mount("tmpfs", "/run", "tmpfs", NOSUID | NODEV, "mode=0755")
    mount("tmpfs", "/dev/shm", "tmpfs", NOSUID | NODEV, "mode=1777")
    mount("devpts", "/dev/pts", "devpts", NOSUID | NOEXEC, "gid=5,mode=620,ptmxmode=666")
    mount("cgroup2", "/sys/fs/cgroup", "cgroup2", NOSUID | NODEV | NOEXEC, "nsdelegate")
    for link, target in (("fd", "self/fd"), ("stdin", "self/fd/0"),
                         ("stdout", "self/fd/1"), ("stderr", "self/fd/2")):
        if not os.path.lexists(f"/dev/{link}"):
            os.symlink(f"/proc/{target}", f"/dev/{link}")
    # This process leaves the root group, so that the root may enable controllers.
    os.makedirs("/sys/fs/cgroup/agent", exist_ok=True)
    write("/sys/fs/cgroup/agent/cgroup.procs", "1")
    with open("/sys/fs/cgroup/cgroup.controllers") as file:
        write("/sys/fs/cgroup/cgroup.subtree_control", " ".join(f"+{name}" for name in file.read().split()))
    for device in ("kvm", "net/tun", "vsock", "vhost-vsock", "fuse", "userfaultfd"):
        if os.path.exists(f"/dev/{device}"):
            os.chmod(f"/dev/{device}", 0o666)
    # As on a usual system; the kernel's own hard limit of 4096 is too low for a VMM.
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 524288))
    write("/proc/sys/kernel/hostname", "lab")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as lo:
        fcntl.ioctl(lo, 0x8914, struct.pack("16sH22x", b"lo", 0x41))  # SIOCSIFFLAGS: up, running
    # Reads what most commands need into the page cache.
    subprocess.run(["/bin/bash", "-c", "/bin/true; ls / > /dev/null"], check=True, env=ENV)


def adopt(setup):
    """Fits the machine to the host's wishes: clock, entropy, scratch disk, shares."""
    time.clock_settime(time.CLOCK_REALTIME, setup["time"])
    with open("/dev/urandom", "wb", buffering=0) as file:
        file.write(bytes.fromhex(setup["entropy"]))
        fcntl.ioctl(file, 0x5207)  # RNDRESEEDCRNG: every resumed machine would repeat itself
    mount("/dev/vdb", "/scratch", "ext4", NOATIME)
    for name, target, mode, owner in (("tmp", "/tmp", 0o1777, 0), ("root", "/root", 0o700, 0),
                                      ("lab", "/home/lab", 0o755, USER)):
        os.makedirs(f"/scratch/{name}", exist_ok=True)
        os.chmod(f"/scratch/{name}", mode)
        os.chown(f"/scratch/{name}", owner, owner)
        mount(f"/scratch/{name}", target, "", BIND)
    for share in setup["shares"]:
        mount(share["tag"], share["target"], "9p", RDONLY if share["ro"] else 0,
              "trans=virtio,version=9p2000.L,msize=512000,access=any,cache=" + setup["cache"])


def flush(shares):
    """Writes back what a job left in the page cache, before the host hears of its end."""
    for share in shares:
        if not share["ro"]:
            fd = os.open(share["target"], os.O_RDONLY)
            if LIBC.syncfs(fd):
                sys.stderr.write(f"lab: syncfs {share['target']}: {os.strerror(ctypes.get_errno())}\n")
            os.close(fd)


class Port:
    """The virtio port: frames to and from the host."""

    def __init__(self):
        for _ in range(1000):
            for name in os.listdir("/sys/class/virtio-ports"):
                with open(f"/sys/class/virtio-ports/{name}/name") as file:
                    if file.read().strip() == "lab":
                        self.fd = os.open(f"/dev/{name}", os.O_RDWR | os.O_CLOEXEC)
                        return
            time.sleep(0.005)
        raise SystemExit("no lab port")

    def read(self, count):
        while True:
            data = os.read(self.fd, count)
            if data:
                return data
            time.sleep(0.002)  # no host yet: between restoring a snapshot and its first frame

    def receive(self):
        return wire.receive(self.read)

    def send(self, kind, job=0, body=b""):
        data = wire.pack(kind, job, body)
        while data:
            data = data[os.write(self.fd, data):]


class Loop:
    def __init__(self, port, shares):
        self.port = port
        self.shares = shares
        self.jobs = {}
        self.selector = selectors.DefaultSelector()
        self.selector.register(port.fd, selectors.EVENT_READ, self.hear)
        wake, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.selector.register(wake, selectors.EVENT_READ, lambda: os.read(wake, 512))

    def run(self):
        while True:
            waiting = any(job.status is not None for job in self.jobs.values())
            for key, _ in self.selector.select(0.05 if waiting else None):
                key.data()
            self.reap()
            for job in [job for job in self.jobs.values() if job.over()]:
                job.close()
                del self.jobs[job.number]
                flush(self.shares)
                self.port.send(b"X", job.number, json.dumps({"status": job.status}).encode())

    def reap(self):
        while True:
            try:
                pid, code = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for job in self.jobs.values():
                if job.pid == pid:
                    job.ended(os.waitstatus_to_exitcode(code))

    def hear(self):
        kind, number, body = self.port.receive()
        if kind == b"J":
            self.jobs[number] = Job(number, json.loads(body), self.selector, self.port)
        elif kind == b"P":
            self.port.send(kind)
        elif number in self.jobs:
            self.jobs[number].hear(kind, body)


def main():
    os.environ.update(ENV)
    os.chdir("/")
    prepare()
    port = Port()
    port.send(b"R")
    kind, _, body = port.receive()
    if kind != b"M":
        raise SystemExit(f"the first frame is {kind!r}")
    setup = json.loads(body)
    adopt(setup)
    Loop(port, setup["shares"]).run()


try:
    main()
except BaseException as error:  # PID 1 must not vanish without a word.
    sys.stderr.write(f"lab: {error!r}\n")
    sys.stderr.flush()
    time.sleep(1)
    raise
