"""Rows `mcp`: what the server costs beside the work that it is asked for, in machines of namespaces."""

import json
import os
import re
import subprocess
import time
from datetime import datetime

from measure import duration, median, run, undisturbed
from starts import ENVIRONMENT
from table import Row

START_GOAL_MS, MEMORY_GOAL_MB, CALL_GOAL_MS, TOKENS_GOAL = 20, 15, 1, 2500
STARTS, CALLS = 20, 200
# A client of the stateless protocol says these with every request.
META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {}}


class Server:
    """A server, and a client that waits for each answer."""

    def __init__(self, bench):
        words = [bench.pyro, "--home", bench.home, "mcp", "serve", "--allow-host-compat", "--no-project-source",
                 "--environment", ENVIRONMENT]
        self.child = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.DEVNULL, text=True)

    def ask(self, method, **params):
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": META}}
        self.child.stdin.write(json.dumps(request) + "\n")
        self.child.stdin.flush()
        answer = json.loads(self.child.stdout.readline())
        if "result" not in answer or answer["result"].get("isError"):
            raise SystemExit(f"bench: {method} {params}: {answer}")
        return answer["result"]

    def call(self, tool, **arguments):
        return self.ask("tools/call", name=tool, arguments=arguments)

    def memory_mib(self):
        with open(f"/proc/{self.child.pid}/status", encoding="ascii") as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1]) / 1024

    def close(self):
        """What its end takes."""
        began = time.perf_counter()
        self.child.stdin.close()
        self.child.wait()
        return time.perf_counter() - began


def rows(bench):
    bench.environment()
    yield from start(bench)
    yield from calls(bench)
    yield from tokens(bench)


def start(bench):
    took, memory, ends = [], [], []
    with undisturbed():
        for _ in range(bench.runs(STARTS)):
            began = time.perf_counter()
            server = Server(bench)
            server.ask("tools/list")
            took.append(time.perf_counter() - began)
            memory.append(server.memory_mib())
            ends.append(server.close())
    yield Row("`mcp serve`: start until `tools/list` is answered", duration(median(took)), "",
              goal=f"≤ {START_GOAL_MS} ms", notes=f"ends {duration(max(ends))} after EOF, at most")
    yield Row("its memory then", f"{max(memory):.1f} MiB", "", goal=f"≤ {MEMORY_GOAL_MB} MB")


def calls(bench):
    """A command's own time is in the journal, to the nanosecond."""
    server = Server(bench)
    identity = server.call("workspace_create")["structuredContent"]["workspace_id"]
    took = []
    for _ in range(bench.runs(CALLS)):
        began = time.perf_counter()
        server.call("workspace_exec", workspace_id=identity, argv=["true"])
        took.append(time.perf_counter() - began)
    words = [bench.pyro, "--home", bench.home, "workspace", "logs", identity, "--json"]
    commands = json.loads(run(words).output)["commands"]
    own = [seconds(command["ended_at"]) - seconds(command["started_at"]) for command in commands]
    reads = []
    server.call("workspace_file_write", workspace_id=identity, path="file", text="text")
    for _ in range(bench.runs(CALLS)):
        began = time.perf_counter()
        server.call("workspace_file_read", workspace_id=identity, path="file")
        reads.append(time.perf_counter() - began)
    memory = server.memory_mib()
    server.call("workspace_delete", workspace_id=identity)
    server.close()
    beyond = median(took) - median(own)
    yield Row("`workspace_exec` of `true`, beyond the command itself", duration(beyond),
              f"{duration(median(own))}: as the journal has it", goal=f"≤ {CALL_GOAL_MS} ms",
              notes=f"all of it {duration(median(took))}; {memory:.1f} MiB after {len(took) * 2} calls")
    yield Row("`workspace_file_read` of a line, with the agent's part", duration(median(reads)), "")


def seconds(stamp):
    """Seconds of a time of day; nine figures of them are more than the library takes."""
    whole, fraction = re.fullmatch(r"(.*?)(?:\.(\d+))?Z", stamp).groups()
    return datetime.fromisoformat(whole).timestamp() + float(f"0.{fraction or 0}")


def tokens(bench):
    """As the tests count them."""
    words = ["cargo", "test", "--release", "-q", "-p", "pyro", "--bin", "pyro", "--test", "cli", "--", "--nocapture",
             "--test-threads=1"]
    names = ["a_list_costs_little", "a_bug_is_mended_by_a_client_without_one"]
    environment = {"PYRO_AGENT": str(bench.project / "target/agent/pyro-agent"),
                   "PYRO_TEST_IMAGE": str(bench.project / "target/images/debian-12.oci.tar")}
    output = run([*words, *names], env={**os.environ, **environment}).output
    for what, count, size in re.findall(r"^(\S+): (\d+) tokens, (\d+) bytes", output, re.MULTILINE):
        goal = "" if what in ("workspace-full", "session") else f"≤ {TOKENS_GOAL}"
        name = "a whole repro-fix session: calls and answers" if what == "session" else f"list of tools, {what}"
        yield Row(f"o200k tokens: {name}", count, "", goal=goal, notes=f"{size} bytes")
