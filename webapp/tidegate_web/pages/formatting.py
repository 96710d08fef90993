"""How things are written for people: durations, times, sizes, JSON, and one colour for each phase wherever it shows."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from markupsafe import Markup

from tidegate_web.shared.json_types import LARGEST_VERSION, whole_number
from tidegate_web.shared.times import parse_time, rfc3339_seconds

_TONES = {
    "Pending": "waiting",
    "Starting": "starting",
    "Running": "running",
    "Retrying": "retrying",
    "Succeeded": "good",
    "Failed": "bad",
    "Timeout": "bad",
    "Cancelled": "muted",
    "Disrupted": "retrying",
    "Expired": "odd",
    "Skipped": "odd",
}
_REASON_WORDS = {
    "OOMKilled": "out of memory",
    "NodeUnreachable": "node unreachable",
    "BackOff": "waiting to try again",
}


def tone(phase: str | None) -> str:
    """The name of a phase's (or an outcome's) colour."""
    return _TONES.get(phase or "", "running")


def duration(seconds: float | None) -> str:
    """``< 1 s``, ``4.2 s``, ``12 s``, ``3 m 07 s``, ``2 h 05 m``, ``3 d 4 h``."""
    if seconds is None or seconds < 0:
        return ""
    if seconds < 1:
        return "< 1 s"  # a node reports whole seconds
    if seconds < 10:
        return f"{round(seconds, 1):g} s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} m"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def between(start: datetime | None, end: datetime | None) -> str:
    """How long something took; empty as long as it hasn't ended."""
    if start is None or end is None:
        return ""
    return duration(max(0.0, (end - start).total_seconds()))


def since(start: datetime | None, now: datetime) -> str:
    return "" if start is None else duration(max(0.0, (now - start).total_seconds()))


def time_of(text: object) -> datetime | None:
    return parse_time(text)


def iso(time: datetime) -> str:
    return rfc3339_seconds(time)


def utc_field(time: datetime) -> str:
    """As the value of a field of the kind ``datetime-local``."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M")


def ago(time: datetime, now: datetime) -> str:
    """``just now``, ``4 min ago``: for those without script; the script writes the same, again and again."""
    seconds = (now - time).total_seconds()
    if seconds < 0:
        return f"in {_rough(-seconds)}"
    return "just now" if seconds < 5 else f"{_rough(seconds)} ago"


def _rough(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"


def moment(time: datetime | None, now: datetime) -> Markup:
    """A relative time with the absolute one behind it."""
    if time is None:
        return Markup('<span class="text-secondary">–</span>')
    absolute = time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return Markup('<time datetime="{}" title="{}" data-relative>{}</time>').format(iso(time), absolute, ago(time, now))


def calendar_time(time: datetime) -> Markup:
    """A day and a time of day: in UTC, which the script replaces by the time zone of the viewer."""
    absolute = time.astimezone(UTC).strftime("%a %d %b %Y, %H:%M UTC")
    return Markup('<time datetime="{}" title="{}" data-calendar>{}</time>').format(iso(time), absolute, absolute)


def clock(start: datetime | None) -> Markup:
    """A duration that goes on: the script counts."""
    if start is None:
        return Markup("")
    return Markup('<span class="tabular" data-since="{}"></span>').format(iso(start))


def percent(value: float | None) -> str:
    return "" if value is None else f"{round(value * 100)} %"


def size(count: object) -> str:
    """``812 B``, ``1.4 KiB``, ``7.9 MiB``."""
    number = whole_number(count, most=LARGEST_VERSION) or 0
    for unit, bytes_of_unit in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if number >= bytes_of_unit:
            return f"{number / bytes_of_unit:.1f} {unit}"
    return f"{number} B"


def digest(text: object, *, length: int = 12) -> str:
    """The beginning of a digest in hex, with its algorithm where that is known: enough to distinguish it."""
    _, _, digest = str(text or "").rpartition("@")
    algorithm, colon, value = digest.rpartition(":")
    return f"{algorithm}{colon}{value[:length]}"


def pretty(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def reason(text: str | None) -> str:
    return _REASON_WORDS.get(text or "", text or "")


def final(attempt: Mapping[str, object]) -> bool:
    return bool(attempt.get("outcome"))


def _plain(value: object) -> object:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value


def details(detail: Mapping[str, object]) -> str:
    """What an entry of the audit log says beside who and what, without what was left open."""
    given = {name: value for name, value in detail.items() if value is not None}
    return " · ".join(
        f"{name}: {', '.join(map(str, value)) if isinstance(value, list) else _plain(value)}"
        for name, value in given.items()
    )
