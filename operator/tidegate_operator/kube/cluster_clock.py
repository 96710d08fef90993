"""The time by which the operator decides: that of the apiserver, as its answers say it.

Times that replicas compare were written by others: creation times by the apiserver, ends of back-offs by the replica that led
before. Clocks of machines differ by minutes, so a replica that went by its own would end an attempt long before its timeout or
long after. All replicas follow one clock instead.

Between two answers time passes as the machine counts it, whatever its wall clock is set to. Where the two differ by more than the
whole seconds of an answer show, the difference is made up for slowly: what is under way is neither cut short nor prolonged by more
than a tenth.
"""

import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Final

import structlog

SLEW: Final = 0.1
"""How much faster or slower than the machine's own this clock runs, while it is being put right."""
JUMP_SECONDS: Final = 900.0
"""A difference beyond this is no clock that was put right: the machine stood still, or had the wrong time. It is taken over at once."""
TOLD_SECONDS: Final = 5.0
"""A smaller difference is not worth a line of the log."""


def running_time() -> float:
    """Seconds of a clock that is never set. On Linux it also counts while the machine sleeps (``CLOCK_BOOTTIME``)."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class ClusterClock:
    """Seconds since the epoch."""

    def __init__(self, *, wall: Callable[[], float] = time.time, running: Callable[[], float] = running_time) -> None:
        """`wall`: believed until the first answer, and as long as answers agree with it."""
        self.running = running
        self._offset = self._target = wall() - running()
        """What is added to the running time, and what it is to become."""
        self._moved_at = running()
        self._date = ""
        self._is_known = False
        self._log = structlog.get_logger(__name__)

    def __call__(self) -> float:
        now = self.running()
        if self._target != self._offset:
            most = (now - self._moved_at) * SLEW
            self._offset += min(max(self._target - self._offset, -most), most)
        self._moved_at = now
        return now + self._offset

    def answered(self, date: str | None, *, sent: float) -> None:
        """The apiserver has answered a request. `date`: the header of that name; `sent`: the running time before the request."""
        if not date or date == self._date:
            return  # what the first answer of a second has said
        try:
            at = parsedate_to_datetime(date).timestamp()
        except ValueError:
            return
        self._date = date
        self()
        # It was written between the request and its answer, and has whole seconds.
        earliest, latest = at - self.running(), at + 1.0 - sent
        target = min(max(self._target, earliest), latest)
        if not self._is_known or abs(target - self._offset) > JUMP_SECONDS:
            self._offset = target
        if abs(target - self._target) > TOLD_SECONDS:
            self._log.info("clock", off_by=round(target - self._target, 1))
        self._target, self._is_known = target, True
