"""use-cases/parallel-workspaces.md: two ways to mend the same mistake, side by side."""

import anyio

from page import Page
from server import serve
from surroundings import check

MINE = "sh -c 'echo {0} > /tmp/mine && sleep 1 && cat /tmp/mine && ls /tmp'"


async def gather(*calls):
    """All of them at once; their results in order."""
    results = [None] * len(calls)

    async def one(index, call):
        results[index] = await call

    async with anyio.create_task_group() as group:
        for index, call in enumerate(calls):
            group.start_soon(one, index, call)
    return results


async def drive(smoke):
    project = smoke.project("versions")
    out = smoke.directory("out")
    page = Page("parallel-workspaces", **{"/home/you": out})
    async with serve(smoke, "repro-fix", project) as server:
        calls = [page.next("workspace_create") for _ in range(3)]
        names = [call["name"] for call in calls]
        created = [await server.call("workspace_create", call) for call in calls]
        check(len({one["workspace_id"] for one in created}) == 3, created)
        layers = {one["workspace_seed"]["layer"] for one in created}
        check(len(layers) == 1, "the same checkout is one layer", created)
        listed = await server.call("workspace_list", page.next("workspace_list"))
        check({one["name"] for one in listed["workspaces"]} == set(names), listed)

        # Side by side, each under its own number in the same file.
        ran = await gather(*(server.run({"workspace_id": name, "command": MINE.format(name)}) for name in names))
        for name, (status, output) in zip(names, ran):
            check(status == 0 and output.split() == [name, "mine"], name, status, output)

        # Two of them get a patch of their own, the third stays as it is.
        patches = [page.next("workspace_patch_apply") for _ in range(2)]
        await gather(*(server.call("workspace_patch_apply", patch) for patch in patches))
        calls = [page.next("workspace_exec") for _ in range(3)]
        ran = await gather(*(server.run(call) for call in calls))
        check([status == 0 for status, _ in ran] == [True, True, False], ran)
        calls = [page.next("workspace_diff") for _ in range(3)]
        diffs = await gather(*(server.call("workspace_diff", call) for call in calls))
        check("<=>" in diffs[0] and "sprintf" not in diffs[0], diffs[0])
        check("sprintf" in diffs[1] and "<=>" not in diffs[1], diffs[1])
        check("diff --git" not in diffs[2], diffs[2])

        export = page.next("workspace_export")
        await server.call("workspace_export", export)
        await gather(*(server.call("workspace_delete", page.next("workspace_delete")) for _ in names))
        listed = await server.call("workspace_list", {})
        check(listed["workspaces"] == [], listed)
    page.done()
    check(smoke.git(project, "status", "--porcelain") == "", "the checkout was written")
    smoke.git(project, "apply", export["output"])
    smoke.run("prove", "-l", "t", cwd=project)
