#!/usr/bin/python3 -B
"""Drives real chat programs through pyro, each end to end: main.py PYRO HOSTS IMAGE [HOST...]

Each host gets a home of its own, is connected with `pyro host connect`, and works for a scripted model on a small
project with a bug: create, exec, patch, diff, export. Asserted is what the model was shown, and what lies on disk.
No account, and no network but loopback.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from model import DONE, Model

HERE = Path(__file__).resolve().parent
ENVIRONMENT = "pyro.local/test/debian:12"
# What each is connected with. Where no guest boots, namespaces do.
SERVE = ["--mode", "repro-fix", "--environment", ENVIRONMENT, "--allow-host-compat"]
# Much for a turn of a script; little for who waits for a hanging host.
LIMIT_SECONDS = 300

PROJECT = {
    "greet.sh": "#!/bin/sh\n# Greets whom it is told to.\necho \"Helo, $1\"\n",
    "check.sh": "#!/bin/sh\n[ \"$(sh greet.sh you)\" = 'Hello, you' ] || { echo 'greet.sh is wrong'; exit 1; }\n",
}
PATCH = """\
--- a/greet.sh
+++ b/greet.sh
@@ -1,3 +1,3 @@
 #!/bin/sh
 # Greets whom it is told to.
-echo "Helo, $1"
+echo "Hello, $1"
"""


def workspace(shown):
    """What every later call takes, from what the first one said."""
    return re.search(r'"workspace_id":\s*"([^"]+)"', shown[0])[1]


def script(patch):
    """The calls of a session; the exported patch goes to `patch`."""
    def run_check(shown):
        return {"workspace_id": workspace(shown), "command": "sh check.sh"}
    return [
        ("workspace_create", lambda shown: {"name": "fix"}),
        ("workspace_exec", run_check),
        ("workspace_patch_apply", lambda shown: {"workspace_id": workspace(shown), "patch": PATCH}),
        ("workspace_exec", run_check),
        ("workspace_diff", lambda shown: {"workspace_id": workspace(shown)}),
        ("workspace_export", lambda shown: {"workspace_id": workspace(shown), "path": "/workspace",
                                            "output": str(patch), "format": "patch"}),
        ("workspace_delete", lambda shown: {"workspace_id": workspace(shown)}),
    ]


class Claude:
    """Claude Code: its tools are found by a search first."""

    drifted = True
    name = "claude-code"
    program = "@anthropic-ai/claude-code-linux-x64/claude"
    words = ["-p", "--model", "claude-sonnet-4-5", "--allowedTools", "mcp__pyro", "ToolSearch", "--"]

    @staticmethod
    def environment(home, port):
        return {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1",
                "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{port}", "ANTHROPIC_API_KEY": "nobody's"}

    @staticmethod
    def before(place, port):
        old = {"type": "stdio", "command": "/nonexistent/pyro", "args": ["mcp", "serve"], "timeout": 600000}
        place.host("mcp", "add-json", "-s", "user", "pyro", json.dumps(old))

    @staticmethod
    def after(place):
        entry = json.loads((place.home / ".claude.json").read_text())["mcpServers"]["pyro"]
        check(entry["command"] == str(place.pyro) and entry["timeout"] == 600000, f"~/.claude.json: {entry}")
        listed = place.host("mcp", "list")
        check(re.search(r"^pyro: .*✔ Connected", listed, re.M), f"claude mcp list: {listed}")


class Codex:
    """Codex: what a user has in its configuration stays."""

    drifted = True
    name = "codex"
    program = "@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex"
    words = ["exec", "--skip-git-repo-check", "--model", "scripted"]

    @staticmethod
    def environment(home, port):
        return {"SCRIPTED_KEY": "nobody's"}

    @staticmethod
    def before(place, port):
        config = place.home / ".codex/config.toml"
        config.parent.mkdir()
        # Export writes to the host: without our last line Codex would refuse, having nobody to ask.
        config.write_text(f"""\
