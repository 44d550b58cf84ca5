"""The tool calls of a page in use-cases/: what is written there is what the drivers do."""

import json

from surroundings import ROOT, check


class Page:
    """The calls of a page, in order."""

    def __init__(self, name, **places):
        """`places` are directories for words that stand for one in the page: HERE for `/home/you`."""
        self.name, self.calls, block = name, [], None
        self.places = places
        with open(f"{ROOT}/use-cases/{name}.md") as file:
            for line in file:
                if line.startswith("```") and block is None:
                    block = [] if line.strip() == "```json" else ()
                elif line.startswith("```"):
                    if block:
                        self.calls.append(json.loads("".join(block)))
                    block = None
                elif isinstance(block, list):
                    block.append(line)

    def next(self, tool):
        """Arguments of the next call, which must be one of `tool`."""
        check(self.calls, f"use-cases/{self.name}.md has no more calls; wanted: {tool}")
        call = self.calls.pop(0)
        check(call["tool"] == tool, f"use-cases/{self.name}.md goes on with {call['tool']}, not with {tool}")
        return {name: self.placed(value) for name, value in call["arguments"].items()}

    def placed(self, value):
        for shown, place in self.places.items():
            if isinstance(value, str) and value.startswith(f"{shown}/"):
                return place + value[len(shown):]
        return value

    def done(self):
        check(not self.calls, f"the driver leaves calls of use-cases/{self.name}.md out:", self.calls)
