#!/usr/bin/python3 -B
"""Drives `pyro mcp serve` through the workflows of use-cases/, with the official MCP SDK.

  main.py CASE...

PYRO names the program, USE_CASE_ENVIRONMENT the environment (debian:12), USE_CASE_IMAGE the file that it is made of
where it is not installed. USE_CASE_HOST_COMPAT=1 takes namespaces instead of microVMs. PYRO_HOME is a state directory
to use; otherwise there is a new one.
"""

import importlib
import os
import sys
import shutil
import tempfile
import time
import traceback

from surroundings import ROOT, Surroundings

sys.path.insert(1, f"{ROOT}/target/smoke/sdk-{sys.version_info[0]}.{sys.version_info[1]}")
CASES = ["repro-fix-loop", "parallel-workspaces", "untrusted-inspection", "daily-loop"]


def install(surroundings):
    """The environment of all cases."""
    if not surroundings.succeeds(surroundings.pyro, "env", "inspect", surroundings.environment)[0]:
        image = os.environ["USE_CASE_IMAGE"]
        surroundings.run(surroundings.pyro, "env", "import", image, "-t", surroundings.environment)


def drive(case, pyro, home):
    import anyio

    driver = importlib.import_module(case.replace("-", "_"))
    environment = os.environ.get("USE_CASE_ENVIRONMENT") or "debian:12"
    host_compat = os.environ.get("USE_CASE_HOST_COMPAT", "") not in ("", "0")
    surroundings = Surroundings(pyro, environment, host_compat, home)
    try:
        install(surroundings)
        clock = time.monotonic()
        anyio.run(driver.drive, surroundings)
        surroundings.nothing_is_left()
        mode = surroundings.execution_mode()
        print(f"smoke: {case}: passed in {time.monotonic() - clock:.1f} s ({environment}, {mode})", flush=True)
    except BaseException as error:
        # The SDK's groups of tasks wrap it.
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        traceback.print_exception(error)
        with open(f"{surroundings.work}/server.log", "a+") as log:
            log.seek(0)
            sys.exit(f"smoke: {case}: failed; the server said:\n{log.read()}")
    finally:
        surroundings.close()


def main(cases):
    unknown = set(cases) - set(CASES)
    if unknown or not cases:
        sys.exit(f"usage: main.py CASE...; cases: {' '.join(CASES)}")
    pyro = os.path.realpath(os.environ["PYRO"])
    given = os.environ.get("PYRO_HOME")
    home = given or os.path.realpath(tempfile.mkdtemp(prefix="pyro-smoke-home-"))
    try:
        for case in cases:
            drive(case, pyro, home)
    finally:
        if not given:
            shutil.rmtree(home)


if __name__ == "__main__":
    main(sys.argv[1:])
