"""Times between the wire (RFC 3339) and arithmetic (seconds since the epoch), and durations for people.

Every time that the apiserver lets through is understood: its check of `date-time` takes lowercase letters, any sign before
the fraction, offsets that no zone has, and the years 0000 to 9999. What lies outside the years that the contract names is
read as the nearest moment inside them, so that no arithmetic and no later formatting fails.
"""

import math
import re
from datetime import UTC, date, datetime
from typing import Final

EARLIEST: Final = 0.0
"""1970-01-01T00:00:00Z."""
LATEST: Final = 253_370_764_799.0
"""9998-12-31T23:59:59Z: a day with any offset still is a day that `datetime` knows."""

_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
# The apiserver looks at what stands between the first two letters t, and at nothing after the second. RFC 3339 has the
# space, and offsets without a colon are common in what callers send.
_TIME: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:.(\d+))?([Zz]|[+-]\d\d:?\d\d)(?:[Tt].*)?", re.ASCII | re.DOTALL
)


def parse_time(text: str | None) -> float | None:
    """Seconds since the epoch, between EARLIEST and LATEST; None for an absent time. Raises ValueError."""
    return min(max(_parse(text), EARLIEST), LATEST) if text else None


def parse_time_within(text: str) -> float | None:
    """The same; None for a moment before EARLIEST or after LATEST."""
    seconds = _parse(text)
    return seconds if EARLIEST <= seconds <= LATEST else None


def _parse(text: str) -> float:
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:64]!r} is not an RFC 3339 time")
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return _parse_odd(found)


def _parse_odd(found: re.Match[str]) -> float:
    """By arithmetic: second 60 and offsets of more than a day are spellings, too."""
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    fraction, zone = float(f"0.{found[7][:9]}") if found[7] else 0.0, found[8]
    if year == 0:
        return -math.inf
    offset = 0 if zone in "Zz" else (int(zone[1:3]) * 60 + int(zone[-2:])) * (60 if zone[0] == "+" else -60)
    days = date(year, month, day).toordinal() - _EPOCH_DAY
    return days * 86_400.0 + hour * 3600 + minute * 60 + second + fraction - offset


def format_time(seconds: float) -> str:
    """RFC 3339 in UTC with milliseconds."""
    return rfc3339(_moment(seconds))


def format_second(seconds: float) -> str:
    """RFC 3339 in UTC, for what has no fractions of a second."""
    return _moment(seconds).isoformat(timespec="seconds").replace("+00:00", "Z")


def format_micro(seconds: float) -> str:
    """RFC 3339 in UTC with microseconds, as Kubernetes' MicroTime wants it."""
    return _moment(seconds).isoformat(timespec="microseconds").replace("+00:00", "Z")


def rfc3339(moment: datetime) -> str:
    """The same of a datetime that has a time zone."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(min(max(seconds, EARLIEST), LATEST), UTC)


def format_duration(seconds: float) -> str:
    """Go's syntax: 18ms, 12.3s, 4m10s, 1h0m5s. Negative ones are zero: a duration is never negative."""
    seconds = max(0.0, seconds)
    if 0 < (milliseconds := round(seconds * 1000)) < 1000:
        return f"{milliseconds}ms"
    if seconds < 60:
        return f"{round(seconds, 1):g}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s"


def clamp(value: float | None, *, low: float, high: float) -> float:
    """A node's time, held within what this process knows: clocks of nodes differ by minutes."""
    return high if value is None else min(max(value, low), high)
