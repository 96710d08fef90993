"""Times as the web app has them, with time zones; ``tidegate_api.times`` reads and writes them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, overload

from pydantic import Field
from tidegate_api import times

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""One of them in the shape of an answer."""

EARLIEST = datetime.fromtimestamp(times.EARLIEST, UTC)
LATEST = datetime.fromtimestamp(times.LATEST, UTC)
"""The contract's bounds. Beyond them a change of time zone overflows, in Python and in readers of the API."""


@overload
def rfc3339(time: None) -> None: ...
@overload
def rfc3339(time: datetime) -> str: ...
def rfc3339(time: datetime | None) -> str | None:
    """A time for JSON; None stays None."""
    return None if time is None else times.rfc3339(time)


def rfc3339_seconds(time: datetime) -> str:
    """The same in whole seconds."""
    return times.format_second(time.timestamp())


def rfc3339_exact(time: datetime) -> str:
    """The same with all of its fraction."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def parse_time(value: object) -> datetime | None:
    """A stored RFC 3339 time, in UTC and moved within the bounds; None for anything else."""
    return _read(value, times.parse_time)


def parse_given_time(value: object) -> datetime | None:
    """The same for a time that a caller sends: None, too, for one beyond the bounds."""
    return _read(value, times.parse_time_within)


def later(time: datetime, *, seconds: int) -> datetime:
    """So many seconds later, at most ``LATEST``."""
    try:
        return min(time + timedelta(seconds=max(0, seconds)), LATEST)
    except OverflowError:
        return LATEST


def _read(value: object, parse: Callable[[str], float | None]) -> datetime | None:
    try:
        seconds = parse(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
