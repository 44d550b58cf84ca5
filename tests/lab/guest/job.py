"""One job: a command with its own user, directory, environment, control group and streams."""

import fcntl
import os
import pty
import selectors
import signal
import struct
import subprocess
import time

CGROUP = "/sys/fs/cgroup"
ENV = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "USER": "root",
    "LANG": "C.UTF-8",
    "TERM": "dumb",
    "TMPDIR": "/tmp",
}
# What still holds a job's pipes after its group was killed has left the group; its output counts
# for this many seconds.
LINGER = 1.0


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


class Job:
    def __init__(self, number, wish, selector, port):
        self.number, self.selector, self.port = number, selector, port
        self.status = None
        self.deadline = None
        self.pid = None
        self.outputs = {}
        self.stdin, self.pending, self.input_ended = None, bytearray(), False
        self.master = None
        self.cgroup = f"{CGROUP}/job-{number}"
        try:
            self.start(wish)
        except OSError as error:
            self.send(b"E", f"lab: {wish['argv'][0]}: {error.strerror}\n".encode())
            self.status, self.deadline = 127, 0.0

    def send(self, kind, body):
        self.port.send(kind, self.number, body)

    def start(self, wish):
        self.make_cgroup(wish["uid"])
        slave = None
        if wish["tty"]:
            self.master, slave = pty.openpty()
            self.resize(struct.pack("<HH", *wish["tty"]))

        def before_exec():
            write(f"{self.cgroup}/main/cgroup.procs", "0")
            os.setsid()
            if slave is not None:
                fcntl.ioctl(0, 0x540E, 0)  # TIOCSCTTY
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            if wish["uid"]:
                os.setgroups([wish["uid"]])
                os.setgid(wish["uid"])
                os.setuid(wish["uid"])

        home = {"HOME": "/home/lab", "USER": "lab"} if wish["uid"] else {}
        pipe = subprocess.PIPE if slave is None else slave
        child = subprocess.Popen(wish["argv"], cwd=wish["cwd"], env={**ENV, **home, **wish["env"]},
                                 stdin=pipe, stdout=pipe, stderr=pipe, preexec_fn=before_exec)
        self.pid = child.pid
        if slave is None:
            self.stdin = os.dup(child.stdin.fileno())
            self.outputs = {os.dup(child.stdout.fileno()): b"O", os.dup(child.stderr.fileno()): b"E"}
            for file in (child.stdin, child.stdout, child.stderr):
                file.close()
            os.set_blocking(self.stdin, False)
        else:
            os.close(slave)
            self.outputs = {self.master: b"O"}
        # The loop reaps; without this the object would wait for its child when it is freed.
        child.returncode = 0
        for fd in self.outputs:
            self.selector.register(fd, selectors.EVENT_READ, lambda fd=fd: self.relay(fd))

    def make_cgroup(self, uid):
        """A delegated subtree, as systemd gives one to a user: the command runs in its leaf `main`."""
        os.makedirs(f"{self.cgroup}/main")
        with open(f"{CGROUP}/cgroup.controllers") as file:
            write(f"{self.cgroup}/cgroup.subtree_control", " ".join(f"+{name}" for name in file.read().split()))
        for folder in (self.cgroup, f"{self.cgroup}/main"):
            os.chown(folder, uid, uid)
            for name in ("cgroup.procs", "cgroup.threads", "cgroup.subtree_control"):
                os.chown(f"{folder}/{name}", uid, uid)

    def relay(self, fd):
        try:
            data = os.read(fd, 65536)
        except OSError:  # a terminal whose last process has gone
            data = b""
        if data:
            self.send(self.outputs[fd], data)
        else:
            self.selector.unregister(fd)
            del self.outputs[fd]
            if fd != self.master:
                os.close(fd)

    def hear(self, kind, body):
        if kind == b"K":
            self.kill()
        elif kind == b"W" and self.master is not None:
            self.resize(body)
        elif kind == b"I" and self.master is not None:
            os.write(self.master, body or b"\x04")
        elif kind == b"I" and self.stdin is not None:
            self.pending += body
            self.input_ended = self.input_ended or not body
            self.feed()

    def resize(self, size):
        fcntl.ioctl(self.master, 0x5414, size + b"\0\0\0\0")  # TIOCSWINSZ

    def feed(self):
        """Writes what the command takes now; a full pipe must not stop the other jobs."""
        try:
            while self.pending:
                del self.pending[:os.write(self.stdin, self.pending)]
        except BlockingIOError:
            if self.stdin not in self.selector.get_map():
                self.selector.register(self.stdin, selectors.EVENT_WRITE, self.feed)
            return
        except BrokenPipeError:
            self.pending.clear()
            self.input_ended = True
        if self.stdin in self.selector.get_map():
            self.selector.unregister(self.stdin)
        if self.input_ended:
            os.close(self.stdin)
            self.stdin = None

    def kill(self):
        try:
            write(f"{self.cgroup}/cgroup.kill", "1")
        except FileNotFoundError:
            pass

    def ended(self, code):
        """The command itself has ended: what it left behind ends with it."""
        self.status = code if code >= 0 else 128 - code
        self.deadline = time.monotonic() + LINGER
        self.kill()

    def over(self):
        return self.status is not None and (not self.outputs or time.monotonic() > self.deadline)

    def close(self):
        for fd in self.outputs:
            self.selector.unregister(fd)
        for fd in {*self.outputs, self.master, self.stdin} - {None}:
            if fd in self.selector.get_map():
                self.selector.unregister(fd)
            os.close(fd)
        # Killed processes leave the group a moment later.
        for _ in range(100):
            try:
                for folder, _, _ in os.walk(self.cgroup, topdown=False):
                    os.rmdir(folder)
                return
            except OSError:
                time.sleep(0.01)
