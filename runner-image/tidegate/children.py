"""Runs that a run starts: its children, by the token of its own pod, with an operator's rights in its own project."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Mapping, Optional

from tidegate.client import Client, Seen

if TYPE_CHECKING:
    from tidegate.current import Run


class ChildClient(Client):
    """The children of a run."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._ended: dict[str, Seen] = {}
        """By uid: who waits for many children asks once for all of them."""
        self._met: set[str] = set()
        """Uids of runs that others have made, found by their key: the list of children doesn't have them."""

    def create(self, body: Mapping[str, Any]) -> Seen:
        made = self._run.connection.create_child(body, seconds=self._run.patience())
        if made.get("parent", self._run.name) != self._run.name:
            self._met.add(made["uid"])
        return _seen(made)

    def look(self, run: Seen, *, seconds: Optional[float]) -> Seen:
        if run.uid in self._ended:
            return self._ended[run.uid]
        patience = self._run.patience()
        if seconds is None or (patience is not None and patience < seconds):
            seconds = patience
        if run.uid in self._met:
            return _seen(self._run.connection.met(run.uid, seconds=seconds))
        after: Optional[str] = None
        while True:
            page = self._run.connection.children(after=after, seconds=seconds)
            for child in map(_seen, page["items"]):
                if child.ended:
                    self._ended[child.uid] = child
                if child.uid == run.uid or (not run.uid and child.name == run.name):
                    return child
            after = page["after"]
            if after is None:
                # Made while the archive was away: it will be told of when that is back.
                return run

    def result(self, run: Seen) -> Any:
        if run.result_bytes is None:
            return run.result
        return self._run.connection.child_result(run.uid, seconds=self._run.patience())

    def cancel(self, run: Seen) -> None:
        self._run.connection.cancel_child(run.uid, seconds=self._run.patience())


def _seen(child: Mapping[str, Any]) -> Seen:
    from tidegate.api import seen

    return seen(child)
