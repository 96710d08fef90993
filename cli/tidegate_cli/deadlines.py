"""How long to wait, as people write it, and what is left of it."""

import re
import time

import click

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
