"""The lab's machine: QEMU's software emulation of an AMD processor with SVM, so it needs neither
/dev/kvm nor root on the host. A snapshot of the booted machine, made on first use, lets later ones
start in about a second.
"""

import ctypes
import fcntl
import hashlib
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import wire

HERE = os.path.dirname(os.path.abspath(__file__))
IMG = os.path.realpath(os.environ.get("LAB_IMG") or f"{HERE}/../../target/lab")
QEMU = f"{IMG}/qemu"
SLOTS = 8  # 9p devices, part of the snapshot: a machine uses as many as it has shares
CPU = "max,+svm,-erms,-fsrm,-la57"  # rep movsb and five-level page tables are slow in emulation
ACCEL = "tcg,thread=multi,tb-size=512"
CMDLINE = ("quiet loglevel=3 console=ttyS0 panic=-1 reboot=t tsc=reliable clocksource=tsc no_timer_check "
           "nokaslr mitigations=off cryptomgr.notests audit=0 selinux=0 apparmor=0 nowatchdog "
           "rcupdate.rcu_expedited=1 random.trust_cpu=on transparent_hugepage=always pci=lastbus=0 "
           "unknown_nmi_panic panic_print=0x1")  # an autopsy's NMI prints the stacks of all tasks
# How the guest caches shares. A machine that serves one run of the tests sees files that stay as they
# are, and keeps what it read; one that somebody works beside must look again at each open.
FIXED, CHANGING = "loose", "readahead"
AUTOPSY_LIMIT = 20  # seconds, for each step
BOOT_LIMIT = 300  # seconds from QEMU's start to the agent's first frame
SNAPSHOTS_KEPT = 2
LIBC = ctypes.CDLL(None)


class LabError(Exception):
    """What stops the lab from running a job."""


def parse_share(word):
    """PATH[:ro]: a directory of the host, at the same place inside."""
    path, _, mode = word.partition(":")
    if mode not in ("", "ro"):
        raise LabError(f"not a share: {word}")
    if not os.path.isdir(path):
        raise LabError(f"no such directory to share: {path}")
    return {"path": os.path.realpath(path), "target": os.path.abspath(path), "ro": mode == "ro"}


