"""A Debian 12 machine that has a working KVM, whatever this host has. See README.md.

  lab.sh [--mem MIB] [--cpus N] [--share DIR[:ro]]... [JOB OPTIONS] -- COMMAND...
  lab.sh serve [--mem MIB] [--cpus N] [--share DIR[:ro]]... [-- COMMAND...]
  lab.sh run [JOB OPTIONS] -- COMMAND...
  lab.sh stop
"""

import argparse
import os
import signal
import subprocess
import sys

import client
import wire
from machine import CHANGING, FIXED, LIBC, LabError, parse_share
from server import DEFAULT_NAME, OWN_NAME, Server

FAILED = 125  # exit status: the lab itself, not the command


def machine_options(parser):
    parser.add_argument("--mem", type=int, default=4096, metavar="MIB", help="memory (default 4096)")
    parser.add_argument("--cpus", type=int, default=1, metavar="N",
                        help="processors (default 1; guests in a lab of more hang or die now and then)")
    parser.add_argument("--share", action="append", default=[], metavar="DIR[:ro]",
                        help="show a directory of the host at the same place inside")


def job_options(parser):
    parser.add_argument("--user", action="store_true", help="run as the plain user lab (uid 1000)")
    parser.add_argument("--env", action="append", default=[], metavar="NAME[=VALUE]",
                        help="set a variable, or pass those whose names match a pattern")
    parser.add_argument("--cwd", default="/tmp", metavar="DIR", help="where the command starts (default /tmp)")
    parser.add_argument("--timeout", type=float, metavar="S", help="kill the command after S seconds; exit status 124")
    parser.add_argument("--tty", action="store_true", help="give the command a terminal")


def parse(argv):
    argv, command = (argv[:argv.index("--")], argv[argv.index("--") + 1:]) if "--" in argv else (argv, [])
    verb, argv = (argv[0], argv[1:]) if argv[:1] in (["serve"], ["run"], ["stop"]) else ("once", argv)
    parser = argparse.ArgumentParser(prog="lab.sh", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    if verb in ("once", "serve"):
        machine_options(parser)
    if verb in ("once", "run"):
        job_options(parser)
    options = parser.parse_args(argv)
    if verb in ("once", "run") and not command:
        parser.error("no command: put it after --")
    options.verb, options.command = verb, command
    return options


def serve(options):
    """Serves until the given command, or whoever started this, ends."""
    name = f"{OWN_NAME}{os.getpid()}" if options.command else DEFAULT_NAME
    server = make_server(options, name, FIXED if options.command else CHANGING)
    try:
        if not options.command:
            LIBC.prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: nothing is served to nobody
            print(f"lab: serving on {server.path}", file=sys.stderr)
            server.stopped.wait()
            return 0
        child = subprocess.Popen(options.command, env={**os.environ, "LAB_SOCKET": name})
        # A Ctrl-C reaches the child by itself; other signals are passed on. It decides when to end.
        signal.signal(signal.SIGINT, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: child.terminate())
        code = child.wait()
        return code if code >= 0 else 128 - code
    finally:
        server.close()


def once(options):
    name = f"{OWN_NAME}{os.getpid()}"
    server = make_server(options, name, FIXED)
    try:
        return run(options, name)
    finally:
        server.close()


def make_server(options, name, cache):
    shares = [parse_share(word) for word in options.share]
    return Server(name, {"mem": options.mem, "cpus": options.cpus}, shares, cache)


def run(options, name):
    return client.run(client.connect(name), options.command, options.env, options.cwd, options.user,
                      options.tty, options.timeout)


def main(argv):
    options = parse(argv)
    served = os.environ.get("LAB_SOCKET", DEFAULT_NAME)
    try:
        if options.verb == "serve":
            return serve(options)
        if options.verb == "run":
            return run(options, served)
        if options.verb == "stop":
            client.connect(served).sendall(wire.pack(b"S"))
            return 0
        return once(options)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return FAILED


def interrupted(number, _):
    raise SystemExit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, interrupted)
    signal.signal(signal.SIGINT, interrupted)
    sys.exit(main(sys.argv[1:]))
