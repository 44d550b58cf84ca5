"""Runs one command in a served lab."""

import fcntl
import fnmatch
import json
import os
import select
import signal
import socket
import struct
import sys
import termios
import time
import tty

import wire
from machine import LabError
from server import address


def connect(name):
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(address(name))
    except OSError as error:
        raise LabError(f"no lab is served here ({error.strerror}): start one with `tests/lab/lab.sh serve`") from None
    return connection


def environment(words):
    """NAME=VALUE as it is; NAME or a pattern such as PYRO_* from this process's own environment."""
    chosen = {}
    for word in words:
        name, equals, value = word.partition("=")
        if equals:
            chosen[name] = value
        else:
            chosen.update({key: text for key, text in os.environ.items() if fnmatch.fnmatchcase(key, name)})
    return chosen


def window():
    return struct.unpack("<HHHH", fcntl.ioctl(0, termios.TIOCGWINSZ, b"\0" * 8))[:2]


def run(connection, command, env, cwd, user, terminal, timeout):
    """The command's exit status; 124 when its time is up. Leaving kills the command."""
    wish = {"argv": command, "cwd": cwd, "env": environment(env), "uid": 1000 if user else 0,
            "tty": window() if terminal else None}
    saved = termios.tcgetattr(0) if terminal else None
    try:
        if terminal:
            tty.setraw(0)
            signal.signal(signal.SIGWINCH, lambda *_: connection.sendall(wire.pack(b"W", 0, struct.pack("<HH", *window()))))
        connection.sendall(wire.pack(b"J", 0, json.dumps(wish).encode()))
        return relay(connection, terminal, timeout)
    except (wire.Closed, OSError) as error:
        raise LabError(f"the lab's server went away ({error})") from None
    finally:
        connection.close()
        if saved:
            termios.tcsetattr(0, termios.TCSADRAIN, saved)


def relay(connection, terminal, timeout):
    reads = [connection]
    if terminal or not sys.stdin.isatty():
        reads.append(sys.stdin)
    streams = {b"O": sys.stdout.fileno(), b"E": sys.stderr.fileno()}
    deadline = timeout and time.monotonic() + timeout
    while True:
        ready, _, _ = select.select(reads, [], [], deadline and max(0.0, deadline - time.monotonic()))
        if not ready:
            print(f"lab: stopped after {timeout:g} s", file=sys.stderr)
            return 124
        if sys.stdin in ready:
            data = os.read(sys.stdin.fileno(), 65536)
            connection.sendall(wire.pack(b"I", 0, data))
            if not data:
                reads.remove(sys.stdin)
        if connection in ready:
            kind, _, body = wire.receive(connection.recv)
            if kind == b"X":
                return json.loads(body)["status"]
            if kind == b"F":
                raise LabError(body.decode(errors="replace"))
            data = memoryview(body)
            while data:
                data = data[os.write(streams[kind], data):]