# The model of this test.
model_provider = "scripted" # a comment
approval_policy = "never"
sandbox_mode = "workspace-write"

[model_providers.scripted]
name = "scripted"
base_url = "http://127.0.0.1:{port}/v1"
wire_api = "responses"
env_key = "SCRIPTED_KEY"

[mcp_servers.pyro] # ours, and a key that is not
command = "/nonexistent/pyro"
args = ["mcp", "serve"]
default_tools_approval_mode = "approve" # keep
""")
        place.keep(config, "#")

    @staticmethod
    def after(place):
        place.check_kept()
        known = json.loads(place.host("mcp", "get", "pyro", "--json"))
        check(known["enabled"] and known["transport"]["command"] == str(place.pyro), f"codex mcp get: {known}")


class OpenCode:
    """OpenCode: JSON with comments."""

    drifted = False
    name = "opencode"
    program = "opencode-linux-x64/bin/opencode"
    words = ["run"]

    @staticmethod
    def environment(home, port):
        return {"OPENCODE_DISABLE_AUTOUPDATE": "1", "OPENCODE_DISABLE_MODELS_FETCH": "1"}

    @staticmethod
    def before(place, port):
        config = place.home / ".config/opencode/opencode.jsonc"
        config.parent.mkdir(parents=True)
        config.write_text(f"""\
{{
  // The model of this test.
  "model": "scripted/scripted", "small_model": "scripted/scripted",
  "autoupdate": false, "share": "disabled",
  "permission": {{"*": "allow"}}, // all of them
  "provider": {{
    "scripted": {{
      "npm": "@ai-sdk/openai-compatible",
      "options": {{"baseURL": "http://127.0.0.1:{port}/v1", "apiKey": "nobody's"}},
      "models": {{"scripted": {{"tool_call": true, "limit": {{"context": 200000, "output": 8000}}}}}},
    }},
  }},
}}
""")
        place.keep(config, "//")

    @staticmethod
    def after(place):
        place.check_kept()
        listed = place.host("mcp", "list")
        check("✓ pyro connected" in listed, f"opencode mcp list: {listed}")


HOSTS = {host.name: host for host in (Claude, Codex, OpenCode)}


def check(holds, otherwise):
    if not holds:
        raise AssertionError(otherwise)


class Place:
    """A home and a project for one host."""

    def __init__(self, root, pyro, state, hosts, host):
        self.pyro, self.config, self.kept = pyro, None, []
        self.home, self.project = root / "home", root / "project"
        self.program = hosts / "node_modules" / host.program
        self.environment = {"HOME": str(self.home), "PYRO_HOME": str(state), "TERM": "dumb", "USER": "user",
                            "PATH": f"{self.program.parent}:{os.environ['PATH']}"}
        self.home.mkdir(parents=True)
        self.project.mkdir()
        for name, text in PROJECT.items():
            (self.project / name).write_text(text)
        author = ["-c", "user.name=user", "-c", "user.email=user@example.org"]
        for words in (["init", "-q"], ["add", "."], [*author, "commit", "-q", "-m", "a greeting"]):
            subprocess.run(["git", *words], cwd=self.project, check=True)

    def run(self, program, *words, code=0):
        """A command in the project; both its streams."""
        done = subprocess.run([program, *words], cwd=self.project, env=self.environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT_SECONDS)
        output = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout.decode("utf-8", "replace"))
        check(done.returncode == code, f"{Path(program).name} {' '.join(words)}: {done.returncode}\n{output}")
        return output

    def keep(self, config, mark):
        """Lines with a comment, which have to stay."""
        self.config = config
        self.kept = [line for line in config.read_text().splitlines() if mark in line]

    def check_kept(self):
        text = self.config.read_text()
        for line in self.kept:
            check(line in text, f"{line!r} is gone from {self.config.name}:\n{text}")

    def host(self, *words):
        return self.run(self.program, *words)

    def ours(self, *words, code=0):
        return self.run(self.pyro, "host", *words, code=code)


def connect(place, host):
    """Connected once, unchanged the second time, and as the doctor wants it."""
    code = 1 if host.drifted else 0
    before = place.ours("doctor", code=code)
    check(re.search(rf"^{host.name} +{'drifted' if host.drifted else 'missing'} ", before, re.M), before)
    plan = place.ours("connect", host.name, *SERVE, "--dry-run")
    check("would be" in plan and place.ours("doctor", code=code) == before, plan)
    place.ours("connect", host.name, *SERVE)
    again = place.ours("connect", host.name, *SERVE)
    check(f"{host.name}: unchanged" in again, again)
    seen = place.ours("doctor")
    check(re.search(rf"^{host.name} +ok ", seen, re.M), seen)


def converse(place, host, model):
    """One session: what the model said last must come out."""
    output = place.host(*host.words, "Fix the greeting.")
    check(not model.failure, model.failure)
    shown = model.shown()
    check(len(shown) == len(model.script) and DONE in output, f"after {len(shown)} calls: {shown}\n{output}")
    return shown


def verify(place, model, shown, patch):
    """What the model was shown, and what lies on disk."""
    created, failed, applied, passed, diff, exported, deleted = shown
    check('"fix"' in created and "checkout" in created, created)
    # Codex puts a line of its own before it.
    check(re.search("^exit=1 ", failed, re.M) and "greet.sh is wrong" in failed, failed)
    check("greet.sh" in applied, applied)
    check(re.search("^exit=0 ", passed, re.M), passed)
    check('-echo "Helo, $1"' in diff and '+echo "Hello, $1"' in diff, diff)
    check(str(patch) in exported, exported)
    check("error:" not in deleted, deleted)
    # The name of the thing, by which an agent finds it.
    check(any("microVM" in turn.briefing for turn in model.turns), "no instructions were shown")
    unchanged = (place.project / "greet.sh").read_text() == PROJECT["greet.sh"]
    check(unchanged, "the project was changed")
    subprocess.run(["git", "apply", patch], cwd=place.project, check=True)
    subprocess.run(["sh", "check.sh"], cwd=place.project, check=True)


def disconnect(place, host):
    """Gone, and gone the second time, too."""
    check("disconnected" in place.ours("disconnect", host.name), "disconnect")
    check("unchanged" in place.ours("disconnect", host.name), "disconnect, again")
    seen = place.ours("doctor")
    check(re.search(rf"^{host.name} +missing ", seen, re.M), seen)


def drive(root, pyro, state, hosts, host):
    patch = root / "fix.patch"
    model = Model(script(patch))
    try:
        root.mkdir()
        place = Place(root, pyro, state, hosts, host)
        place.environment.update(host.environment(place.home, model.port))
        host.before(place, model.port)
        connect(place, host)
        host.after(place)
        verify(place, model, converse(place, host, model), patch)
        disconnect(place, host)
        version = place.host("--version").strip()
        offered = {name for name in model.offered() if "workspace_" in name}
        characters = sum(map(len, model.shown()))
        print(f"ok    {host.name}: {version}, {len(offered)} tools offered, {characters} characters shown", flush=True)
    finally:
        model.close()


def main():
    pyro, hosts, image = (Path(word).resolve() for word in sys.argv[1:4])
    wanted = sys.argv[4:] or list(HOSTS)
    # Codex does not like homes under /tmp.
    root = Path(tempfile.mkdtemp(prefix="pyro-hosts-", dir="/var/tmp"))
    state, failed = root / "state", 0
    try:
        subprocess.run([pyro, "--home", state, "env", "import", image, "-t", ENVIRONMENT], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for name in wanted:
            try:
                drive(root / name, pyro, state, hosts, HOSTS[name])
            except (AssertionError, OSError, subprocess.SubprocessError) as error:
                failed += 1
                print(f"FAIL  {name}: {error}", flush=True)
        left = json.loads(subprocess.check_output([pyro, "--home", state, "--json", "workspace", "list"]))
        if left["workspaces"]:
            failed += 1
            print(f"FAIL  workspaces are left: {left}", flush=True)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
