"""When a run is to be stopped, and how hard: its clocks and what has been asked for. Pure: the caller has the clock.

SIGTERM, the grace period, SIGKILL; and if even that isn't reported as the end, the subreaper is killed, which leaves the
processes to the worker itself.
"""

from __future__ import annotations

import enum
from typing import Optional

ABANDON_SECONDS = 5.0
"""After SIGKILL: how long the subreaper has to report the end."""


class Step(enum.Enum):
    """What is to be done now."""

    TERMINATE = "terminate"
    KILL = "kill"
    ABANDON = "abandon"


class Lifecycle:
    """The clocks of one run."""

    def __init__(
        self, *, received: float, timeout: float, start_timeout: float, deadline: Optional[float], grace: float
    ) -> None:
        self._received, self._timeout, self._grace = received, timeout, grace
        self._start_by = received + start_timeout
        self._deadline = None if deadline is None else received + deadline
        self._next: Optional[Step] = Step.TERMINATE
        self._next_at: Optional[float] = None
        self.started: Optional[float] = None
        """When the function was called."""
        self.stopped: Optional[str] = None
        """Why it was stopped: the first reason."""

    def start(self, now: float) -> None:
        """The function is called."""
        if self.started is None:
            self.started = now

    def stop(self, why: str, now: float) -> None:
        """Have the run stopped. It is asked once: another reason changes nothing."""
        if self.stopped is None:
            self.stopped, self._next_at = why, now

    def due(self, now: float) -> Optional[Step]:
        """What is to be done now; asked until there is nothing."""
        if self.stopped is None:
            why = self._why_over(now)
            if why is not None:
                self.stop(why, now)
        if self._next is None or self._next_at is None or now < self._next_at:
            return None
        step = self._next
        if step is Step.TERMINATE:
            self._next, self._next_at = Step.KILL, now + self._grace
        elif step is Step.KILL:
            self._next, self._next_at = Step.ABANDON, now + ABANDON_SECONDS
        else:
            self._next = self._next_at = None
        return step

    def next_look(self) -> Optional[float]:
        """When ``due`` has something again, if nothing else happens."""
        if self.stopped is not None:
            return self._next_at
        times = [time for time in (self._times_out(), self._deadline) if time is not None]
        return min(times, default=None)

    def ran(self, ended: float) -> Optional[float]:
        """How long the function ran; None when it was never called."""
        return None if self.started is None else max(0.0, ended - self.started)

    def _times_out(self) -> Optional[float]:
        if self.started is None:
            return self._start_by
        return self.started + self._timeout if self._timeout else None

    def _why_over(self, now: float) -> Optional[str]:
        if self._deadline is not None and now >= self._deadline:
            return "DeadlineExceeded"
        times_out = self._times_out()
        if times_out is not None and now >= times_out:
            return "StartTimeout" if self.started is None else "Timeout"
        return None
