"""Times between the wire (RFC 3339) and arithmetic (seconds since the epoch), and durations for people."""

from datetime import UTC, datetime


def parse_time(text: str | None) -> float | None:
    """Seconds since the epoch, or None for an absent time."""
    return datetime.fromisoformat(text).timestamp() if text else None


def format_time(seconds: float) -> str:
    """RFC 3339 in UTC with milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def format_second(seconds: float) -> str:
    """RFC 3339 in UTC, for what has no fractions of a second."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def format_duration(seconds: float) -> str:
    """Go's syntax: 12.3s, 4m10s, 1h0m5s. Negative ones are zero: a duration is never negative."""
    seconds = max(0.0, seconds)
    if seconds < 60:
        return f"{round(seconds, 1):g}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s"


def clamp(value: float | None, *, low: float, high: float) -> float:
    """A node's time, held within what this process knows: clocks of nodes differ by minutes."""
    return high if value is None else min(max(value, low), high)
