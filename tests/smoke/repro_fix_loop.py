"""use-cases/repro-fix-loop.md: see a test fail, mend the program, take the patch out, start over."""

import os

from page import Page
from server import serve
from surroundings import check


async def drive(smoke):
    project = smoke.project("versions")
    out = smoke.directory("out")
    page = Page("repro-fix-loop", **{"/home/you": out})
    async with serve(smoke, "repro-fix", project) as server:
        created = await server.call("workspace_create", page.next("workspace_create"))
        check(created["state"] == "started" and created["execution_mode"] == smoke.execution_mode(), created)
        seed = created["workspace_seed"]
        check(seed["mode"] == "checkout" and seed["entries"] > 5, created)

        status, output = await server.run(page.next("workspace_exec"))
        check(status != 0 and "t/compare.t" in output, "the test was to fail", status, output)
        text = await server.call("workspace_file_read", page.next("workspace_file_read"))
        check("$left cmp $right" in text, text)
        await server.call("workspace_patch_apply", page.next("workspace_patch_apply"))
        status, output = await server.run(page.next("workspace_exec"))
        check(status == 0 and "All tests successful" in output, status, output)

        diff = await server.call("workspace_diff", page.next("workspace_diff"))
        check("-        my $order = $left cmp $right;" in diff and "+        my $order = $left <=> $right;" in diff, diff)
        check(diff.count("diff --git") == 1, "one file has changed", diff)
        export = page.next("workspace_export")
        await server.call("workspace_export", export)
        summary = await server.call("workspace_summary", page.next("workspace_summary"))
        check(summary["commands"]["count"] == 2 and summary["commands"]["failed"] == 1, summary)
        check(smoke.git(project, "status", "--porcelain") == "", "the checkout was written")

        await server.call("workspace_reset", page.next("workspace_reset"))
        diff = await server.call("workspace_diff", page.next("workspace_diff"))
        check("diff --git" not in diff, "after a reset nothing differs", diff)
        status, _ = await server.run(page.next("workspace_exec"))
        check(status != 0, "after a reset the mistake is back")
        await server.call("workspace_delete", page.next("workspace_delete"))
    page.done()

    check(os.listdir(out) == ["versions.patch"], os.listdir(out))
    good, _, _ = smoke.succeeds("prove", "-l", "t", cwd=project)
    check(not good, "without the patch the tests were to fail")
    smoke.git(project, "apply", export["output"])
    smoke.run("prove", "-l", "t", cwd=project)
