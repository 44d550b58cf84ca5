"""`pyro mcp serve`, driven by the official SDK."""

import contextlib
import json
import re

from mcp import Client, MCPError, StdioServerParameters, stdio_client

from surroundings import check


class Server:
    """A session with a server."""

    def __init__(self, client):
        self.client = client

    async def tools(self):
        return {tool.name for tool in (await self.client.list_tools()).tools}

    async def call(self, tool, arguments):
        """The record that a tool answers with, or its text where it has none."""
        result = await self.client.call_tool(tool, arguments)
        text = "".join(block.text for block in result.content if block.type == "text")
        check(not result.is_error, tool, arguments, text)
        # The SDK has compared the record with the tool's output schema.
        return text if result.structured_content is None else result.structured_content

    async def refused(self, tool, arguments):
        """Why a call is refused."""
        try:
            result = await self.client.call_tool(tool, arguments)
        except MCPError as error:
            return str(error)
        text = "".join(block.text for block in result.content if block.type == "text")
        check(result.is_error, f"{tool} was to be refused", arguments, text)
        return text

    async def run(self, arguments):
        """A command's exit status, and what it printed; one that takes long is waited for as the answer says."""
        text, output = await self.call("workspace_exec", arguments), ""
        while text.startswith("running "):
            body, _, call = text.partition("\n")[2].rpartition("[still running; call workspace_logs ")
            check(call.endswith("]"), "what still runs has a next call:", text)
            output += body
            text = await self.call("workspace_logs", json.loads(call[:-1]))
        head, _, body = text.partition("\n")
        exit_status = re.match(r"exit=(\d+) after ", head)
        check(exit_status, "the first line of a command's result says how it ended:", text)
        return int(exit_status[1]), output + body


@contextlib.asynccontextmanager
async def serve(surroundings, mode, project=None, protocol="auto"):
    """A server that was started in `project`."""
    words = ["mcp", "serve", "--mode", mode, "--environment", surroundings.environment, *surroundings.flags()]
    if project is None:
        words.append("--no-project-source")
    parameters = StdioServerParameters(command=surroundings.pyro, args=words, env=surroundings.env,
                                       cwd=project or surroundings.work)
    with open(f"{surroundings.work}/server.log", "a") as log:
        async with Client(stdio_client(parameters, errlog=log), mode=protocol) as client:
            yield Server(client)
