"""use-cases/daily-loop.md: warm the machine once, then create, run, reset, delete, over several sessions."""

import json

from page import Page
from server import serve
from surroundings import check


def readiness(smoke):
    """What doctor says of the environment; on a host without a KVM that boots guests it fails as a whole."""
    _, report, _ = smoke.succeeds(smoke.pyro, "doctor", "--json", "--environment", smoke.environment)
    report = json.loads(report)
    return next(one["detail"] for one in report["checks"] if one["name"] == "environment")


async def drive(smoke):
    project = smoke.project("versions")
    page = Page("daily-loop")
    prepare = [smoke.pyro, "prepare", "--json", *smoke.flags(), smoke.environment]
    check("cold" in readiness(smoke), readiness(smoke))
    first = json.loads(smoke.run(*prepare))
    check(first["state"] == "warm" and first["execution_mode"] == smoke.execution_mode(), first)
    check([step["name"] for step in first["steps"]][-4:] == ["create", "exec", "reset", "delete"], first)
    check("warm" in readiness(smoke), readiness(smoke))
    check(json.loads(smoke.run(*prepare))["steps"] == [], "the second time there is nothing to do")
    smoke.nothing_is_left()

    async with serve(smoke, "repro-fix", project) as server:
        created = await server.call("workspace_create", page.next("workspace_create"))
        status, _ = await server.run(page.next("workspace_exec"))
        check(status == 0)
    # The workspace belongs to no server: the next one, here of an older client, finds it as it was.
    async with serve(smoke, "repro-fix", project, protocol="legacy") as server:
        listed = await server.call("workspace_list", page.next("workspace_list"))
        found = [(one["workspace_id"], one["state"]) for one in listed["workspaces"]]
        check(found == [(created["workspace_id"], "started")], listed)
        status, output = await server.run(page.next("workspace_exec"))
        check(status == 0 and output.strip() == "left by the first session", status, output)
        await server.call("workspace_reset", page.next("workspace_reset"))
        status, _ = await server.run(page.next("workspace_exec"))
        check(status != 0, "a reset takes the file away")
        await server.call("workspace_delete", page.next("workspace_delete"))
    page.done()
    check("warm" in readiness(smoke), readiness(smoke))
