"""The runs that a run has started, and what these have started, as a tree.

Children are those that name it as ``parentRun`` and were made while it was there: names are used again. So each level of the
tree is asked for in the time between the first of its parents and the last end among them.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tidegate_web.store.run_rows import RunSummaryRow

LEVELS = 4
MOST = 200
SLACK = timedelta(minutes=1)
"""By which the clock of a node, which says when a run ended, may differ from the apiserver's."""

Ask = Callable[[Collection[str], datetime, datetime, int], Sequence[RunSummaryRow]]
"""Runs with one of these parents, made between two times, oldest first; so many at most."""


@dataclass(frozen=True, kw_only=True)
class Child:
    """A run in the tree."""

    run: RunSummaryRow
    children: list["Child"] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class RunTree:
    """What a run has started."""

    children: list[Child]
    truncated: bool = False
    """Whether there are more than are looked at."""

    def all(self) -> Iterator[RunSummaryRow]:
        """Every run in it."""
        waiting = list(self.children)
        while waiting:
            child = waiting.pop()
            yield child.run
            waiting += child.children

    @property
    def count(self) -> int:
        """How many runs it has."""
        return sum(1 for _ in self.all())

    def over(self, ends: Collection[str]) -> bool:
        """Whether all of them are in one of these phases."""
        return all(run.phase in ends for run in self.all())


def run_tree_of(run: RunSummaryRow, ask: Ask, *, now: datetime) -> RunTree:
    """Level by level, so many questions as there are levels and one."""
    top: list[Child] = []
    parents, places, seen = [run], {run.name: top}, {run.uid}
    for _ in range(LEVELS):
        until = max(parent.finished_at or now for parent in parents) + SLACK
        left = MOST - len(seen) + 1
        found = ask(places.keys(), min(parent.created for parent in parents), until, left + 1)
        fresh = [row for row in found[:left] if row.uid not in seen]
        seen.update(row.uid for row in fresh)
        below: dict[str, list[Child]] = {}
        for row in fresh:
            child = Child(run=row)
            assert row.parent_run is not None, "it was asked for by that"
            places[row.parent_run].append(child)
            below.setdefault(row.name, child.children)
        if len(found) > left:
            return RunTree(children=top, truncated=True)
        if not below:
            break
        parents, places = fresh, below
    return RunTree(children=top)
