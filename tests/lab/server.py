"""Serves one machine to many clients over a Unix socket: each connection is a job.

The machine starts with the first job and is replaced if it dies. Every thread may end at any time
without leaving anything behind: QEMU dies with the thread that keeps it, and the folder of a server
that was killed is removed by the next one.
"""

import errno
import functools
import os
import shutil
import socket
import tempfile
import threading
import time

import wire
from machine import IMG, LabError, start

DEFAULT_NAME = "lab.sock"
OWN_NAME = "serve."  # and the server's process id: for one command alone
WORK = "work."  # and the same: QEMU's files
JOBS = 2  # at a time: more would only wait for the emulated processor
KILL_LIMIT = 30  # seconds in which the machine must confirm that a job was killed
PING_EVERY = 10  # seconds
SILENCE_LIMIT = 120  # seconds after which a machine that answers no ping is stuck
CLOSING = "the lab closes"
CLIENT_LIMIT = 60  # seconds for which a client may leave its output unread


@functools.cache
def address(name):
    """The socket `name` in the image folder, by a short path: a socket's path has at most 107 bytes."""
    folder = os.open(IMG, os.O_PATH | os.O_DIRECTORY)
    return f"/proc/self/fd/{folder}/{name}"


def sweep():
    """Removes what servers left that were killed: sockets that nobody answers, folders of no process."""
    for name in os.listdir(IMG):
        if name == DEFAULT_NAME or name.startswith(OWN_NAME):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                if probe.connect_ex(address(name)) == errno.ECONNREFUSED:
                    os.unlink(f"{IMG}/{name}")
        elif name.startswith(WORK):
            pid = name.removeprefix(WORK).partition("-")[0]
            if not os.path.exists(f"/proc/{pid}"):
                shutil.rmtree(f"{IMG}/{name}", ignore_errors=True)


class Keeper(threading.Thread):
    """Starts one machine, hands its frames to the jobs, and says why when it dies."""

    def __init__(self, size, shares, cache):
        super().__init__(daemon=True)
        self.size, self.shares, self.cache = size, shares, cache
        self.machine, self.jobs, self.error = None, {}, None
        self.cause = "the machine died"
        self.lock = threading.Lock()
        self.settled = threading.Event()
        self.doubt = threading.Lock()  # held while it is not known whether the machine still works
        self.heard = time.monotonic()

    def run(self):
        work = tempfile.mkdtemp(prefix=f"{WORK}{os.getpid()}-", dir=IMG)
        try:
            self.machine = start(self.size, self.shares, self.cache, work)
            self.settled.set()
            self.heard = time.monotonic()
            threading.Thread(target=self.watch, daemon=True).start()
            while True:
                kind, number, body = self.machine.receive()
                self.heard = time.monotonic()
                with self.lock:
                    job = self.jobs.get(number)
                if job:
                    job.deliver(kind, body)
        except LabError as error:
            self.end(str(error))
        except (wire.Closed, wire.Torn, OSError):
            self.end(self.post_mortem())
        finally:
            if self.machine:
                self.machine.kill()
            self.settled.set()
            shutil.rmtree(work, ignore_errors=True)

    def post_mortem(self):
        text = self.machine.why(self.cause)
        if self.cause == CLOSING:
            return text
        kept = f"{IMG}/console-{time.strftime('%Y%m%d-%H%M%S')}.log"
        try:
            shutil.copy(self.machine.console, kept)
        except OSError:
            return text
        return f"{text}\n  whole console: {kept}"

    def end(self, text):
        with self.lock:
            self.error = text
            jobs = list(self.jobs.values())
        for job in jobs:
            job.deliver(b"F", text.encode())

    def add(self, number, job):
        with self.lock:
            if self.error:
                return False
            self.jobs[number] = job
            return True

    def remove(self, number):
        with self.lock:
            self.jobs.pop(number, None)

    def send(self, kind, number, body=b""):
        with self.lock:
            try:
                self.machine.send(kind, number, body)
            except OSError:
                pass  # dead: the thread says so to every job

    def watch(self):
        """Ends a machine that does not answer any more, so that its jobs fail now and not at their own limits."""
        while self.is_alive():
            time.sleep(PING_EVERY)
            silence = time.monotonic() - self.heard
            if silence > SILENCE_LIMIT:
                self.bury(f"the machine was stuck: nothing was heard of it for {silence:.0f} s")
            # Whoever holds the lock for so long waits for the machine.
            elif self.lock.acquire(timeout=PING_EVERY):
                try:
                    self.machine.send(b"P")
                except OSError:
                    return
                finally:
                    self.lock.release()

    def bury(self, cause):
        """Ends a machine that is stuck, after it said where. When this returns, it takes no job any more."""
        self.cause = cause
        self.machine.autopsy()
        self.machine.process.kill()
        self.join()

    def kill(self, cause):
        self.cause = cause
        if self.machine:
            self.machine.process.kill()


class Job:
    """A client's connection while its command runs."""

    def __init__(self, connection):
        self.connection = connection
        self.over = threading.Event()

    def deliver(self, kind, body):
        try:
            self.connection.sendall(wire.pack(kind, 0, body))
        except OSError:
            pass  # the client went away; its own thread notices
        if kind in (b"X", b"F"):
            self.over.set()
            try:
                self.connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Server:
    def __init__(self, name, size, shares, cache):
        self.size, self.shares, self.cache = size, shares, cache
        self.keeper, self.lock, self.number = None, threading.Lock(), 0
        self.slots = threading.BoundedSemaphore(JOBS)
        self.stopped = threading.Event()
        self.path = f"{IMG}/{name}"
        sweep()
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.listener.bind(address(name))
        except OSError as error:
            raise LabError(f"cannot serve on {self.path}: {error.strerror} (is a lab served there already?)") from None
        self.listener.listen()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, CLIENT_LIMIT.to_bytes(8, "little") + bytes(8))
        with connection:
            try:
                kind, _, wish = wire.receive(connection.recv)
                if kind == b"S":
                    self.stopped.set()
                elif kind == b"J":
                    with self.slots:
                        self.work(connection, wish)
            except (wire.Closed, wire.Torn, OSError):
                pass

    def work(self, connection, wish):
        job = Job(connection)
        keeper, number = self.join(job)
        if not keeper:
            return
        try:
            keeper.send(b"J", number, wish)
            try:
                while not job.over.is_set():
                    kind, _, body = wire.receive(connection.recv)
                    if kind in (b"I", b"W"):
                        keeper.send(kind, number, body)
            except (wire.Closed, wire.Torn, OSError):
                pass
            if not job.over.is_set():
                with keeper.doubt:
                    keeper.send(b"K", number)
                    if not job.over.wait(KILL_LIMIT):
                        keeper.bury(f"the machine was stuck: it did not kill a job within {KILL_LIMIT} s")
        finally:
            keeper.remove(number)

    def join(self, job):
        """The machine that runs the job, and the job's number in it."""
        with self.lock:
            if self.keeper:
                with self.keeper.doubt:
                    pass  # a new job would go down with the machine
            if self.keeper is None or self.keeper.error:
                self.keeper = Keeper(self.size, self.shares, self.cache)
                self.keeper.start()
            keeper = self.keeper
            self.number += 1
            number = self.number
        keeper.settled.wait()
        if keeper.add(number, job):
            return keeper, number
        job.deliver(b"F", keeper.error.encode())
        return None, number

    def close(self):
        self.listener.close()
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            pass
        if self.keeper:
            self.keeper.kill(CLOSING)
            self.keeper.join()
