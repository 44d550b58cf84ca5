"""use-cases/untrusted-inspection.md: a repository that attacks whoever looks at it."""

import os

from page import Page
from server import serve
from surroundings import check

# What a terminal would obey: a title, a cleared screen, text that looks like another line.
ESCAPES = "\x1b]0;owned\x07\x1b[2J\x1b[31mred\x1b[0m\rover\x9b31m\n"
HIDDEN = {
    "vm_run": {"command": "true"},
    "workspace_file_write": {"workspace_id": "suspect", "path": "file", "text": "x"},
    "workspace_patch_apply": {"workspace_id": "suspect", "patch": ""},
    "workspace_sync_push": {"workspace_id": "suspect", "source": "/etc"},
    "workspace_diff": {"workspace_id": "suspect"},
    "workspace_reset": {"workspace_id": "suspect"},
    "workspace_update": {"workspace_id": "suspect"},
    "shell_open": {"workspace_id": "suspect"},
}


def hostile(smoke, mark):
    """A checkout whose every hook, filter and helper makes `mark` on the machine that runs it."""
    path = smoke.directory("suspect")
    smoke.git(path, "init", "--quiet", "--initial-branch=main")
    trap = f"{path}/trap.sh"
    with open(trap, "w") as file:
        file.write(f"#!/bin/sh\ntouch '{mark}'\ncat\n")
    os.chmod(trap, 0o755)
    with open(f"{path}/README.md", "w") as file:
        file.write(f"# harmless\n{ESCAPES}")
    with open(f"{path}/\x1b]0;owned\x07.txt", "w") as file:
        file.write("an odd name\n")
    os.symlink("/etc/passwd", f"{path}/passwd")
    os.symlink("../" * 20 + "etc/passwd", f"{path}/climbs")
    os.symlink("..", f"{path}/up")
    smoke.git(path, "add", "--all")
    smoke.git(path, "commit", "--quiet", "--message", "harmless")
    # Only now: git itself would run them.
    with open(f"{path}/.gitattributes", "w") as file:
        file.write("* filter=trap diff=trap\n")
    for hook in ("post-checkout", "post-index-change", "pre-commit", "fsmonitor-watchman", "reference-transaction"):
        os.symlink(trap, f"{path}/.git/hooks/{hook}")
    with open(f"{path}/.git/config", "a") as file:
        file.write(f'[core]\n\tfsmonitor = {trap}\n\thooksPath = {path}/.git/hooks\n\tpager = {trap}\n\teditor = {trap}\n'
                   f'\tsshCommand = {trap}\n\taskPass = {trap}\n'
                   f'[filter "trap"]\n\tclean = {trap}\n\tsmudge = {trap}\n\trequired = true\n'
                   f'[diff "trap"]\n\ttextconv = {trap}\n\tcommand = {trap}\n'
                   f'[credential]\n\thelper = {trap}\n[uploadpack]\n\tpackObjectsHook = {trap}\n'
                   '[remote "origin"]\n\turl = https://user:hunter2@example.org/suspect.git\n')
    return path


async def drive(smoke):
    mark = f"{smoke.work}/owned"
    project = hostile(smoke, mark)
    before = sorted(os.listdir(project))
    out = smoke.directory("out")
    page = Page("untrusted-inspection", **{"/home/you": out})
    async with serve(smoke, "inspect", project) as server:
        tools = await server.tools()
        check(not tools & HIDDEN.keys(), tools)
        created = await server.call("workspace_create", page.next("workspace_create"))
        check(created["workspace_seed"]["mode"] == "checkout" and created["network_policy"] == "off", created)
        for tool, arguments in HIDDEN.items():
            why = await server.refused(tool, arguments)
            check(tool in why, "a tool outside the mode is refused by name", tool, why)

        listed = await server.call("workspace_file_list", page.next("workspace_file_list"))
        text = str(listed)
        check("README.md" in text and "\x1b" not in text and "\x07" not in text, text)
        text = await server.call("workspace_file_read", page.next("workspace_file_read"))
        check("# harmless" in text and not set(text) & set("\x1b\x07\x9b"), repr(text))
        status, output = await server.run(page.next("workspace_exec"))
        check(status == 0 and "# harmless" in output and not set(output) & set("\x1b\x07\x9b"), repr(output))
        for path in ("passwd", "climbs", "up/etc/passwd", "../etc/passwd", "/etc/passwd"):
            why = await server.refused("workspace_file_read", {"workspace_id": "suspect", "path": path})
            check("root:" not in why, path, why)

        # Its git runs the traps, but in there.
        await server.run(page.next("workspace_exec"))
        status, output = await server.run(page.next("workspace_exec"))
        check(status == 0 and "hunter2" not in output, "a seed has no credentials", output)
        status, output = await server.run(page.next("workspace_exec"))
        check(status != 0, "there is no network", output)

        exported = page.next("workspace_export")
        await server.call("workspace_export", exported)
        inside = os.listdir(exported["output"])
        check("README.md" in inside and not {"passwd", "climbs", "up"} & set(inside), inside)
        why = await server.refused("workspace_export", exported)
        check(exported["output"] in why, "what exists is not written", why)
        summary = await server.call("workspace_summary", page.next("workspace_summary"))
        check(summary["commands"]["count"] == 4, summary)
        await server.call("workspace_delete", page.next("workspace_delete"))
    page.done()
    check(not os.path.exists(mark), "the repository ran something on this machine")
    check(sorted(os.listdir(project)) == before, "the checkout was written", os.listdir(project))
    check(os.listdir(out) == ["suspect"], os.listdir(out))