def die_with_parent():
    """QEMU must not outlive the thread that started it, whatever ends that."""
    LIBC.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Machine:
    """One QEMU process, with its data port and its control socket."""

    def __init__(self, size, shares, work, memory_file, fresh):
        self.work, self.console = work, f"{work}/console"
        self.port, port_end = socket.socketpair()
        self.qmp, qmp_end = socket.socketpair()
        fds = (port_end.fileno(), qmp_end.fileno())
        command = [
            QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-name", "pyro-lab", "-machine", "q35,memory-backend=ram,usb=off,vmport=off,smm=off,hpet=off",
            "-accel", ACCEL, "-cpu", CPU, "-smp", str(size["cpus"]), "-m", str(size["mem"]),
            "-object", f"memory-backend-file,id=ram,size={size['mem']}M,mem-path={memory_file},"
                       f"share={'on' if fresh else 'off'}",
            "-bios", "qboot.rom", "-rtc", "base=utc",
            "-kernel", f"{IMG}/vmlinux", "-initrd", f"{IMG}/initramfs", "-append", CMDLINE,
            "-chardev", f"file,id=console,path={self.console},append=on", "-serial", "chardev:console",
            "-chardev", f"socket,id=qmp,fd={fds[1]}", "-mon", "chardev=qmp,mode=control",
            "-chardev", f"socket,id=port,fd={fds[0]}",
            "-device", "virtio-serial-pci,max_ports=2", "-device", "virtserialport,chardev=port,name=lab",
            "-object", "iothread,id=io",
            "-drive", f"id=root,if=none,format=raw,readonly=on,file={IMG}/root.erofs,file.locking=off",
            "-device", "virtio-blk-pci,drive=root,iothread=io",
            "-drive", f"id=scratch,if=none,format=raw,cache=unsafe,discard=unmap,file={IMG}/scratch.ext4,"
                      "snapshot=on,file.locking=off",
            "-device", "virtio-blk-pci,drive=scratch,iothread=io",
        ]
        empty = f"{work}/empty"
        os.makedirs(empty, exist_ok=True)
        model = "passthrough" if os.geteuid() == 0 else "none"
        for slot in range(SLOTS):
            path, ro = (shares[slot]["path"], shares[slot]["ro"]) if slot < len(shares) else (empty, False)
            command += ["-fsdev", f"local,id=share{slot},security_model={model},multidevs=remap,"
                                  f"path={path.replace(',', ',,')}{',readonly=on' if ro else ''}",
                        "-device", f"virtio-9p-pci,fsdev=share{slot},mount_tag=share{slot}"]
        if not fresh:
            command += ["-incoming", "defer"]
        self.log = open(f"{work}/qemu", "w+b")
        self.process = subprocess.Popen(command, pass_fds=fds, stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=self.log, env={**os.environ, "TMPDIR": work},
                                        start_new_session=True, preexec_fn=die_with_parent)
        port_end.close()
        qmp_end.close()
        self.reader = self.qmp.makefile("rb")
        self.reader_ready = False

    def ask(self, name, **arguments):
        if not self.reader_ready:
            self.reader.readline()  # the greeting
            self.reader_ready = True
            self.ask("qmp_capabilities")
        try:
            self.qmp.sendall(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
        except OSError:
            raise LabError(self.why("QEMU went away")) from None
        while True:
            line = self.reader.readline()
            if not line:
                raise LabError(self.why("QEMU went away"))
            answer = json.loads(line)
            if "error" in answer:
                raise LabError(f"QEMU: {name}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def ignore_shared_memory(self):
        """The memory file itself is the snapshot's memory: only the devices' state is written and read."""
        self.ask("migrate-set-capabilities", capabilities=[{"capability": "x-ignore-shared", "state": True}])

    def settle(self):
        while True:
            state = self.ask("query-migrate").get("status")
            if state == "completed":
                return
            if state in ("failed", "cancelled"):
                raise LabError(self.why(f"migration {state}"))
            time.sleep(0.002)

    def send(self, kind, job=0, body=b""):
        self.port.sendall(wire.pack(kind, job, body))

    def receive(self):
        return wire.receive(self.port.recv)

    def wait_ready(self):
        if not select.select([self.port], [], [], BOOT_LIMIT)[0]:
            raise LabError(self.why(f"the machine did not come up in {BOOT_LIMIT} s"))
        try:
            kind, _, _ = self.receive()
        except wire.Closed:
            raise LabError(self.why("the machine died while it booted")) from None
        if kind != b"R":
            raise LabError(f"the machine's first frame is {kind!r}")

    def why(self, text):
        """`text`, what QEMU said, and what matters of the console: the stacks of an autopsy, or the last lines."""
        self.log.seek(0)
        parts = [text, *self.log.read().decode(errors="replace").strip().splitlines()]
        try:
            with open(self.console, errors="replace") as file:
                console = file.read()
            parts += stacks(console) or console.splitlines()[-30:]
        except OSError:
            pass
        return "\n  ".join(part for part in parts if part)

    def autopsy(self):
        """Lets a machine that is stuck say where: the registers of its processors, twice, and the stacks
        that its kernel prints when an NMI makes it panic. All of it is in the console's log then."""
        try:
            self.qmp.settimeout(AUTOPSY_LIMIT)
            for _ in range(2):
                registers = self.ask("human-monitor-command", **{"command-line": "info registers -a"})
                with open(self.console, "a") as file:
                    file.write(f"\n{registers}\n")
            self.ask("inject-nmi")
            self.process.wait(AUTOPSY_LIMIT)
        except (LabError, OSError, subprocess.TimeoutExpired):
            pass  # QEMU itself is stuck, or the kernel is beyond an NMI

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.port.close()
        self.qmp.close()
        self.log.close()


def stacks(console):
    """A line for each task of a panic's list that is a program's, or waits in the kernel for good: where it is."""
    lines = []
    for part in console.split("] task:")[1:]:
        task = re.match(r"(\S+) +state:(\S).* pid:(\d+).* ppid:(\d+)", part)
        if task and (task[2] == "D" or task[4] != "2" and task[1] != "kthreadd"):
            calls = re.findall(r"\]  ([a-z_]\w*)\S*\+0x", part.partition("</TASK>")[0])
            calls = [call for call in calls if call not in ("__schedule", "schedule")]
            lines.append(f"{task[1]} {task[3]} {task[2]}: {' < '.join(calls[:8])}")
    return lines


def snapshot_key(size):
    version = subprocess.run([QEMU, "--version"], stdout=subprocess.PIPE, check=True).stdout
    parts = [version, CMDLINE, CPU, ACCEL, size, SLOTS]
    for name in ("vmlinux", "initramfs", "root.erofs", "scratch.ext4"):
        state = os.stat(f"{IMG}/{name}")
        parts += [state.st_size, state.st_mtime_ns]
    with open(__file__, "rb") as file:
        parts.append(file.read())
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def make_snapshot(size, folder):
    old = sorted((f"{IMG}/{name}" for name in os.listdir(IMG) if name.startswith("snap-")),
                 key=lambda path: os.stat(path).st_mtime_ns)
    for path in old:
        if path.startswith(f"{IMG}/snap-new-") or path in old[: 1 - SNAPSHOTS_KEPT]:
            shutil.rmtree(path, ignore_errors=True)
    fresh = tempfile.mkdtemp(prefix="snap-new-", dir=IMG)
    machine = None
    try:
        machine = Machine(size, [], fresh, f"{fresh}/memory", fresh=True)
        machine.wait_ready()
        machine.ask("stop")
        machine.ignore_shared_memory()
        machine.ask("migrate", uri=f"exec:cat > '{fresh}/state'")
        machine.settle()
        machine.kill()
        os.rename(fresh, folder)
    except BaseException:
        if machine:
            machine.kill()
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def snapshot(size):
    """The folder of the snapshot for machines of this size, made if need be."""
    folder = f"{IMG}/snap-{snapshot_key(size)}"
    with open(f"{IMG}/snapshot.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.isdir(folder):
            make_snapshot(size, folder)
        os.utime(folder)
    return folder


def start(size, shares, cache, work):
    """A machine that is set up and waits for jobs. Must be called by the thread that keeps it."""
    if not os.path.exists(f"{IMG}/scratch.ext4"):
        raise LabError(f"the lab is not built ({IMG}): run `make lab`")
    if len(shares) > SLOTS:
        raise LabError(f"at most {SLOTS} shares")
    folder = snapshot(size)
    machine = Machine(size, shares, work, f"{folder}/memory", fresh=False)
    try:
        machine.ignore_shared_memory()
        machine.ask("migrate-incoming", uri=f"exec:cat '{folder}/state'")
        machine.settle()
        machine.ask("cont")
        setup = {"time": time.time(), "entropy": os.urandom(64).hex(), "cache": cache,
                 "shares": [{"tag": f"share{slot}", "target": share["target"], "ro": share["ro"]}
                            for slot, share in enumerate(shares)]}
        machine.send(b"M", body=json.dumps(setup).encode())
        return machine
    except BaseException:
        machine.kill()
        raise
