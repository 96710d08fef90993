"""Times and durations as people write them, and what is left of one."""

import re
import time
from datetime import UTC, datetime, timedelta

import click

from tidegate_cli.times import parse

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PIECE = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)")


class Duration(click.ParamType[float]):
    """``90``, ``90s``, ``5m``, ``1h30m``: seconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return float(value)
        pieces = _PIECE.findall(str(value))
        if not pieces or "".join(number + unit for number, unit in pieces) != value:
            self.fail(f"{value!r} is no duration: write 90, 90s, 5m or 1h30m", param, ctx)
        return sum(float(number) * _UNITS[unit] for number, unit in pieces)


class Moment(click.ParamType[datetime]):
    """An RFC 3339 time, or a duration: so long ago, or from now."""

    name = "time"

    def __init__(self, *, ahead: bool = False) -> None:
        self._sign = 1 if ahead else -1

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if found := parse(str(value)):
            return found
        try:
            seconds = Duration().convert(value, None, None)
        except click.BadParameter:
            self.fail(f"{value!r} is no time: write 2h, or 2026-12-31T08:00:00Z", param, ctx)
        return datetime.now(UTC) + self._sign * timedelta(seconds=seconds)


class Deadline:
    """A moment after which the command waits no more; without seconds it never comes."""

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    @property
    def past(self) -> bool:
        return self._end is not None and time.monotonic() >= self._end

    def at_most(self, seconds: float) -> float:
        """So many seconds, or what is left when that is less; never nothing at all, which sockets take for "don't wait"."""
        return seconds if self._end is None else min(seconds, max(self._end - time.monotonic(), 0.001))
