"""The table: one row for each thing that was measured, against something real in the same run."""

from dataclasses import dataclass

from measure import duration, seconds

HEADER = ("| what | pyro | against | ratio | goal | notes |", "|---|---|---|---|---|---|")


@dataclass
class Row:
    what: str
    pyro: str
    against: str
    ratio: str = ""
    goal: str = ""
    notes: str = ""

    @classmethod
    def race(cls, what, ours, rival, theirs, goal=None, notes=""):
        """A row of medians of times."""
        pyro, other = seconds(ours), seconds(theirs)
        return cls(what, duration(pyro), f"{duration(other)}: {rival}", f"{pyro / other:.2f}",
                   "" if goal is None else f"≤ {goal}", notes)

    def __str__(self):
        return f"| {self.what} | {self.pyro} | {self.against} | {self.ratio} | {self.goal} | {self.notes} |"
