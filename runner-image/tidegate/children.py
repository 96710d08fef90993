"""Runs that a run starts: its children, by the token of its own pod, with an operator's rights in its own project."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from tidegate.runs import Client, RunState, state_of

if TYPE_CHECKING:
    from tidegate.current import Run
    from tidegate.run_json import RunBody


class ChildClient(Client):
    """The children of a run."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._ended: dict[str, RunState] = {}
        """By uid: who waits for many children asks once for all of them."""
        self._met: set[str] = set()
        """Uids of runs that others have made, found by their key: the list of children doesn't have them."""

    def create(self, body: RunBody) -> RunState:
        made = self._run.connection.create_child(body, seconds=self._run.time_budget())
        if made.get("parent", self._run.name) != self._run.name:
            self._met.add(made["uid"])
        return state_of(made)

    def look(self, run: RunState, *, seconds: Optional[float]) -> RunState:
        if run.uid in self._ended:
            return self._ended[run.uid]
        time_budget = self._run.time_budget()
        if seconds is None or (time_budget is not None and time_budget < seconds):
            seconds = time_budget
        if run.uid in self._met:
            return state_of(self._run.connection.get_run(run.uid, seconds=seconds))
        after: Optional[str] = None
        while True:
            page = self._run.connection.children(after=after, seconds=seconds)
            for child in map(state_of, page["items"]):
                if child.ended:
                    self._ended[child.uid] = child
                if child.uid == run.uid or (not run.uid and child.name == run.name):
                    return child
            after = page["after"]
            if after is None:
                # Made while the archive was away: it will be listed when that is back.
                return run

    def result(self, run: RunState) -> object:
        if run.result_bytes is None:
            return run.result
        return self._run.connection.child_result(run.uid, seconds=self._run.time_budget())

    def cancel(self, run: RunState) -> None:
        self._run.connection.cancel_child(run.uid, seconds=self._run.time_budget())
