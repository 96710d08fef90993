"""Times: as they go out, RFC 3339 in UTC; and as they come in, in any spelling that an apiserver lets through.

``tidegate_api.times`` formats. It reads more than this module does, as ISO weeks, which a caller of the API may not send.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, overload

from pydantic import Field
from tidegate_api import times

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""One of them in the shape of an answer."""

EARLIEST = datetime.fromtimestamp(times.EARLIEST, UTC)
LATEST = datetime.fromtimestamp(times.LATEST, UTC)
"""The contract's bounds. Beyond them a change of time zone overflows, in Python and in readers of the API."""

_SPELLINGS = re.compile(
    r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)[Tt ](?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
    r"(?:[.,](?P<part>\d+))?(?:[Zz]|(?P<sign>[+-])(?P<hours>\d\d):?(?P<minutes>\d\d))",
    re.ASCII,
)


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
    found = _parse(value)
    return None if found is None else min(max(found, EARLIEST), LATEST)


def parse_given_time(value: object) -> datetime | None:
    """The same for a time that a caller sends: None, too, for one beyond the bounds."""
    found = _parse(value)
    return found if found is not None and EARLIEST <= found <= LATEST else None


def later(time: datetime, *, seconds: int) -> datetime:
    """So many seconds later, at most ``LATEST``."""
    try:
        return min(time + timedelta(seconds=max(0, seconds)), LATEST)
    except OverflowError:
        return LATEST


def _parse(value: object) -> datetime | None:
    found = _SPELLINGS.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    year = int(found["year"])
    if year == 0:
        return datetime.min.replace(tzinfo=UTC)
    try:
        day = datetime(year, int(found["month"]), int(found["day"]), tzinfo=UTC)
    except ValueError:
        return None
    # By arithmetic: second 60 and offsets of more than a day are spellings, too.
    offset = timedelta(hours=int(found["hours"] or 0), minutes=int(found["minutes"] or 0))
    within = timedelta(
        hours=int(found["hour"]),
        minutes=int(found["minute"]),
        seconds=int(found["second"]),
        microseconds=int((found["part"] or "")[:6].ljust(6, "0")),
    )
    try:
        return day + within - (-offset if found["sign"] == "-" else offset)
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC) if year == 1 else datetime.max.replace(tzinfo=UTC)
