"""How a worker goes: it takes no more runs, lets them end, stops the rest, has outcomes stored, writes its log. Pure.

Without a connection it waits for a leader as long as the kubelet lets it: an outcome that isn't stored is lost.
"""

from __future__ import annotations

import enum
from typing import Optional

WRITTEN_SECONDS = 10.0
"""For outcomes to be stored, with a connection."""
LINGER_SECONDS = 5.0
"""For the log to be written."""


class Phase(enum.Enum):
    """Where a worker that goes is."""

    RUNS = "runs"
    STOPPING = "stopping"
    OUTCOMES = "outcomes"
    LOG = "log"
    OVER = "over"


class Draining:
    """The steps, from when the worker was asked to go."""

    def __init__(self, *, began: float, drain_seconds: float) -> None:
        self._stop_at = began + drain_seconds
        self.phase = Phase.RUNS
        self._connected_at: Optional[float] = None
        self._linger_until: Optional[float] = None

    def advance(
        self, now: float, *, busy: int, unwritten: int, connected_since: Optional[float], log_pending: bool
    ) -> Phase:
        """Where the worker is now."""
        if busy:
            self.phase = Phase.STOPPING if now >= self._stop_at else Phase.RUNS
            return self.phase
        if self.phase in (Phase.RUNS, Phase.STOPPING):
            self.phase = Phase.OUTCOMES
        if self.phase is Phase.OUTCOMES and self._outcomes_are_done(now, unwritten, connected_since):
            self.phase, self._linger_until = Phase.LOG, now + LINGER_SECONDS
        if self.phase is Phase.LOG and (not log_pending or now >= (self._linger_until or 0.0)):
            self.phase = Phase.OVER
        return self.phase

    def next_look(self) -> Optional[float]:
        """When something changes, if nothing else happens."""
        if self.phase is Phase.RUNS:
            return self._stop_at
        if self.phase is Phase.OUTCOMES:
            return None if self._connected_at is None else self._connected_at + WRITTEN_SECONDS
        return self._linger_until if self.phase is Phase.LOG else None

    def _outcomes_are_done(self, now: float, unwritten: int, connected_since: Optional[float]) -> bool:
        if not unwritten:
            return True
        if connected_since is None:
            self._connected_at = None
            return False
        if self._connected_at is None or self._connected_at < connected_since:
            self._connected_at = now
        return now >= self._connected_at + WRITTEN_SECONDS
