"""When a cron expression comes true, in a time zone whose clocks are put forward and back.

cronsim knows the fields and finds wall times; which moments those are is decided here, by Debian cron's rules:
  - an expression that names its hours and minutes means that many runs a day: a time that the clock skips comes at the end of
    the gap, a time that the clock shows twice comes the first time only;
  - one whose hour or minute begins with `*` means a rhythm: it comes whenever the clock shows a fitting time, so the skipped
    hour has none and the doubled hour has them twice.
(cronsim's own arithmetic with zones takes whole hours for granted and goes back in time inside a doubled hour.)
"""

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Final, Self
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from tidegate_api.names import ScheduleReason

FIELDS: Final = 5
FIRST_WINDOW: Final = 3600.0
MINUTE: Final = timedelta(minutes=1)
NO_TIME: Final = timedelta(0)


class BadCronError(ValueError):
    """The expression or the zone can't be used; `reason` says which."""

    def __init__(self, reason: ScheduleReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Cron:
    """An expression that has been understood, in its zone. Times are seconds since the epoch."""

    expression: str
    zone: ZoneInfo
    rhythm: bool
    """Whether its hour or minute begins with `*`."""

    @classmethod
    def parse(cls, expression: str, zone: str) -> Self:
        """Raises BadCronError."""
        fields = expression.split()
        if len(fields) != FIELDS:
            raise BadCronError(
                ScheduleReason.INVALID_CRON, f"cron {expression!r} has {len(fields)} fields, and it needs {FIELDS}"
            )
        try:
            CronSim(expression, datetime(2000, 1, 1))  # noqa: DTZ001 - a wall time
        except CronSimError as error:
            raise BadCronError(ScheduleReason.INVALID_CRON, f"cron {expression!r}: {error}") from error
        try:
            found = ZoneInfo(zone)
        except (KeyError, ValueError, OSError) as error:
            raise BadCronError(
                ScheduleReason.INVALID_TIME_ZONE, f"timeZone {zone!r} is not a zone of the IANA database"
            ) from error
        return cls(expression, found, fields[0].startswith("*") or fields[1].startswith("*"))

    def next(self, after: float) -> float | None:
        """The first tick after a moment; None for an expression that never comes true."""
        return next(self.after(after), None)

    def latest(self, *, after: float, until: float, count: int) -> list[float]:
        """The last `count` ticks in (after, until], oldest first. After a year away, not each of its minutes is counted."""
        window = FIRST_WINDOW
        while True:
            begin = max(after, until - window)
            found = list(deque(takewhile(lambda tick: tick <= until, self.after(begin)), maxlen=count))
            if len(found) == count or begin == after:
                return found
            window *= 8

    def after(self, moment: float) -> Iterator[float]:
        """All ticks after a moment, in order."""
        for tick in self._in_order(moment):
            if tick > moment:
                moment = tick
                yield tick

    def _in_order(self, moment: float) -> Iterator[float]:
        # A datetime would round the last half microsecond before a tick up to it.
        local = datetime.fromtimestamp(math.floor(moment), self.zone)
        wall = local.replace(tzinfo=None, fold=0)
        if not local.fold:
            # In the first pass of a doubled hour the second is still to come, also for times that have been.
            wall -= max(NO_TIME, _turned_back(local))
        second_pass: deque[float] = deque()
        for tick in CronSim(self.expression, wall):
            first = tick.replace(tzinfo=self.zone)
            back = _turned_back(first)
            if back < NO_TIME:
                if self.rhythm:
                    continue
                first = _end_of_gap(first)
            begin = first.timestamp()
            while second_pass and second_pass[0] < begin:
                yield second_pass.popleft()
            yield begin
            if back > NO_TIME and self.rhythm:
                second_pass.append(begin + back.total_seconds())
        yield from second_pass


def _turned_back(local: datetime) -> timedelta:
    """How far the clock is turned back at this wall time: positive where it is shown twice, negative where it is skipped."""
    return (local.replace(fold=0).utcoffset() or NO_TIME) - (local.replace(fold=1).utcoffset() or NO_TIME)


def _end_of_gap(skipped: datetime) -> datetime:
    while _turned_back(skipped) < NO_TIME:
        skipped += MINUTE  # wall time: arithmetic within one zone
    return skipped
