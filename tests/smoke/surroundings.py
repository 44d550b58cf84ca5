"""What a driver works in: a state directory, a project, and a look at what is left of it all."""

import os
import shutil
import subprocess
import tempfile
import time

ROOT = os.path.realpath(f"{os.path.dirname(os.path.abspath(__file__))}/../..")
PROJECTS = f"{ROOT}/tests/projects"

# What is left running or lying about a moment after a delete still counts as gone after so many seconds: the
# lab's processor is an emulated one.
PATIENCE = 20.0

# All that pyro keeps in its state directory between two commands; of workspaces nothing may stay.
KEPT = {"VERSION", "gc.lock", "store", "cache", "lib", "logs", "trash", "workspaces"}


def check(condition, *said):
    """Unlike `assert`, also under `python -O`; what was found is printed."""
    if not condition:
        raise AssertionError("\n".join(str(text) for text in said))


def until(condition, *said):
    """Waits for what may take a moment."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        check(time.monotonic() < deadline, *said)
        time.sleep(0.05)
    return found


class Surroundings:
    """One driver's directories, all below one that goes when it ends."""

    def __init__(self, pyro, environment, host_compat, home=None):
        self.pyro, self.environment, self.host_compat = pyro, environment, host_compat
        self.work = os.path.realpath(tempfile.mkdtemp(prefix="pyro-smoke-"))
        self.home = home or self.directory("state")
        # Programs that pyro starts find nothing of the caller's configuration.
        self.env = {
            "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "PYRO_HOME": self.home,
            "HOME": self.directory("user"), "TMPDIR": self.directory("tmp"),
            "GIT_CONFIG_NOSYSTEM": "1",
            **{name: os.environ[name] for name in ("PYRO_LIBKRUNFW", "PYRO_LOG") if name in os.environ},
        }
        self.mounts = mounts()

    def directory(self, name):
        path = f"{self.work}/{name}"
        os.mkdir(path)
        return path

    def succeeds(self, *words, cwd=None):
        """Whether a program ends well, and what it prints."""
        ran = subprocess.run(words, cwd=cwd or self.work, env=self.env, text=True, stdin=subprocess.DEVNULL,
                             capture_output=True)
        return ran.returncode == 0, ran.stdout, ran.stderr

    def run(self, *words, cwd=None):
        """What a program that must end well prints."""
        good, out, err = self.succeeds(*words, cwd=cwd)
        check(good, words, out, err)
        return out

    def git(self, directory, *words):
        identity = ["-c", "user.name=smoke", "-c", "user.email=smoke@example.org"]
        return self.run("git", *identity, *words, cwd=directory)

    def project(self, name):
        """A checkout of one of the projects in tests/projects."""
        path = f"{self.work}/{name}"
        shutil.copytree(f"{PROJECTS}/{name}", path)
        for directory, _, files in os.walk(path):
            for file in [".", *files]:
                os.chmod(f"{directory}/{file}", os.stat(f"{directory}/{file}").st_mode | 0o200)
        self.git(path, "init", "--quiet", "--initial-branch=main")
        self.git(path, "add", "--all")
        self.git(path, "commit", "--quiet", "--message", "as it is")
        return path

    def flags(self):
        return ["--allow-host-compat"] if self.host_compat else []

    def execution_mode(self):
        return "host_compat" if self.host_compat else "guest_vsock"

    def nothing_is_left(self):
        """No process, mount, temporary file or workspace."""
        until(lambda: not self.processes(), "processes are left:", self.processes())
        check(mounts() <= self.mounts, "mounts are left:", mounts() - self.mounts)
        check(not os.listdir(self.env["TMPDIR"]), "temporary files are left:", os.listdir(self.env["TMPDIR"]))
        check(not os.listdir(self.env["HOME"]), "the user's home was written:", os.listdir(self.env["HOME"]))
        check(set(os.listdir(self.home)) <= KEPT, "the state directory has more than it should:",
              set(os.listdir(self.home)) - KEPT)
        for part in ("workspaces", "trash"):
            if os.path.isdir(f"{self.home}/{part}"):
                rest = [name for name in os.listdir(f"{self.home}/{part}") if name != ".names.lock"]
                check(not rest, f"of a workspace is left in {part}:", rest)

    def processes(self):
        """Command lines of the processes that have to do with the state directory."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            if int(pid) == os.getpid():
                continue
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    line = file.read().replace(b"\0", b" ").decode(errors="replace")
                links = [f"/proc/{pid}/{name}" for name in ("cwd", "root", "exe")]
                links += [f"/proc/{pid}/fd/{fd}" for fd in os.listdir(f"/proc/{pid}/fd")]
                if self.home in line or any(readlink(link).startswith(f"{self.home}/") for link in links):
                    found.append(f"{pid} {line}")
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                pass  # gone meanwhile, or somebody else's
        return found

    def close(self):
        shutil.rmtree(self.work)


def readlink(path):
    try:
        return os.readlink(path)
    except OSError:
        return ""


def mounts():
    """Mount points of this namespace."""
    with open("/proc/self/mountinfo") as file:
        return {line.split()[4] for line in file}
