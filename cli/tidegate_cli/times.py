"""Times: read, and written for people."""

import re
from datetime import UTC, datetime, timedelta

from tidegate_api.times import parse_time


def parse(text: str | None) -> datetime | None:
    """An RFC 3339 time, or None for anything else."""
    try:
        seconds = parse_time(text)
    except ValueError:
        return None
    return datetime.fromtimestamp(seconds, UTC) if seconds is not None else None


def brief(span: timedelta) -> str:
    """``42s``, ``5m12s``, ``3h7m``, ``4d2h``, as kubectl tells ages."""
    seconds = max(int(span.total_seconds()), 0)
    if seconds < 120:
        return f"{seconds}s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes}m{seconds}s" if seconds and minutes < 10 else f"{minutes}m"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours}h{minutes}m" if minutes and hours < 10 else f"{hours}h"
    days, hours = divmod(hours, 24)
    return f"{days}d{hours}h" if hours and days < 8 else f"{days}d"


def one_line(text: object) -> str:
    """For a terminal: without line breaks, and without what would steer it."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", str(text)).strip()
