"""What a line of a worker's log says: a line of a run, or a run's end. Pure.

A worker runs many runs at once and writes what they write into its one log, each line with the run's names and with how many bytes
of that run came before. So a log that is read twice, or from somewhere in its middle, says by itself what is new and what is
missing. All other lines belong to no run: the worker's own, and what other processes write there.
"""

import json
from dataclasses import dataclass
from typing import Final

from tidegate_web.mirror.logs.files import LONGEST_STAMP, STAMP, stamp_of

LONGEST_LINE: Final = 64 * 1024
"""Bytes of a line that is understood. A worker writes at most 12 KiB; what is longer isn't a worker's."""
NAME_MAX: Final = 253
MISSING: Final = (
    b"[Tidegate: lines of this run are missing before this: its worker's log went faster than it could be read]\n"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunLine:
    """A line of a run, or its end."""

    handover: str
    run: str
    uid: str
    attempt: int
    at: int
    """Bytes of the run's log before it."""
    data: bytes
    """What the run has written; empty at its end."""
    ends: bool
    time: int | None
    """When the node got it, in nanoseconds since 1970."""


def parse_line(raw: bytes) -> RunLine | None:
    """A line of a worker's log with the node's time before it; None for one that is of no run."""
    if len(raw) > LONGEST_LINE:
        return None
    stamp = STAMP.match(raw)
    body = raw[stamp.end() :] if stamp is not None else raw
    if not body.startswith(b"{"):
        return None
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    names = [found.get(field) for field in ("handover", "run", "uid")]
    attempt, at, text = found.get("attempt"), found.get("at"), found.get("line")
    handover, run, uid = (each if isinstance(each, str) and len(each) <= NAME_MAX else "" for each in names)
    if not (handover and run and uid) or type(attempt) is not int or attempt < 1 or type(at) is not int or at < 0:
        return None
    ends = found.get("end") is True
    data = b""
    if not ends:
        if not isinstance(text, str):
            return None
        data = text.encode("utf-8", "replace") + (b"" if found.get("more") is True else b"\n")
    time = stamp_of(raw[:LONGEST_STAMP])
    return RunLine(handover=handover, run=run, uid=uid, attempt=attempt, at=at, data=data, ends=ends, time=time)
