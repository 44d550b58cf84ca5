"""A model that says what a script says, on loopback, in the three dialects that the hosts speak.

A host cannot tell it from a hosted one: it offers its tools, is answered with a call, and sends what the tool
said. So what is recorded here is what a model would be shown.
"""

import json
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DONE = "that is all"


class Turn:
    """What one request says, whichever dialect it came in."""

    def __init__(self):
        self.offered = {}  # name of a tool → its namespace, if it has one
        self.shown = {}  # id of a call → what its tool said
        self.briefing = ""  # system prompt and instructions

    def find(self, name):
        """The name by which this host offers a tool of ours."""
        return next((offered for offered in self.offered if re.fullmatch(rf"(.*_)?{name}", offered)), None)


class Call:
    """A tool call that the model makes."""

    def __init__(self, ident, name, arguments, namespace=None):
        self.ident, self.name, self.arguments, self.namespace = ident, name, arguments, namespace


class Model:
    """Serves a script: a list of (tool, function from what was shown so far to arguments)."""

    def __init__(self, script):
        self.script = script
        self.turns = []
        self.failure = None
        handler = type("Handler", (Handler,), {"model": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.handle_error = self.failed
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def failed(self, _request, _address):
        """A fault of ours, which a host would only call a broken connection."""
        self.failure = self.failure or repr(sys.exc_info()[1])

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def shown(self):
        """What the tools said to the model, in the order of the script."""
        last = max(self.turns, key=lambda turn: len(turn.shown), default=Turn())
        return [last.shown[f"step_{at}"] for at in range(len(self.script)) if f"step_{at}" in last.shown]

    def offered(self):
        """Every tool of any turn."""
        return {name for turn in self.turns for name in turn.offered}

    def answer(self, turn):
        """The next call of the script, or None at its end."""
        self.turns.append(turn)
        steps = [turn.shown[f"step_{at}"] for at in range(len(self.script)) if f"step_{at}" in turn.shown]
        # Requests without tools are for titles and summaries.
        if len(steps) == len(self.script) or not turn.offered:
            return None
        tool, arguments = self.script[len(steps)]
        ident = f"step_{len(steps)}"
        name = turn.find(tool)
        search = turn.find("ToolSearch")
        if name is None and search and f"find_{ident}" not in turn.shown:
            # Claude Code shows names only, until a model asks for more.
            return Call(f"find_{ident}", search, {"query": f"select:mcp__pyro__{tool}"})
        try:
            return Call(ident, name or f"mcp__pyro__{tool}", arguments(steps), turn.offered.get(name))
        except (KeyError, ValueError, AttributeError, TypeError) as error:
            self.failure = f"{tool}: {error!r} from what was shown: {steps}"
            return None


def text(content):
    """The text of content, which is a string or a list of parts."""
    if isinstance(content, str):
        return content
    return "\n".join(part if isinstance(part, str) else part.get("text", "") for part in content or [])


class Handler(BaseHTTPRequestHandler):
    """The three dialects."""

    protocol_version = "HTTP/1.1"
    model = None

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.reply(b"", "text/plain")

    def do_GET(self):
        self.reply(json.dumps({"object": "list", "data": [], "models": []}).encode(), "application/json")

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or "{}")
        path = self.path.split("?")[0]
        if path.endswith("/count_tokens"):
            self.reply(b'{"input_tokens": 1}', "application/json")
        elif path.endswith("/messages"):
            self.as_messages(request)
        elif path.endswith("/responses"):
            self.as_responses(request)
        elif path.endswith("/chat/completions"):
            self.as_chat(request)
        else:
            self.send_error(404)

    def reply(self, body, kind):
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stream(self, events):
        lines = [f"event: {event['type']}\n" if "type" in event else "" for event in events]
        body = "".join(f"{line}data: {json.dumps(event)}\n\n" for line, event in zip(lines, events))
        self.reply((body + "data: [DONE]\n\n").encode(), "text/event-stream")

    # Anthropic's Messages: Claude Code

    def as_messages(self, request):
        turn = Turn()
        turn.offered = {tool["name"]: None for tool in request.get("tools", [])}
        turn.briefing = text(request.get("system"))
        for message in request["messages"]:
            for part in message["content"] if isinstance(message["content"], list) else []:
                if part["type"] == "tool_result":
                    turn.shown[part["tool_use_id"]] = text(part.get("content"))
                elif part["type"] == "text":
                    turn.briefing += "\n" + part["text"]
        call = self.model.answer(turn)
        if call:
            start = {"type": "tool_use", "id": call.ident, "name": call.name, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(call.arguments)}
            whole = {**start, "input": call.arguments}
        else:
            start, delta = {"type": "text", "text": ""}, {"type": "text_delta", "text": DONE}
            whole = {"type": "text", "text": DONE}
        stop = "tool_use" if call else "end_turn"
        usage = {"input_tokens": 1, "output_tokens": 1}
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": request["model"], "content": [],
                   "stop_reason": None, "stop_sequence": None, "usage": usage}
        if not request.get("stream"):
            body = json.dumps({**message, "content": [whole], "stop_reason": stop})
            self.reply(body.encode(), "application/json")
            return
        self.stream([
            {"type": "message_start", "message": message},
            {"type": "content_block_start", "index": 0, "content_block": start},
            {"type": "content_block_delta", "index": 0, "delta": delta},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None}, "usage": usage},
            {"type": "message_stop"},
        ])

    # OpenAI's Responses: Codex

    def as_responses(self, request):
        turn = Turn()
        turn.briefing = request.get("instructions") or ""
        for tool in request.get("tools", []):
            inner = tool.get("tools")
            if inner is None:
                turn.offered[tool.get("name", tool["type"])] = None
            else:
                turn.briefing += "\n" + tool.get("description", "")
                turn.offered.update({each["name"]: tool["name"] for each in inner})
        for item in request.get("input", []):
            if item.get("type") == "function_call_output":
                turn.shown[item["call_id"]] = text(item["output"])
        call = self.model.answer(turn)
        if call:
            item = {"type": "function_call", "id": f"fc_{call.ident}", "call_id": call.ident, "name": call.name,
                    "arguments": json.dumps(call.arguments), "status": "completed"}
            if call.namespace:
                item["namespace"] = call.namespace
        else:
            content = [{"type": "output_text", "text": DONE, "annotations": []}]
            item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content}
        usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2,
                 "input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
        response = {"id": "resp_1", "object": "response", "created_at": 0, "model": request["model"],
                    "status": "in_progress", "output": []}
        self.stream([
            {"type": "response.created", "response": response},
            {"type": "response.output_item.added", "output_index": 0, "item": item},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed",
             "response": {**response, "status": "completed", "output": [item], "usage": usage}},
        ])

    # OpenAI's Chat Completions: OpenCode

    def as_chat(self, request):
        turn = Turn()
        turn.offered = {tool["function"]["name"]: None for tool in request.get("tools", [])}
        for message in request["messages"]:
            if message["role"] == "tool":
                turn.shown[message["tool_call_id"]] = text(message["content"])
            elif message["role"] == "system":
                turn.briefing += text(message["content"])
        call = self.model.answer(turn)
        if call:
            function = {"name": call.name, "arguments": json.dumps(call.arguments)}
            delta = {"role": "assistant", "content": None,
                     "tool_calls": [{"index": 0, "id": call.ident, "type": "function", "function": function}]}
        else:
            delta = {"role": "assistant", "content": DONE}
        chunk = {"id": "chat_1", "object": "chat.completion.chunk", "created": 0, "model": request["model"]}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        finish = {"index": 0, "delta": {}, "finish_reason": "tool_calls" if call else "stop"}
        self.stream([
            {**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]},
            {**chunk, "choices": [finish], "usage": usage},
        ])
