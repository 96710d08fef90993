"""Which runs that go on wait for a run of a name, there or not there yet."""

from collections.abc import Iterable

from tidegate_operator.records.run import RunRecord


class Dependents:
    """By namespace and name of what is waited for."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], set[str]] = {}

    def note(self, run: RunRecord) -> None:
        """A run was seen: one that has ended waits for nothing."""
        if run.status.phase.terminal:
            self.forget(run)
            return
        for name, _ in run.depends_on:
            self._waiting.setdefault((run.namespace, name), set()).add(run.uid)

    def forget(self, run: RunRecord) -> None:
        """A run waits for nothing any more."""
        for name, _ in run.depends_on:
            waiting = self._waiting.get((run.namespace, name))
            if waiting is not None:
                waiting.discard(run.uid)
                if not waiting:
                    del self._waiting[(run.namespace, name)]

    def of(self, run: RunRecord) -> Iterable[str]:
        """The uids of those that wait for a run of its name."""
        return tuple(self._waiting.get((run.namespace, run.name), ()))
